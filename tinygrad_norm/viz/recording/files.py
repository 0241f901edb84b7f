"""A history out to a file and in again. No file is left half-written."""

from __future__ import annotations

import io
import json
import math
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from .history import ROWS, Distribution, History, Kept, Layer

FORM = "tinygrad_norm history 1"
"""Stands in each file; the number is that of its form."""
ODD = re.compile("[\ud800-\udfff]")
"""Halves of characters, which UTF-8 does not have."""
UNNAMED = re.compile("[\\x00-\\x1f\\x7f\\\\:%\ud800-\udfff]|(?<![^/])\\.+(?![^/])")
"""What a member of a zip file cannot be called, or not on every system."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its place at the end, unless there is an error.
    """
    beside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save(history: History, path: str | os.PathLike[str]) -> Path:
    """As ``History.save``."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".jsonl", ".npz"):
        raise ValueError(f"save: expected a path that ends in .jsonl or .npz, got {str(path)!r}")
    if ending == ".jsonl" and history.tensors:
        raise ValueError(f"save: whole tensors were kept ({', '.join(history.tensors)}), which "
                         "only a path that ends in .npz takes")
    with replacing(path) as beside:
        if ending == ".jsonl":
            beside.write_text("".join(_lines(history)), encoding="utf-8")
        else:
            with beside.open("wb") as file:
                np.savez_compressed(file, **_columns(history))  # type: ignore[arg-type]
    return path


def load(path: str | os.PathLike[str]) -> History:
    """As ``History.load``."""
    path = Path(path)
    data = path.read_bytes()
    try:
        return _from_columns(data) if path.suffix.lower() == ".npz" else _from_lines(data)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError,
            zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"load: expected a history, as save() writes it, in {str(path)!r}: "
                         f"{error}") from error


# -- lines -----------------------------------------------------------------------------------------


def _lines(history: History) -> Iterator[str]:
    """A header, then a line for each step that has rows."""
    yield _line({"form": FORM, **history.facts()})
    steps: dict[int, dict[str, dict[str, list[Any]]]] = {}
    for part in ROWS:
        for label, rows in getattr(history, part).items():
            for row in rows:
                values = row._asdict()
                place = steps.setdefault(values.pop("step"), {}).setdefault(part, {})
                place.setdefault(label, []).append(values)
    for step in sorted(steps):
        yield _line({"step": step, **steps[step]})


def _line(value: Any) -> str:
    text = json.dumps(_spelled(value), allow_nan=False, ensure_ascii=False)
    return ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _spelled(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are words, which float() reads."""
    if isinstance(value, dict):
        return {key: _spelled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _from_lines(data: bytes) -> History:
    first, *lines = data.decode("utf-8").removesuffix("\n").split("\n")
    history = _begun(json.loads(first))
    for line in lines:
        parts = json.loads(line)
        step = parts.pop("step")
        for part, labels in parts.items():
            for label, rows in labels.items():
                place = getattr(history, part).setdefault(label, [])
                place.extend(_row(part, {"step": step, **row}) for row in rows)
    return history


def _begun(facts: dict[str, Any]) -> History:
    if facts.get("form") != FORM:
        raise ValueError(f"its form is {facts.get('form')!r}, expected {FORM!r}")
    return History(tuple(facts["quantiles"]), facts["bins"], facts["steps"], {
        label: Layer(**layer) for label, layer in facts["layers"].items()})


def _row(part: str, values: dict[str, Any]) -> Any:
    """A row from numbers of any kind, in the order of its fields."""
    kind = ROWS[part]
    made = []
    for name, hint in get_type_hints(kind).items():
        value = values[name]
        if hint in (int, float):
            value = hint(value)
        elif get_origin(hint) is tuple:
            value = tuple(map(get_args(hint)[0], value))
        made.append(value)
    return kind(*made)


# -- columns ---------------------------------------------------------------------------------------


def _columns(history: History) -> dict[str, np.ndarray]:
    """``part/label/field``, an entry for each row; ``history`` is the header, as JSON.

    In the names of members a label's odd characters are written as in an address: ``%00``.
    """
    labels = {part: list(getattr(history, part)) for part in ROWS}
    header = {"form": FORM, **history.facts(), "labels": labels}
    found = {"history": np.array(_line(header))}
    for part, kind in ROWS.items():
        for label, rows in getattr(history, part).items():
            prefix = _prefix(part, label)
            for name in kind._fields:
                values = [getattr(row, name) for row in rows]
                if kind is Kept and name == "array":
                    for i, array in enumerate(values):
                        found[f"{prefix}array/{i}"] = array
                elif kind is Distribution and name in ("quantiles", "histogram"):
                    found[prefix + name] = np.array(
                        values, dtype=np.float64 if name == "quantiles" else np.int64)
                else:
                    found[prefix + name] = np.array(values)
    return found


def _prefix(part: str, label: str) -> str:
    """Of the members of a label."""
    escaped = UNNAMED.sub(lambda odd: "".join(f"%{ord(c):02x}" for c in odd[0]), label)
    return f"{part}/{escaped}/"


def _from_columns(data: bytes) -> History:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        facts = json.loads(str(file["history"]))
        history = _begun(facts)
        for part, labels in facts["labels"].items():
            for label in labels:
                prefix = _prefix(part, label)
                columns = {name: file[prefix + name] for name in ROWS[part]._fields
                           if name != "array"}
                rows = getattr(history, part).setdefault(label, [])
                for i in range(len(columns["step"])):
                    row = {name: column[i] for name, column in columns.items()}
                    if ROWS[part] is Kept:
                        row["array"] = file[f"{prefix}array/{i}"]
                    rows.append(_row(part, row))
    return history
