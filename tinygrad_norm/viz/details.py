"""An operation's settings and plain numbers as short text."""

from __future__ import annotations

from typing import Any

from ..autograd.graph import Node

LONGEST = 32
WORDS = {"axis": "dim", "axes": "dim", "keepdims": "keepdim", "slope": "negative_slope",
         "low": "min", "high": "max", "kernel": "kernel_size", "out": "output_size",
         "skip": "padding_idx", "by_frequency": "scale_grad_by_freq", "subscripts": "equation"}
"""What the user calls a setting that has another name in the operation."""
INNER = {"dropout": {"mask"}, "renorm": {"r", "d"}, "where": {"condition"}, "gather": {"index"},
         "masked_softmax": {"keep"}, "cross_entropy": {"share"}, "normalize": {"beside"}}
"""Of an operation, what says how it computes rather than on what: no value of its own."""


def is_inner(node: Node, i: int) -> bool:
    """Whether operand number i is one of these."""
    names = node.op.inputs
    return i < len(names) and names[i] in INNER.get(node.op.name, ())


def details(node: Node) -> tuple[str, ...]:
    """``("b=2", "dim=1")``: numbers among the inputs, then settings that say something.

    Left out are None and False, which switch nothing on, the shape of the result, and what is the
    operation's own affair. A setting of several parts says by ``said()`` which of them are worth a
    word.
    """
    names = node.op.inputs
    found: list[tuple[str, Any]] = []
    for i, value in enumerate(node.inputs()):
        if isinstance(value, int | float) and not is_inner(node, i):
            found.append((names[min(i, len(names) - 1)] if names else f"input {i}", value))
    settings = [item for name, value in node.settings.items()
                for item in (value.said() if hasattr(value, "said") else [(name, value)])]
    found.extend(item for item in settings
                 if item[1] is not None and item[1] is not False
                 and item[0] not in INNER.get(node.op.name, ())
                 and not _is_shape(item[1], node.shapes[0]))
    return tuple(shortened(f"{WORDS.get(name, name)}={written(value)}") for name, value in found)


def _is_shape(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether it is that shape; an index of arrays, which has no truth value, is none."""
    return (isinstance(value, tuple) and all(isinstance(n, int) for n in value)
            and value == shape)


def written(value: Any) -> str:
    """A setting as text. Arrays and objects are only named: their values may be many, or the
    user's own code."""
    if isinstance(value, bool | str) or value is None or value is Ellipsis:
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, slice):
        parts = ["" if p is None else written(p) for p in (value.start, value.stop, value.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if isinstance(value, tuple | list):
        inner = ", ".join(map(written, value[:5])) + (", …" if len(value) > 5 else "")
        if len(value) == 1:  # x[0:2] is recorded as x[(0:2,)]
            return inner if isinstance(value[0], slice | tuple) else f"({inner},)"
        return f"({inner})"
    name = getattr(value, "name", None)  # a dtype
    if isinstance(name, str):
        return name
    shape = getattr(value, "shape", None)
    return f"array {shape}" if isinstance(shape, tuple) else type(value).__name__


def shortened(text: str, longest: int = LONGEST) -> str:
    """``text``, with its middle left out where it is too long."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def printable(text: str) -> str:
    """What cannot be printed (a line break, a control character) as Python writes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
