"""Elementwise operations as LLVM IR; for each of them a single instruction or a few."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

COMPARISONS = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le",
               "greater": "gt", "greater_equal": "ge"}
FLOATS = frozenset(("divide", "sqrt", "exp", "log", "expm1", "log1p", "tanh", "reciprocal",
                    "isfinite", "isnan", "isinf", "signbit", "copysign", "frexp", "ldexp", "floor",
                    "ceil", "rint", "trunc", "sign"))
BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and",
        "logical_or": "or", "logical_xor": "xor"}
ANY = frozenset(("add", "subtract", "multiply", "negative", "absolute", "maximum", "minimum",
                 "square", "positive", "where", *COMPARISONS))
NAN_LAST = {"fmax": "maxnum", "fmin": "minnum"}


def known(name: str, dtype: np.dtype) -> bool:
    """Whether loops compute the ufunc of that name in that dtype."""
    if name in BITS:
        return dtype.kind in ("b" if name.startswith("logical") else "biu")
    if name in ("logical_not", "invert"):
        return dtype.kind in ("b" if name == "logical_not" else "biu")
    if name == "power":
        return False
    if dtype.kind == "b":
        return name in ("add", "multiply", "maximum", "minimum", "positive", "where", "equal",
                        "not_equal")
    return name in ANY or (dtype.kind == "f" and (
        name in NAN_LAST or (name in FLOATS and not (name in ("frexp", "ldexp")
                                                    and dtype.char != "f"))))


class Text(Protocol):
    """What writes instructions: see text.py."""

    def put(self, line: str, depth: int) -> str: ...
    def call(self, name: str, args: list[str], t: str, depth: int, flags: str = "") -> str: ...
    def type_of(self, dtype: np.dtype, vector: bool = True) -> str: ...
    def suffix(self, dtype: np.dtype, vector: bool) -> str: ...
    def literal(self, number: Any, dtype: np.dtype, vector: bool = False) -> str: ...


class Arithmetic:
    """One operation in the making: its dtype, its lanes and its place."""

    def __init__(self, writer: Text, dtype: np.dtype, vector: bool, depth: int) -> None:
        self.w, self.dtype, self.vector, self.depth = writer, dtype, vector, depth
        self.t = writer.type_of(dtype, vector)
        self.is_float = dtype.kind == "f"
        self.int = np.dtype(f"i{dtype.itemsize}")
        self.it = writer.type_of(self.int, vector)
        self.bt = writer.type_of(np.dtype(bool), vector)

    def c(self, number: Any) -> str:
        return self.w.literal(number, self.dtype, self.vector)

    def i(self, number: int) -> str:
        return self.w.literal(number, self.int, self.vector)

    def put(self, line: str) -> str:
        return self.w.put(line, self.depth)

    def intrinsic(self, name: str, *x: str, t: str | None = None) -> str:
        t = t or self.t
        kind = self.w.suffix(self.int if t == self.it else self.dtype, self.vector)
        return self.w.call(f"llvm.{name}.{kind}", [f"{t} {a}" for a in x], t, self.depth)

    def op(self, name: str, a: str, b: str) -> str:
        return self.put(f"{name} {self.t} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        return self.intrinsic("fma", a, b, c)

    def select(self, test: str, a: str, b: str, t: str | None = None) -> str:
        return self.put(f"select {self.bt} {test}, {t or self.t} {a}, {t or self.t} {b}")

    def compare(self, how: str, a: str, b: str) -> str:
        return self.put(f"fcmp {how} {self.t} {a}, {b}")

    def as_int(self, a: str) -> str:
        return self.put(f"bitcast {self.t} {a} to {self.it}")

    def as_float(self, a: str) -> str:
        return self.put(f"bitcast {self.it} {a} to {self.t}")

    def int_op(self, name: str, a: str, b: str) -> str:
        return self.put(f"{name} {self.it} {a}, {b}")

    def apply(self, name: str, x: list[str]) -> str:
        method = getattr(self, f"_{name}", None)
        if name.startswith("positive"):
            return x[0]
        if name in COMPARISONS:
            how = COMPARISONS[name]
            if self.is_float:
                return self.compare("une" if how == "ne" else f"o{how}", x[0], x[1])
            sign = "" if how in ("eq", "ne") else "s" if self.dtype.kind == "i" else "u"
            return self.put(f"icmp {sign}{how} {self.t} {x[0]}, {x[1]}")
        if name in BITS:
            return self.op(BITS[name], *x)
        if name in ("logical_not", "invert"):
            ones = True if self.dtype.kind == "b" else -1
            return self.op("xor", x[0], self.c(ones))
        if name in NAN_LAST:
            return self.intrinsic(NAN_LAST[name], *x)
        if name == "where":
            return self.select(*x)
        assert method is not None, name
        result: str = method(*x)
        return result

    def _arith(self, name: str, a: str, b: str) -> str:
        if self.dtype.kind == "b":
            return self.op({"add": "or", "mul": "and"}[name], a, b)
        return self.op(f"f{name} contract" if self.is_float else name, a, b)

    def _add(self, a: str, b: str) -> str:
        return self._arith("add", a, b)

    def _subtract(self, a: str, b: str) -> str:
        return self._arith("sub", a, b)

    def _multiply(self, a: str, b: str) -> str:
        return self._arith("mul", a, b)

    def _square(self, a: str) -> str:
        return self._arith("mul", a, a)

    def _divide(self, a: str, b: str) -> str:
        return self.op("fdiv", a, b)

    def _reciprocal(self, a: str) -> str:
        return self.op("fdiv", self.c(1), a)

    def _negative(self, a: str) -> str:
        return self.put(f"fneg {self.t} {a}") if self.is_float else self.op("sub", self.c(0), a)

    def _absolute(self, a: str) -> str:
        if self.is_float:
            return self.intrinsic("fabs", a)
        if self.dtype.kind == "u":
            return a
        return self.select(self.put(f"icmp slt {self.t} {a}, {self.c(0)}"),
                           self.op("sub", self.c(0), a), a)

    def _extreme(self, name: str, a: str, b: str) -> str:
        if self.is_float:
            how = "olt" if name == "max" else "ogt"
            most = self.select(self.compare(how, a, b), b, a)  # NaN of a stays
            if b.startswith(("0x", "<", "zero")) and "0x7FF8" not in b:  # b is a number
                return most
            return self.select(self.compare("uno", b, b), b, most)
        if self.dtype.kind == "b":
            return self.op("or" if name == "max" else "and", a, b)
        return self.intrinsic(f"{'s' if self.dtype.kind == 'i' else 'u'}{name}", a, b)

    def _maximum(self, a: str, b: str) -> str:
        return self._extreme("max", a, b)

    def _minimum(self, a: str, b: str) -> str:
        return self._extreme("min", a, b)

    def _sqrt(self, a: str) -> str:
        return self.intrinsic("sqrt", a)

    def _floor(self, a: str) -> str:
        return self.intrinsic("floor", a)

    def _ceil(self, a: str) -> str:
        return self.intrinsic("ceil", a)

    def _trunc(self, a: str) -> str:
        return self.intrinsic("trunc", a)

    def _rint(self, a: str) -> str:
        return self.intrinsic("rint", a)

    def _copysign(self, a: str, b: str) -> str:
        return self.intrinsic("copysign", a, b)

    def _sign(self, a: str) -> str:
        one = self.intrinsic("copysign", self.c(1), a)
        return self.select(self.compare("ueq", a, self.c(0)),
                           self.put(f"fadd {self.t} {a}, {self.c(0)}"), one)

    def _signbit(self, a: str) -> str:
        return self.put(f"icmp slt {self.it} {self.as_int(a)}, {self.i(0)}")

    def _isfinite(self, a: str) -> str:
        return self.compare("olt", self.intrinsic("fabs", a), self.c(math.inf))

    def _isinf(self, a: str) -> str:
        return self.compare("oeq", self.intrinsic("fabs", a), self.c(math.inf))

    def _isnan(self, a: str) -> str:
        return self.compare("uno", a, a)
