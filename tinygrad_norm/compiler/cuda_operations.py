"""Elementwise operations as CUDA C++: types, numbers, and an expression for each ufunc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .elementwise import BITS, COMPARISONS

TYPES = {"?": "bool", "b": "signed char", "h": "short", "i": "int", "l": "long long",
         "q": "long long", "B": "unsigned char", "H": "unsigned short", "I": "unsigned int",
         "L": "unsigned long long", "Q": "unsigned long long", "f": "float", "d": "double"}
SIGNS = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
         "greater_equal": ">=", "and": "&", "or": "|", "xor": "^"}
INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
MATH = {"sqrt": "sqrt", "exp": "exp", "log": "log", "expm1": "expm1", "log1p": "log1p",
        "tanh": "tanh", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint",
        "copysign": "copysign", "fmax": "fmax", "fmin": "fmin", "ldexp": "ldexp"}
OWN = frozenset(("maximum", "minimum", "sign", "mantissa", "exponent"))
"""Functions of the text that every module begins with."""

FUNCTIONS = """
template <class T> __device__ T maximum(T a, T b) { return a != a || a > b ? a : b; }
template <class T> __device__ T minimum(T a, T b) { return a != a || a < b ? a : b; }
template <class T> __device__ T sign(T a) { return a > 0 ? T(1) : a < 0 ? T(-1) : a + T(0); }
__device__ float mantissa(float a) { int e; return frexpf(a, &e); }
__device__ int exponent(float a) {
  int e = 0;
  frexpf(a, &e);
  return fabsf(a) < __int_as_float(0x7f800000) ? e : 0;
}
"""

TOTALS = """
struct Add { template <class T> __device__ T operator()(T a, T b) const { return a + b; } };
struct Max { template <class T> __device__ T operator()(T a, T b) const { return maximum(a, b); } };
struct Min { template <class T> __device__ T operator()(T a, T b) const { return minimum(a, b); } };
struct Any { template <class T> __device__ T operator()(T a, T b) const { return a | b; } };
struct All { template <class T> __device__ T operator()(T a, T b) const { return a & b; } };

// the total of X neighbouring threads, for each of them
template <int X, class F, class T> __device__ T along(T v, F f) {
  for (int step = 1; step < (X < 32 ? X : 32); step *= 2)
    v = f(v, T(__shfl_xor_sync(0xffffffffu, v, step)));
  if (X > 32) {
    __shared__ T warps[32];
    const int row = threadIdx.y * (X / 32);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[row + threadIdx.x / 32] = v;
    __syncthreads();
    v = warps[row];
    for (int i = 1; i < X / 32; i++) v = f(v, warps[row + i]);
  }
  return v;
}

// the total of the Y threads above each other, for each of them
template <int X, int Y, class F, class T> __device__ T down(T v, F f) {
  __shared__ T all[X * Y];
  __syncthreads();
  all[threadIdx.y * X + threadIdx.x] = v;
  for (int half = Y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
      all[threadIdx.y * X + threadIdx.x] = f(all[threadIdx.y * X + threadIdx.x],
                                             all[(threadIdx.y + half) * X + threadIdx.x]);
  }
  __syncthreads();
  return all[threadIdx.x];
}
"""
FOLDS = {"sum": "Add", "max": "Max", "min": "Min", "any": "Any", "all": "All"}
"""What a sum is added up by."""


def literal(number: Any, dtype: np.dtype) -> str:
    """A number of the formula, to its last digit."""
    if dtype.kind == "b":
        return "true" if number else "false"
    if dtype.kind != "f":
        text = f"{int(number)}{'u' if dtype.kind == 'u' else ''}{'ll' * (dtype.itemsize == 8)}"
        if dtype.itemsize < 4:
            return f"({TYPES[dtype.char]})({text})"
        return text if int(number) > -2**63 else f"({int(number) + 1}ll - 1)"
    with np.errstate(over="ignore"):
        exact = float(dtype.type(number))
    if not math.isfinite(exact):
        bits = {math.inf: "7f8", -math.inf: "ff8"}.get(exact, "7fc")
        one = f"__int_as_float(0x{bits}00000)"
        return one if dtype.itemsize == 4 else f"double({one})"
    digits, end = ("%.9g", "f") if dtype.itemsize == 4 else ("%.17g", "")
    text = digits % exact
    text = f"{text if set(text) & set('.e') else text + '.0'}{end}"
    return f"({text})" if text.startswith("-") else text


def expression(name: str, x: list[str], dtype: np.dtype) -> str:
    """A ufunc of arguments of ``dtype``, which are names or literals."""
    if name.startswith("positive"):
        return x[0]
    if name in COMPARISONS or name in BITS:
        return f"{x[0]} {SIGNS[name if name in COMPARISONS else BITS[name]]} {x[1]}"
    if name in INFIX:
        if dtype.kind == "b":
            return f"{x[0]} {'&' if name == 'multiply' else '|'} {x[1]}"
        return f"{x[0]} {INFIX[name]} {x[1]}"
    if name in OWN:
        return f"{name}({', '.join(x)})"
    if name in MATH:
        return f"{MATH[name]}{'f' * (dtype.itemsize == 4)}({', '.join(x)})"
    size = f"fabs{'f' * (dtype.itemsize == 4)}({x[0]})"
    infinity = literal(math.inf, dtype) if dtype.kind == "f" else ""
    return {
        "where": lambda: f"{x[0]} ? {x[1]} : {x[2]}",
        "square": lambda: f"{x[0]} * {x[0]}",
        "negative": lambda: f"-{x[0]}",
        "reciprocal": lambda: f"{literal(1, dtype)} / {x[0]}",
        "absolute": lambda: size if dtype.kind == "f" else f"{x[0]} < 0 ? -{x[0]} : {x[0]}",
        "logical_not": lambda: f"!{x[0]}",
        "invert": lambda: f"{'!' if dtype.kind == 'b' else '~'}{x[0]}",
        "isnan": lambda: f"{x[0]} != {x[0]}",
        "isfinite": lambda: f"{size} < {infinity}",
        "isinf": lambda: f"{size} == {infinity}",
        "signbit": lambda: f"copysign(1.0, double({x[0]})) < 0",
    }[name]()


def cast(x: str, a: np.dtype, b: np.dtype) -> str:
    """x of dtype a as one of dtype b."""
    if TYPES[a.char] == TYPES[b.char]:
        return x
    return f"{x} != 0" if b.kind == "b" else f"({TYPES[b.char]}){x}"


def bits(x: str, a: np.dtype, b: np.dtype) -> str:
    """The bits of x, of dtype a, read as dtype b."""
    if TYPES[a.char] == TYPES[b.char] or "f" not in a.kind + b.kind:
        return cast(x, a, b)
    whole = {4: "int", 8: "longlong"}[a.itemsize]
    real = {4: "float", 8: "double"}[a.itemsize]
    if a.kind == "f":
        return f"({TYPES[b.char]})__{real}_as_{whole}({x})"
    return f"__{whole}_as_{real}({x})"
