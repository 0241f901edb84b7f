"""Numbers and vectors in LLVM IR: types, literals, instructions, conversions."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .exponential import Operation

TYPES = {"?": "i1", "b": "i8", "h": "i16", "i": "i32", "l": "i64", "q": "i64", "B": "i8",
         "H": "i16", "I": "i32", "L": "i64", "Q": "i64", "f": "float", "d": "double"}

class Text:
    """What a writer of text knows of single operations."""

    lanes = 1
    levels: list[list[str]]
    memo: list[dict[Any, Any]]

    def __init__(self) -> None:
        self._count_of_names = 0
        self.declared: set[str] = set()
        self.born: dict[str, int] = {}

    def number(self) -> int:
        self._count_of_names += 1
        return self._count_of_names

    def fresh(self) -> str:
        return f"%v{self.number()}"

    def put(self, line: str, depth: int) -> str:
        """One instruction, among those of that depth; its result's name."""
        name = self.fresh()
        self.levels[depth].append(f"  {name} = {line}")
        self.born[name] = depth
        return name

    # -- types and numbers -------------------------------------------------------------------------

    def scalar_type(self, dtype: np.dtype) -> str:
        return TYPES[dtype.char]

    def type_of(self, dtype: np.dtype, vector: bool = True) -> str:
        t = TYPES[dtype.char]
        return f"<{self.lanes} x {t}>" if vector else t

    def memory_type(self, dtype: np.dtype) -> str:
        return "i8" if dtype.kind == "b" else TYPES[dtype.char]

    def short(self, t: str) -> str:
        return {"float": "f32", "double": "f64"}.get(t, t)

    def suffix(self, dtype: np.dtype, vector: bool) -> str:
        s = self.short(TYPES[dtype.char])
        return f"v{self.lanes}{s}" if vector else s

    def literal(self, number: Any, dtype: np.dtype, vector: bool = False) -> str:
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                exact = float(dtype.type(number))
            text = f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
        elif dtype.kind == "b":
            text = "true" if number else "false"
        else:
            text = str(int(number))
        if not vector:
            return text
        return f"<{', '.join([f'{TYPES[dtype.char]} {text}'] * self.lanes)}>"

    def call(self, name: str, args: list[str], t: str, depth: int, flags: str = "") -> str:
        """A call of an intrinsic; args are ``type value``."""
        kinds = [_type_of(a) for a in args]
        self.declared.add(f"declare {t} @{name}({', '.join(kinds)})")
        text = f"call {flags}{t} @{name}({', '.join(args)})"
        if t == "void":
            self.levels[depth].append(f"  {text}")
            return ""
        return self.put(text, depth)

    def splat(self, name: str, dtype: np.dtype, depth: int) -> str:
        """A number in every lane; computed where the number is."""
        if not name.startswith("%"):
            return f"<{', '.join([f'{TYPES[dtype.char]} {name}'] * self.lanes)}>"
        depth = min(depth, self.born.get(name, depth if name.startswith("%i") else 0))
        key = ("splat", name)
        if key not in self.memo[depth]:
            t = self.type_of(dtype)
            one = self.put(f"insertelement {t} poison, {TYPES[dtype.char]} {name}, i64 0", depth)
            self.memo[depth][key] = (self.put(
                f"shufflevector {t} {one}, {t} poison, <{self.lanes} x i32> zeroinitializer",
                depth), False)
        found: str = self.memo[depth][key][0]
        return found

    def lanes_of(self, value: tuple[str, bool], dtype: np.dtype, depth: int) -> str:
        name, is_vector = value
        return name if is_vector else self.splat(name, dtype, depth)

    # -- conversions -------------------------------------------------------------------------------

    def cast(self, value: tuple[str, bool], a: np.dtype, b: np.dtype,
             depth: int) -> tuple[str, bool]:
        name, vector = value
        if TYPES[a.char] == TYPES[b.char] and (a.kind == b.kind or "f" not in a.kind + b.kind):
            return value
        old, new = self.type_of(a, vector), self.type_of(b, vector)
        if not name.startswith(("%", "<")) and not vector:
            raise AssertionError(f"a literal {name} of {a} as {b}")
        if b.kind == "b":
            zero = "zeroinitializer" if vector else self.literal(0, a)
            how = "fcmp une" if a.kind == "f" else "icmp ne"
            return self.put(f"{how} {old} {name}, {zero}", depth), vector
        if a.kind == "f":
            how = "fpext" if b.kind == "f" and b.itemsize > a.itemsize else "fptrunc" \
                if b.kind == "f" else "fptoui" if b.kind == "u" else "fptosi"
        elif b.kind == "f":
            how = "sitofp" if a.kind == "i" else "uitofp"
        elif b.itemsize > a.itemsize or a.kind == "b":
            how = "sext" if a.kind == "i" else "zext"
        else:
            how = "trunc"
        return self.put(f"{how} {old} {name} to {new}", depth), vector

    def bitcast(self, value: tuple[str, bool], a: np.dtype, b: np.dtype,
                depth: int) -> tuple[str, bool]:
        name, vector = value
        old, new = self.type_of(a, vector), self.type_of(b, vector)
        return value if old == new else (self.put(f"bitcast {old} {name} to {new}", depth), vector)

    # -- operations --------------------------------------------------------------------------------

    def apply(self, name: str, x: list[str], dtype: np.dtype, vector: bool, depth: int) -> str:
        """A ufunc of arguments of ``dtype``."""
        return Operation(self, dtype, vector, depth).apply(name, x)


def _type_of(argument: str) -> str:
    """The type of ``type value``; a value may have spaces in it, a type ends with > or a word."""
    if argument.startswith("<"):
        return argument[:argument.index(">") + 1]
    return argument.split(" ", 1)[0]
