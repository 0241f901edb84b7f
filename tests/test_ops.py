"""Every operation of the table: values, gradients of order 1 to 4, dtypes, purity, memory."""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from case import Case, R
from cases import ACTIVATIONS, BINARY, CASES, SMOOTH, UNARY

import tinygrad_norm as tn
from tinygrad_norm.autograd.op import Primitive

TOLERANCE = {"float16": 4e-3, "float32": 3e-6, "float64": 1e-13}
"""Relative to the largest value of the result."""

STEP, REACH = Fraction(3, 200), 6
"""Differences are taken at 2·REACH + 1 points, STEP apart, in long double precision."""

EXTENDED = np.finfo(np.longdouble).eps < 1e-17
"""Not where long double is only double (Windows, macOS on ARM): there order 4 means little."""


def by_name(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[c.name for c in cases])


def tensors(case: Case, device: str, *, dtype: str = "float64", grad: bool = True) -> list[Any]:
    return [tn.tensor(x, dtype=dtype, device=device, requires_grad=grad) for x in case.inputs()]


def many(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def array(x: tn.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def draw(seed: int, shapes: Any) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, shape) for shape in shapes]


def close(got: Any, expected: Any, tolerance: float) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    scale = np.max(np.abs(expected), initial=1e-3) if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=float(tolerance * scale))


@by_name(CASES)
def test_value(case: Case, device: str) -> None:
    for result, expected in zip(many(case.function(tn, *tensors(case, device, grad=False))),
                                many(case.expected(*case.inputs())), strict=True):
        assert result.device.type == device
        assert not result.requires_grad
        assert result.dtype == np.asarray(expected).dtype
        close(array(result), expected, TOLERANCE["float64"])


@by_name(CASES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtype_is_kept(case: Case, device: str, dtype: str) -> None:
    xs = tensors(case, device, dtype=dtype, grad=case.smooth)
    wide = [array(x).astype("float64") for x in xs]
    with np.errstate(invalid="ignore", divide="ignore"):
        results = many(case.function(tn, *xs))
    for result, expected in zip(results, many(case.expected(*wide)), strict=True):
        if result.is_floating_point():
            assert result.dtype == np.dtype(dtype)
        close(array(result).astype("float64"), np.asarray(expected, "float64"),
              4 * TOLERANCE[dtype])
    if case.smooth:
        for gradient in tn.autograd.grad(sum(y.sum() for y in results), xs):
            assert gradient.dtype == np.dtype(dtype)


@by_name(CASES)
@pytest.mark.parametrize("layout", ["transposed", "strided", "reversed"])
def test_memory_layout_does_not_matter(case: Case, layout: str) -> None:
    given = case.inputs()
    if layout == "transposed":
        placed = [x.T.copy().T for x in given]
    elif layout == "strided":
        placed = [np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x for x in given]
    else:
        placed = [np.flip(x).copy()[(slice(None, None, -1),) * x.ndim] for x in given]
    runs = []
    for arrays in (given, placed):
        xs = [tn.from_numpy(np.asarray(a)).requires_grad_() for a in arrays]
        if case.name == "view" and arrays is placed and layout == "transposed":
            with pytest.raises(RuntimeError, match="has no view of shape"):
                case.function(tn, *xs)
            return
        ys = many(case.function(tn, *xs))
        gradients = tn.autograd.grad(sum(y.sum() for y in ys), xs) if case.smooth else ()
        runs.append([*ys, *gradients])
    for a, b in zip(*runs, strict=True):
        close(array(a), array(b), TOLERANCE["float64"])


# -- derivatives ---------------------------------------------------------------------------------


@functools.cache
def stencil(order: int) -> list[Fraction]:
    """Weights w with Σ w f(k STEP) = f⁽ᵒʳᵈᵉʳ⁾(0), k = -REACH … REACH, exact to degree 2·REACH."""
    points = [k * STEP for k in range(-REACH, REACH + 1)]
    size = len(points)
    rows = [[p**i for p in points] + [Fraction(0)] for i in range(size)]
    rows[order][-1] = Fraction(functools.reduce(int.__mul__, range(1, order + 1), 1))
    for i in range(size):  # Gauss's elimination, in fractions
        pivot = next(r for r in range(i, size) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(size):
            if r != i and rows[r][i] != 0:
                factor = rows[r][i]
                rows[r] = [v - factor * u for v, u in zip(rows[r], rows[i], strict=True)]
    return [row[-1] for row in rows]


def expected_derivatives(case: Case, ways: list[np.ndarray], weights: list[np.ndarray]) -> Any:
    """Order 1 to 4 of Σ weights f(x + t ways) at t = 0, from NumPy alone."""
    wide = np.longdouble
    xs, vs = [x.astype(wide) for x in case.inputs()], [v.astype(wide) for v in ways]
    values = []
    for k in range(-REACH, REACH + 1):
        t = wide((k * STEP).numerator) / wide((k * STEP).denominator)
        ys = many(case.expected(*(x + t * v for x, v in zip(xs, vs, strict=True))))
        values.append(sum(((w * y).sum() for w, y in zip(weights, ys, strict=True)), wide(0)))
    return [sum((wide(w.numerator) / wide(w.denominator) * f
                 for w, f in zip(stencil(order), values, strict=True)), wide(0))
            for order in range(1, 5)]


@by_name(SMOOTH)
def test_gradients_of_order_1_to_4(case: Case, device: str) -> None:
    """The derivatives along a line, each the gradient of the one before, against differences.

    The differences are of the NumPy formula in long double: no rule of ours takes part.
    """
    xs = tensors(case, device)
    ways = draw(1, [x.shape for x in xs])
    ys = many(case.function(tn, *xs))
    weights = draw(2, [y.shape for y in ys])
    vs = [tn.tensor(v, device=device) for v in ways]
    s: Any = sum((y * tn.tensor(w, device=device)).sum()
                 for y, w in zip(ys, weights, strict=True))
    expected = expected_derivatives(case, ways, weights)
    for order in range(1, 5):
        if s.requires_grad:
            gradients = tn.autograd.grad(s, xs, create_graph=True, allow_unused=True)
            s = sum(((g * v).sum() for g, v in zip(gradients, vs, strict=True) if g is not None),
                    tn.zeros((), dtype="float64", device=device))
        else:
            s = tn.zeros((), dtype="float64")
        tolerance = (1e-9 if EXTENDED else 10.0 ** (2 * order - 10)) * max(
            1, *(abs(float(e)) for e in expected[: order + 1]))
        assert abs(s.item() - float(expected[order - 1])) <= tolerance, f"order {order}"


ELEMENTWISE = [replace(c, shapes=((),) * len(c.shapes))
               for c in (*UNARY, *BINARY, *ACTIVATIONS) if set(c.shapes) == {R}]


@by_name(ELEMENTWISE)
def test_gradients_without_dimensions(case: Case, device: str) -> None:
    """NumPy gives scalars instead of arrays then, which lack some methods and all writing."""
    test_gradients_of_order_1_to_4(case, device)
    test_inputs_stay_as_they_were(case, device)


@by_name(SMOOTH)
def test_rules_on_arrays_and_on_tensors_agree(case: Case, device: str) -> None:
    """Without and with create_graph, at first and at second order."""
    xs = tensors(case, device)
    s = sum((y * y).sum() for y in many(case.function(tn, *xs)))
    for _ in range(2):
        if not s.requires_grad:
            return
        plain = tn.autograd.grad(s, xs, retain_graph=True, allow_unused=True)
        recorded = tn.autograd.grad(s, xs, create_graph=True, allow_unused=True)
        for x, a, b in zip(xs, plain, recorded, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert not a.requires_grad
                assert a.shape == b.shape == x.shape
                assert a.dtype == b.dtype == x.dtype
                assert a.device == b.device == x.device
                close(array(a), array(b), 1e-14)
        s = sum((g * g * g).sum() for g in recorded if g is not None)


@by_name([c for c in SMOOTH if len(c.shapes) > 1])
def test_each_input_alone(case: Case) -> None:
    """Which inputs require grad decides what is saved, never the result."""
    together = tensors(case, "cpu")
    s = sum((y * y).sum() for y in many(case.function(tn, *together)))
    gradients = tn.autograd.grad(s, together)
    for i, expected in enumerate(gradients):
        xs = tensors(case, "cpu", grad=False)
        xs[i].requires_grad_()
        s = sum((y * y).sum() for y in many(case.function(tn, *xs)))
        (got,) = tn.autograd.grad(s, xs[i])
        close(array(got), array(expected), 1e-14)


@by_name(CASES)
def test_inputs_stay_as_they_were(case: Case, device: str) -> None:
    """And with them the results: no backward writes into what a caller holds."""
    xs = tensors(case, device, grad=case.smooth)
    before = [array(x).copy() for x in xs]
    ys = many(case.function(tn, *xs))
    held = [array(y).copy() for y in ys]
    if case.smooth:
        seeds = [tn.ones_like(y) for y in ys]
        gradients = tn.autograd.grad(ys, xs, seeds, retain_graph=True)
        kept = [array(g).copy() for g in gradients]
        tn.autograd.grad(ys, xs, seeds)
        for seed in seeds:
            assert (array(seed) == 1).all()
        for g, k in zip(gradients, kept, strict=True):
            np.testing.assert_array_equal(array(g), k)
    for x, b in zip([*xs, *ys], [*before, *held], strict=True):
        np.testing.assert_array_equal(array(x), b)


@by_name(SMOOTH)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_have_memory_of_their_own(case: Case, create_graph: bool) -> None:
    xs = tensors(case, "cpu")
    ys = many(case.function(tn, *xs))
    seeds = [tn.ones_like(y) for y in ys]
    tn.autograd.backward(ys, seeds, create_graph=create_graph)
    gradients = [x.grad.array for x in xs]
    others = [*(x.array for x in xs), *(y.array for y in ys), *(s.array for s in seeds)]
    for i, g in enumerate(gradients):
        for other in [*gradients[:i], *others]:
            assert not np.shares_memory(g, other)
        assert g.flags.writeable


def test_nothing_is_left_to_the_garbage_collector(device: str) -> None:
    """Forward, backward, and backward again, of every row."""

    def run(case: Case) -> None:
        xs = tensors(case, device)
        ys = many(case.function(tn, *xs))
        s = sum((y * y).sum() for y in ys)
        first = tn.autograd.grad(s, xs, create_graph=True)
        second = sum((g * g).sum() for g in first)
        if second.requires_grad:
            tn.autograd.grad(second, xs, retain_graph=True, allow_unused=True)
        s.backward()

    for case in SMOOTH:
        run(case)  # fills the caches
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for case in SMOOTH:
            run(case)
            assert gc.collect() == 0, case.name
    finally:
        gc.enable()
        gc.unfreeze()


OPERATIONS = ("activation", "choice", "convolution", "elementwise", "linalg", "loss", "moments",
              "pooling", "reduction", "shape", "transfer", "windows")


def test_every_rule_takes_its_operations_settings() -> None:
    """A rule gets the settings of the call: it knows each, and the defaults of those left out."""
    primitives = [value for name in OPERATIONS
                  for value in vars(importlib.import_module(f"tinygrad_norm.ops.{name}")).values()
                  if isinstance(value, Primitive)]
    assert len(primitives) > 60
    for primitive in primitives:
        settings = {n: p for n, p in inspect.signature(primitive.function).parameters.items()
                    if p.kind is p.KEYWORD_ONLY}
        for _, rule in primitive.rules:
            taken = {n: p.default for n, p in inspect.signature(rule).parameters.items()
                     if p.kind is p.KEYWORD_ONLY}
            assert set(taken) == set(settings), f"{primitive}: {rule}"
            for name, setting in settings.items():
                if setting.default is not setting.empty:
                    assert taken[name] == setting.default, f"{primitive}: default of {name}"
