"""Loops against the plain run of the same recording, and single operations against more digits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="loops need llvmlite")

from tinygrad_norm.backend.array import array_module
from tinygrad_norm.compiler.device import record
from tinygrad_norm.compiler.plain import Plain
from tinygrad_norm.compiler.program import Program
from tinygrad_norm.compiler.traced import run

SHAPES = [(32, 64), (100, 70), (300, 10), (1, 5), (7, 33), (1000, 3), (5, 1), (1, 1), (333, 1024)]
PICTURES = [(4, 8, 5, 7), (2, 16, 4, 4), (8, 32, 14, 14), (3, 8, 1, 1)]


def draw(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def ran(function, *arrays, general=False):
    """(results and arrays after the loops, the same after the plain run, the program)."""
    recording = record(function, arrays)
    program = Program(recording, general=general)
    both = []
    for runner in (program, Plain(recording)):
        own = [a.copy("K") for a in arrays]
        both.append([*runner.run(own, recording.evaluator()([])), *own])
    return *both, program


def check(function, *arrays, general=False, tolerance=3e-6):
    got, expected, program = ran(function, *arrays, general=general)
    for x, y in zip(got, expected, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if y.dtype.kind == "f" and y.size:
            scale = max(np.nanmax(np.abs(y), initial=0, where=np.isfinite(y)), 1e-30)
            np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * float(scale))
        else:
            np.testing.assert_array_equal(x, y)
    return program


def standardized(x, axes):
    n = np.prod([x.shape[a] for a in axes]).item()
    d = x - x.sum(axis=axes, keepdims=True) / n
    return d / ((d * d).sum(axis=axes, keepdims=True) / n + 1e-5) ** 0.5


def batch_norm(x, w, b):
    beside = (1, -1) + (1,) * (x.ndim - 2)
    y = standardized(x, (0, *range(2, x.ndim)))
    return y * w.reshape(beside) + b.reshape(beside)


def layer_norm(x, w, b):
    return standardized(x, (-1,)) * w + b


def group_norm(x, w, b):
    n, c, *spatial = x.shape
    y = standardized(x.reshape(n, 4, c // 4, *spatial), (2, 3, 4))
    return y.reshape(x.shape) * w.reshape(1, -1, 1, 1) + b.reshape(1, -1, 1, 1)


def layer_norm_gradient(x, dy, w):
    n = x.shape[-1]
    d = x - x.sum(axis=-1, keepdims=True) / n
    s = ((d * d).sum(axis=-1, keepdims=True) / n + 1e-5) ** 0.5
    h, g = d / s, dy * w
    dx = (g - g.sum(axis=-1, keepdims=True) / n - h * ((g * h).sum(axis=-1, keepdims=True) / n)) / s
    return dx, (dy * h).sum(axis=0), dy.sum(axis=0)


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [batch_norm, layer_norm, layer_norm_gradient])
def test_rows_and_columns(function, shape, general):
    last = draw(*shape, seed=2) if function is layer_norm_gradient else draw(shape[1], seed=2)
    arrays = (draw(*shape), last, draw(shape[1], seed=1))
    check(function, *arrays, general=general)


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("shape", PICTURES)
@pytest.mark.parametrize("function", [batch_norm, group_norm])
def test_pictures(function, shape, general):
    program = check(function, draw(*shape), draw(shape[1], seed=1), draw(shape[1], seed=2),
                    general=general)
    assert not program.calls


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1000, 70), (4096, 64), (777, 300), (70, 70, 33)])
def test_sums_over_many_rows(shape, dtype, general):
    def sums(x, y):
        axes = tuple(range(x.ndim - 1))
        return x.sum(axis=axes, dtype="float64"), (x * y).sum(axis=axes), x.max(axis=axes)

    check(sums, draw(*shape, dtype=dtype), draw(*shape, seed=1, dtype=dtype), general=general)


def writes(x, w):
    x -= w * 0.5
    w *= 2
    x[1] = 3
    x[:, 0] = w[0, 0]
    return x.sum(), (x > 0).any(), x.max(axis=1), w.min(), (x > 5).all()


def views(x, w):
    z = x.T.copy()
    z += 1
    return z, x.T + w.T, x[1:, ::2] * 2, x.T.reshape(-1) + 1, x[-1], x[..., None], x.reshape(-1, 2)


def products(x, w):
    return (x @ w.T).T * 2, (x * 2) @ (w.T + 1), (x[0] @ w[1]), x.T @ x


def chains(x, w):
    m = array_module(x)
    y = m.where(x > 0, x, w * 2)
    return m.maximum(y, 0.5), m.minimum(y, w), abs(x) ** 3, x / w, -y, (x > w) & (x < 1), x**-1.0


def mixed(x, w):
    m = array_module(x)
    i = m.arange(8)
    same = i[None] == (i % 3)[:, None]
    return x * i, (x > 0) * w, x.astype("float64") + w, (x > 0).sum(axis=0), same


def gathered(x, w):
    m = array_module(x)
    return m.take(x, np.array([3, 1, 1]), axis=0) * 2, m.cumsum(w, axis=0) + x, x[np.array([2, 0])]


def several(x, w):
    m = array_module(x)
    whole, rest = m.divmod(x, w * w + 1)
    fraction, exponent = m.frexp(x.astype("float64"))
    return whole * 2, rest + 1, fraction, exponent, m.modf(x)[1] - w


@pytest.mark.parametrize("function", [
    writes, views, products, chains, mixed, gathered, several])
def test_programs(function):
    check(function, draw(6, 8), draw(6, 8, seed=1))


def empty_results(x):
    return x * 2, x.sum(axis=0), x.sum(), x.reshape(-1) + 1


def test_a_call_with_several_results_is_made_once():
    counts = []

    def halves(x):
        counts.append(1)
        return np.split(x, 2)

    def step(x):
        low, high = run(halves, x * 2)
        return low + high

    program = Program(record(step, [draw(6)]))
    counts.clear()
    (got,) = program.run([draw(6)], [])
    assert len(counts) == 1
    np.testing.assert_array_equal(got, draw(6)[:3] * 2 + draw(6)[3:] * 2)


def test_empty_and_scalar():
    check(empty_results, np.zeros((0, 3), np.float32))
    check(lambda x, y: (x + y, x * 2 - y), np.asarray(np.float32(2)), np.asarray(np.float32(3)))


def test_state_that_is_not_contiguous():
    x = np.asfortranarray(draw(6, 8))

    def double(x):
        x *= 2
        return x.sum()

    check(double, x)


def test_a_guard_stops_before_a_write():
    from tinygrad_norm.backend.choose import expect

    def step(x, w):
        w += 1
        assert expect(type(x))((x < 10).all())
        w += x.sum()
        return w * 2

    recording = record(step, [draw(5), draw(3)])
    program = Program(recording)
    w = draw(3)
    assert program.run([draw(5), w], []) is not None
    before = w.copy()
    assert program.run([draw(5) + 100, w], []) is None
    np.testing.assert_array_equal(w, before)


def test_numbers_that_change():
    def step(x, w, rate):
        w -= x * rate
        return w + rate * 2

    recording = record(step, [draw(5), draw(5)], [0.5])
    program, values = Program(recording), recording.evaluator()
    for rate in (0.5, 0.25):
        w = draw(5)
        got, = program.run([draw(5), w], values([rate]))
        np.testing.assert_allclose(got, draw(5) * (1 - np.float32(rate)) + np.float32(rate * 2),
                                   rtol=1e-6)


def test_a_product_adds_itself_to_a_state():
    def step(p, m, x, dy, momentum):
        m *= momentum
        m += dy.T @ x
        p -= m * 0.5

    arrays = draw(7, 5), draw(7, 5, seed=1), draw(9, 5, seed=2), draw(9, 7, seed=3)
    recording = record(lambda *given: (step(*given), given[0])[1], arrays, [0.9])
    program = Program(recording)
    assert any(t.factor is not None for t in program.fuse.tasks.values())
    values = recording.evaluator()([0.25])
    got, expected = ([a.copy() for a in arrays] for _ in range(2))
    program.run(got, values)
    Plain(recording).run(expected, values)
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def test_sizes_are_arguments():
    texts = {Program(record(batch_norm, [draw(n, 96), draw(96), draw(96)]), general=True).text
             for n in (1000, 1024, 5000)}
    assert len(texts) == 1


def test_an_equal_layer_is_the_same_code():
    def layers(x, w, b):
        for _ in range(40):
            x = layer_norm(x, w, b) @ w[:, None] * b
        return x

    program = Program(record(layers, [draw(16, 8), draw(8), draw(8)]))
    assert len({name for _, name in program.nests}) < 8 < len(program.nests)


ULPS = {"exp": 1.5, "log": 1.5, "expm1": 2, "log1p": 2.5, "tanh": 2.5, "sqrt": 0.51, "rint": 0,
        "floor": 0, "ceil": 0, "trunc": 0, "sign": 0, "absolute": 0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ULPS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_against_more_digits(name, dtype):
    info = np.finfo(dtype)
    edge = float(np.log(info.max)) * 1.3
    x = np.concatenate([
        np.linspace(-edge, edge, 20001), draw(20000, dtype="float64") * 3,
        draw(1000, dtype="float64") * 1e-3,
        [0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.max, info.tiny * 0.25, -info.max],
    ]).astype(dtype)
    (got, _), _, program = ran(lambda x: getattr(array_module(x), name)(x), x)
    assert not program.calls
    exact = getattr(np, name)(x.astype(np.longdouble))
    expected = exact.astype(dtype)
    finite = np.isfinite(expected) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], expected[~finite])
    ulps = np.abs(got[finite] - exact[finite]) / np.spacing(np.abs(expected[finite]))
    assert ulps.max() <= ULPS[name]


@pytest.mark.parametrize("name", ["isfinite", "isnan", "isinf", "signbit"])
def test_questions(name):
    x = np.float32([0, -0.0, 1, np.inf, -np.inf, np.nan, -3, 1e-44])
    check(lambda x: getattr(array_module(x), name)(x), x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_of_two():
    def taken(x):
        m = array_module(x)
        fraction, exponent = m.frexp(x)
        return fraction, exponent, m.ldexp(x, -exponent), m.ldexp(x, exponent.clip(-126, 126))

    x = np.concatenate([draw(100), np.float32([0, -0.0, 1e-45, 1e-39, 3e38, np.inf, np.nan])])
    got, expected, _ = ran(taken, x)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("general", [False, True])
def test_a_part_that_is_all_is_read_after_it_was_written(general):
    def reversed_into(x):
        y = x * 1
        y[::-1] = x + 1
        return y * 2

    def of_one_value(x):
        y = x.sum(keepdims=True)
        y[0] = y[0] + 1
        z = y * 1
        z[0] += 3
        return z * 2, y

    check(reversed_into, draw(40), general=general)
    check(of_one_value, draw(9), general=general)
