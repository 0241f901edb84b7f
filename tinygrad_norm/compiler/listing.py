"""A program as text: its loops with their formulas, products and calls, and what they cost."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from .assembly import Assembly
from .counts import Traffic, counted
from .fuse import Nest
from .nest_text import Line, NestText
from .notation import NEW, WIDTH, Names, line_of, plural, spot
from .task import Task
from .values import Value

COLUMN = 76
"""Where the lines of Python stand beside the formulas, at the latest."""


def listing(program: Assembly, names: Names | None = None) -> str:
    """The text of ``print(step.program())``; ``names`` then knows all that stand in it."""
    names = names or Names(program)
    steps = []
    first: dict[str, int] = {}
    codes = {id(nest): name for nest, name in program.nests}
    for k, step in enumerate(program.order, 1):
        traffic = Traffic(program, step)
        if isinstance(step, Nest):
            head, lines = NestText(program, names, step).written()
            same = first.setdefault(codes[id(step)], k)
            head += f", the code of {same}" if same < k else ""
        elif step.kind == "check":
            head, lines = "check", [(_check(step, names), None)]
        else:
            head = "product" if step.kind == "product" else "call of NumPy"
            lines = [(_formula(step, names), step.value)]
        cost = f"reads {amount(traffic.read.values())}, writes {amount(traffic.written.values())}"
        steps.append("\n".join([f"{k}. {head}" + ("" if head == "check" else f"; {cost}"),
                                *beside(lines)]))
    return "\n\n".join([*steps, _totals(program, names)]) + "\n"


def amount(counts: Iterable[int]) -> str:
    """``512 bytes``, ``1.5 KiB``"""
    count = sum(counts)
    if count < 1024:
        return f"{count} byte{'s' * (count != 1)}"
    power = min(int(math.log2(count)) // 10, 4)
    return f"{count / 1024**power:.3g} {'KMGT'[power - 1]}iB"


def beside(lines: list[Line]) -> list[str]:
    """The lines, each with the one of the library that it is from."""
    column = max((n for n in (len(text) for text, _ in lines) if n <= COLUMN), default=COLUMN)
    found = []
    for text, v in lines:
        if v is not None:
            text = f"{text:<{column}}  # {spot(v.where[1])}"
            source = f"  {line_of(v.where[1])}"
            room = WIDTH - len(text)
            text += source if len(source) <= room else f"{source[:room - 1]}…" if room > 20 else ""
        found.append(f"    {text}")
    return found


def _totals(program: Assembly, names: Names) -> str:
    counts = counted(program)
    different = f" ({counts.kinds} different)" if counts.kinds < counts.nests else ""
    results = ", ".join(names.seen(v) for v in program.outputs)
    return (f"{plural(counts.nests, 'nest')} of loops{different}, {plural(counts.passes, 'pass')}; "
            f"{plural(counts.products, 'product')}; {plural(counts.calls, 'call')} of NumPy\n"
            f"reads {amount([counts.read])}, writes {amount([counts.written])}; "
            f"{plural(counts.buffers, 'array')} in {amount([counts.bytes])} of its own; "
            f"{plural(counts.allocations, 'new array')} a run\n"
            f"returns {results or 'nothing'}; x{NEW} is what x is after the step")


def _check(step: Task, names: Names) -> str:
    conditions = " and ".join(names.seen(v) for v in step.value.args if v.op != "const")
    return f"{conditions or 'nothing'}, else no state is written and the step runs as it is"


def _formula(t: Task, names: Names) -> str:
    """Of a product or a call."""
    v = t.value
    if t.kind == "product":
        a, b = t.product.args
        sizes = "×".join(map(str, a.shape)) + " · " + "×".join(map(str, b.shape))
        plus = "" if t.factor is None else (
            f"{names.seen(t.factor)} * {names.array(v).removesuffix(NEW)} + ")
        return f"{names.array(v)} = {plus}{names.seen(a)} @ {names.seen(b)}   ({sizes})"
    call, which = v.attr
    if call.function is operator.setitem:
        whole, index, part = call.args
        return (f"{names.array(v)} = {names.seen(whole)}, but {_argument(part, names)} in "
                f"[{_index(index, names)}]")
    function: str = getattr(call.function, "method", "") or getattr(
        call.function, "__name__", str(call.function))
    words = [_argument(x, names) for x in call.args]
    words += [f"{key}={_argument(x, names)}" for key, x in call.settings.items()]
    return f"{names.array(v)} = {function.strip('_')}({', '.join(words)})" + (
        f"[{which}]" if len(call.results) > 1 else "") + (
        ", in a copy of the first" if call.within else "")


def _index(index: Any, names: Names) -> str:
    """``..., 1, :255``"""
    if isinstance(index, tuple):
        return ", ".join(_index(one, names) for one in index)
    if isinstance(index, slice):
        start, stop, step = ("" if x is None else _argument(x, names)
                             for x in (index.start, index.stop, index.step))
        return f"{start}:{stop}{':' if step else ''}{step}"
    return "..." if index is Ellipsis else _argument(index, names)


def _argument(x: Any, names: Names) -> str:
    if isinstance(x, Value):
        return names.seen(x)
    if isinstance(x, tuple | list):
        return f"({', '.join(_argument(one, names) for one in x)})"
    return f"{x!r:.40}"
