"""An operation's settings and plain numbers as short text."""

from __future__ import annotations

from typing import Any

from ..autograd.graph import Node

LONGEST = 32


def details(node: Node) -> tuple[str, ...]:
    """``("b=2", "axis=1")``: numbers among the inputs, then settings that say something.

    Left out are None and False, which switch nothing on, and the shape of the result. A setting
    of several parts says by ``said()`` which of them are worth a word.
    """
    names = node.op.inputs
    found: list[tuple[str, Any]] = []
    for i, value in enumerate(node.inputs()):
        if isinstance(value, int | float):
            found.append((names[min(i, len(names) - 1)] if names else f"input {i}", value))
    settings = [item for name, value in node.settings.items()
                for item in (value.said() if hasattr(value, "said") else [(name, value)])]
    found.extend(item for item in settings
                 if item[1] is not None and item[1] is not False
                 and not (isinstance(item[1], tuple) and all(isinstance(n, int) for n in item[1])
                          and item[1] == node.shapes[0]))
    return tuple(shortened(f"{name}={written(value)}") for name, value in found)


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
        return f"({inner},)" if len(value) == 1 else f"({inner})"
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
