"""The user's own batch, from a file."""

from __future__ import annotations

import csv
import re
import zipfile
from typing import NamedTuple

import numpy as np

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}
"""What may stand between the numbers of a line, the likeliest first. A comma within a number is a
decimal one."""
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?|[+-]?nan", re.I)


class Batch(NamedTuple):
    """What a file holds; None for what it does not."""

    x: np.ndarray
    grad_output: np.ndarray | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


def from_csv(path: str) -> Batch:
    """Numbers, a sample a line, between commas, semicolons, tabs or blanks; a first line without a
    number is names.

    Raises:
        ValueError: something else.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
        readings = {separator: _read(lines, separator) for separator in SEPARATORS}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected lines of numbers: {error}; save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}: expected lines of numbers: {error}") from None
    for found in readings.values():
        if not isinstance(found, str):
            return Batch(found)
    meant = _meant(lines)
    raise ValueError(f"{path}: expected {readings[meant]} ({SEPARATORS[meant]} were taken for what "
                     "stands between the numbers)")


def _read(lines: list[str], separator: str) -> np.ndarray | str:
    """The numbers, or what was expected of the lines and is not so."""
    rows: list[list[float]] = []
    start = 0
    names = True
    for number, line in enumerate(lines, 1):
        cells = _cells(line, separator)
        if not any(cells):
            continue
        if names and not rows and not _has_numbers(line, cells):
            names = False
            continue
        for cell in cells:
            if not NUMBER.fullmatch(cell):
                got = repr(cell) if cell else "an empty place"
                return f"a number, got {got} in line {number}"
        start = start or number
        rows.append([float(cell.replace(",", ".")) for cell in cells])
        if len(cells) != len(rows[0]):
            return (f"{len(rows[0])} numbers in each line, as in line {start}, got {len(cells)} in "
                    f"line {number}")
    if not rows:
        return "lines of numbers, got none"
    if len(rows[0]) == 1 and separator != ",":
        return f"{SEPARATORS[separator]} between the numbers"
    return np.array(rows)


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.replace('"', " ").split()
    found = csv.reader([line], delimiter=separator, skipinitialspace=True)
    return [cell.strip() for row in found for cell in row]


def _has_numbers(line: str, cells: list[str]) -> bool:
    """Whether a line is more than names, also if another separator is meant."""
    others = [cell for separator in ",;\t" for cell in _cells(line, separator)]
    return any(NUMBER.fullmatch(cell) for cell in (*cells, *others)) or all(
        NUMBER.fullmatch(cell) for cell in _cells(line, " "))


def _meant(lines: list[str]) -> str:
    """The separator that stands in most lines, outside of quotes."""
    bare = [re.sub(r'"[^"]*"', "", line).strip() for line in lines]
    counts = {separator: sum(separator in line for line in bare) for separator in SEPARATORS}
    if counts[";"] or counts["\t"]:  # a comma and a blank stand within numbers and names too
        counts[","] = counts[" "] = 0
    return max(counts, key=lambda separator: counts[separator])


def from_npz(path: str) -> Batch:
    """The arrays x, grad_output, weight, bias; or a single one, which is x.

    Raises:
        ValueError: something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected a file that numpy.savez wrote: {error}") from None
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    known = set(Batch._fields)
    if "x" not in arrays or not set(arrays) <= known:
        raise ValueError(f"{path}: expected arrays named {', '.join(Batch._fields)}, got "
                         f"{', '.join(arrays) or 'none'}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected {name} to hold numbers, got {array.dtype}")
    return Batch(**{name: array.astype(np.float64) for name, array in arrays.items()})
