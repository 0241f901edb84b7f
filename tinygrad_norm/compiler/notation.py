"""Values as formulas that a person reads: names, operators, indices, and the lines of Python."""

from __future__ import annotations

import linecache
import re
from pathlib import Path
from typing import Any

from .assembly import Assembly
from .index import Index
from .recording import NumberSlot, Recording, Slot
from .values import Value

Formula = tuple[str, int]
"""Text, and how strongly its outermost operator binds."""
ATOM, UNARY = 9, 7
SIGNS = {"add": ("+", 5), "subtract": ("-", 5), "multiply": ("*", 6), "divide": ("/", 6),
         "floor_divide": ("//", 6), "remainder": ("%", 6), "less": ("<", 2),
         "less_equal": ("<=", 2), "greater": (">", 2), "greater_equal": (">=", 2),
         "equal": ("==", 2), "not_equal": ("!=", 2), "logical_and": ("and", 1),
         "logical_or": ("or", 0), "bitwise_and": ("&", 4), "bitwise_or": ("|", 3),
         "bitwise_xor": ("^", 3), "left_shift": ("<<", 4), "right_shift": (">>", 4),
         "sub": ("-", 5), "mul": ("*", 6), "truediv": ("/", 6), "pow": ("**", 8)}
BEFORE = {"negative": "-", "logical_not": "not ", "invert": "~", "neg": "-"}
WORDS = {"maximum": "max", "minimum": "min", "absolute": "abs"}
PACKAGE = Path(__file__).parent.parent
NEW = "′"
WIDTH = 120
"""Where lines of text end."""
LETTERS = "ijklmnopqrstuvw"


def applied(name: str, args: list[Formula]) -> Formula:
    """A function of formulas: an operator, where it has a sign."""
    if name == "add" and args[1][0].startswith("-"):
        return applied("subtract", [args[0], (args[1][0][1:], args[1][1])])
    if name in SIGNS and len(args) == 2:
        sign, strength = SIGNS[name]
        if name == "multiply" and args[0] == args[1] and args[0][1] == ATOM:
            return f"{args[0][0]}²", ATOM
        a, b = bracketed(args[0], strength), bracketed(args[1], strength + 1)
        return f"{a} {sign} {b}", strength
    if name in BEFORE and len(args) == 1:
        return f"{BEFORE[name]}{bracketed(args[0], UNARY)}", UNARY
    if name.startswith("positive"):
        return args[0]
    return f"{WORDS.get(name, name)}({', '.join(text for text, _ in args)})", ATOM


def bracketed(x: Formula, strength: int) -> str:
    """The text as an operand of what binds so strongly."""
    return x[0] if x[1] >= strength else f"({x[0]})"


def indexed(name: str, index: Index, letters: dict[Any, str]) -> str:
    """``t1[i, 8 + 16 * j]``"""
    return f"{name}[{', '.join(_place(e, letters) for e in index)}]" if index else name


def _place(element: Any, letters: dict[Any, str]) -> str:
    start, step, atoms = element
    terms: list[str] = []
    each = step
    for atom, size in reversed(atoms):
        terms.insert(0, {1: "", -1: "-"}.get(each, f"{each} * ") + letters[atom])
        each *= size
    if start or not terms:
        terms.insert(0, str(start))
    return " + ".join(terms).replace("+ -", "- ")


class Names:
    """What everything in a program is called.

    Arrays given have their names, and the new value of one that is written a stroke: ``x′``; other
    values in memory are t1, t2, … as they come.
    """

    def __init__(self, program: Assembly) -> None:
        self.fuse, self.recording = program.fuse, program.recording
        self._made: dict[int, str] = {}
        self._numbers = _numbers(self.recording)

    def array(self, v: Value) -> str:
        """Of a value in memory."""
        task = self.fuse.tasks.get(v.id)
        if task is None:
            return self._given(v.attr)
        if task.slot is not None:
            return f"{self._given(task.slot)}{NEW}"
        return self._made.setdefault(v.id, f"t{len(self._made) + 1}")

    def _given(self, slot: int) -> str:
        kind = "input" if slot in self.recording.inputs else "constant"
        return self.recording.names.get(Slot(slot)) or f"{kind}{slot}"

    def seen(self, v: Value) -> str:
        """Of a value where all of it is read: a view of one in memory."""
        if v.op == "number":
            return self.number(v.attr)[0]
        if v.op == "const":
            return constant(v)[0]
        if v.op == "cast":  # a number in the dtype of arrays
            return self.seen(v.args[0])
        if v.op == "input" or v.id in self.fuse.tasks:
            return self.array(v)
        inner = self.seen(v.args[0])
        if v.op == "moved":
            return f"{inner}ᵀ" if v.attr == (1, 0) else f"{inner}.transpose{v.attr}"
        return f"{inner}.reshape{v.shape}"

    def number(self, slot: int) -> Formula:
        """Of a Python number."""
        return self._numbers.get(slot, (f"number{slot}", ATOM))


def constant(v: Value) -> Formula:
    """``1e-05``"""
    text = str(v.dtype.type(v.attr)).removesuffix(".0") if v.dtype.kind in "fc" else str(v.attr)
    return text, UNARY if text.startswith("-") else ATOM


def plural(count: int, word: str) -> str:
    """``1 loop``, ``2 loops``, ``no passes``"""
    return f"{count or 'no'} {word}{'' if count == 1 else 'es' if word.endswith('s') else 's'}"


def _numbers(recording: Recording) -> dict[int, Formula]:
    """Names of the numbers given, and what Python makes of them."""
    found = {int(slot): (recording.called.get(slot, f"number{slot}"), ATOM)
             for slot in recording.numbers}
    found.update((int(slot), (f"{recording.names[of]}.item()", ATOM))
                 for slot, of in recording.read.items() if of in recording.names)
    for function, args, slot, _, _ in recording.arithmetic:
        if slot is not None:
            given = [found[a] if isinstance(a, NumberSlot) else (str(a), ATOM) for a in args]
            found[int(slot)] = applied(function.__name__, given)
    return found


# -- lines of Python -------------------------------------------------------------------------------


def line_of(place: tuple[str, int]) -> str:
    """The text of a line of a file."""
    return linecache.getline(*place).strip()


def spot(place: tuple[str, int]) -> str:
    """``backend/passes.py:98``; of the user's files the name alone."""
    path = Path(place[0])
    inside = PACKAGE in path.parents
    return f"{path.relative_to(PACKAGE).as_posix() if inside else path.name}:{place[1]}"


def function_of(place: tuple[str, int]) -> str:
    """The name of the function that a line is in."""
    file, number = place
    depth = None
    for k in range(number, 0, -1):
        line = linecache.getline(file, k)
        own = len(line) - len(line.lstrip())
        if line.strip() and (depth is None or own < depth):
            found = re.match(r"\s*def (\w+)", line)
            if found:
                return found[1]
            depth = own
    return ""


def assigned(place: tuple[str, int]) -> str:
    """The name that a line gives to its result, or nothing."""
    found = re.match(r"(?:\w+\s*[:=]\s*)?([^\W\d]\w*)\s*(?::[^=]*)?=(?!=)", line_of(place))
    return found[1] if found else ""
