"""The user's own batch, from a file."""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}
"""What may stand between the numbers of a line, the likeliest first. A comma within a number is a
decimal one."""
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?|[+-]?nan", re.I)
LARGEST = 2**18
"""Bytes that are read of a CSV file: more than any study can show."""


class Batch(NamedTuple):
    """What a file holds; None for what it does not."""

    x: np.ndarray
    grad_output: np.ndarray | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    features: tuple[str, ...] = ()
    """Names of the columns of x."""


ARRAYS = ("x", "grad_output", "weight", "bias")


def from_csv(path: str | Path, rows: int | None = None) -> Batch:
    """Numbers, a sample a line, between commas, semicolons, tabs or blanks; a first line without a
    number is names of the features.

    Args:
        rows: read so many samples; by default all, and the file must be a small one.

    Raises:
        ValueError: something else.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            text = file.read(LARGEST)
            cut = bool(file.read(1))
        lines = text.splitlines()[:-1 if cut else None]
        if cut and rows is None:
            raise ValueError(f"{path}: expected a batch that can be looked at, got more than "
                             f"{LARGEST} characters; take its first samples with --rows")
        readings = {separator: _read(lines, separator, rows) for separator in SEPARATORS}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected lines of numbers: {error}; save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}: expected lines of numbers: {error}") from None
    for found in readings.values():
        if not isinstance(found, str):
            x, names = found
            return Batch(x, features=names if len(names) == x.shape[1] else ())
    meant = _meant(lines)
    raise ValueError(f"{path}: expected {readings[meant]} ({SEPARATORS[meant]} were taken for what "
                     "stands between the numbers)")


def _read(
    lines: list[str], separator: str, most: int | None
) -> tuple[np.ndarray, tuple[str, ...]] | str:
    """The numbers and the names above them, or what was expected of the lines and is not so."""
    rows: list[list[float]] = []
    start = 0
    names: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        if len(rows) == most:
            break
        cells = _cells(line, separator)
        if not any(cells) or (number == 1 and re.fullmatch("sep=.", line.strip())):
            continue
        if not names and not rows and not _has_numbers(line, cells):
            names = tuple("".join(c for c in cell if c.isprintable()) for cell in cells)
            continue
        for cell in cells:
            if not NUMBER.fullmatch(cell):
                got = repr(cell[:40]) if cell else "an empty place"
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
    return np.array(rows), names


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


def from_npz(path: str | Path) -> Batch:
    """The arrays x, grad_output, weight, bias; or a single one, which is x.

    Raises:
        ValueError: something else.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not hasattr(loaded, "files"):
            raise ValueError("it holds one array without a name, as numpy.save writes it")
        with loaded as file:
            arrays = {name: file[name] for name in file}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        why = "" if "pickle" in str(error) else f": {error}"  # NumPy says how to unpickle it
        raise ValueError(
            f"{path}: expected a file that numpy.savez wrote, of arrays of numbers{why}") from None
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    known = set(ARRAYS)
    if "x" not in arrays or not set(arrays) <= known:
        raise ValueError(f"{path}: expected arrays named {', '.join(ARRAYS)}, got "
                         f"{', '.join(arrays) or 'none'}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected {name} to hold numbers, got {array.dtype}")
    return Batch(**{name: array.astype(np.float64) for name, array in arrays.items()})
