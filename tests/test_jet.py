"""Jets: the series of every function, and NumPy's words."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from cases import SMOOTH
from norm_cases import Series

import tinygrad_norm as tn
from tinygrad_norm.autograd.graph import wrap
from tinygrad_norm.backend.array import array_module, backend_of, device_of, is_array, to_device
from tinygrad_norm.errors import DeviceError
from tinygrad_norm.proof import Jet, jet_functions, jets

ORDER = 6


@pytest.fixture(autouse=True)
def _jets_are_arrays() -> Iterator[None]:
    with jets():
        yield


# -- functions of one variable, against mpmath -----------------------------------------------------

POLYNOMIAL = [0.7, 1.3, -0.4, 0.25]
"""u(t), positive and near 1."""


def moving(shift: float = 0.0) -> Jet:
    return Jet([POLYNOMIAL[0] + shift, *POLYNOMIAL[1:], *[0.0] * (ORDER + 1 - len(POLYNOMIAL))])


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "exp": (np.exp, mpmath.exp),
    "exp2": (np.exp2, lambda u: 2**u),
    "expm1": (np.expm1, mpmath.expm1),
    "log": (np.log, mpmath.log),
    "log1p": (np.log1p, mpmath.log1p),
    "sqrt": (np.sqrt, mpmath.sqrt),
    "sin": (np.sin, mpmath.sin),
    "cos": (np.cos, mpmath.cos),
    "tanh": (np.tanh, mpmath.tanh),
    "erf": (jet_functions.erf, mpmath.erf),
    "sigmoid": (lambda u: 1 / (1 + np.exp(-u)), lambda u: 1 / (1 + mpmath.exp(-u))),
    "softplus": (lambda u: np.log1p(np.exp(u)), lambda u: mpmath.log(1 + mpmath.exp(u))),
    "square": (np.square, lambda u: u * u),
    "reciprocal": (np.reciprocal, lambda u: 1 / u),
    "u / (1 + u²)": (lambda u: u / (1 + u * u), lambda u: u / (1 + u * u)),
    "u³": (lambda u: u**3, lambda u: u**3),
    "u⁰": (lambda u: u**0, lambda u: mpmath.mpf(1)),
    "u⁻²": (lambda u: u**-2, lambda u: 1 / u**2),
    "u^½": (lambda u: u**0.5, mpmath.sqrt),
    "u^-2.3": (lambda u: u**-2.3, lambda u: u**mpmath.mpf(-2.3)),
    "u⁷⁰": (lambda u: u**70, lambda u: u**70),
    "uᵘ": (lambda u: u**u, lambda u: u**u),
    "1.7ᵘ": (lambda u: 1.7**u, lambda u: mpmath.mpf(1.7)**u),
    "logsumexp": (lambda u: np.log(np.exp(u) + np.exp(u * u)),
                  lambda u: mpmath.log(mpmath.exp(u) + mpmath.exp(u * u))),
}


@pytest.mark.parametrize("shift", [0.0, 1.1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_series_of_functions(name: str, shift: float) -> None:
    """Each coefficient to order 6, relative to float64."""
    ours, exact = FUNCTIONS[name]
    with mpmath.workdps(40):
        def composed(t: Any) -> Any:
            start = [POLYNOMIAL[0] + shift, *POLYNOMIAL[1:]]
            return exact(sum(mpmath.mpf(c) * t**k for k, c in enumerate(start)))

        expected = np.array([float(c) for c in mpmath.taylor(composed, 0, ORDER)])
    got = np.array([float(c) for c in ours(moving(shift)).c])
    scale = np.maximum.accumulate(np.abs(expected))
    assert (np.abs(got - expected) <= 1e-14 * scale).all()


@pytest.mark.parametrize(("function", "inverse"), [
    (np.exp, np.log), (np.log, np.exp), (np.expm1, np.log1p), (np.sqrt, np.square),
    (np.reciprocal, np.reciprocal), (lambda u: u**1.5, lambda u: u ** (2 / 3)),
    (np.negative, np.negative), (lambda u: u * 3 - 1, lambda u: (u + 1) / 3),
])
def test_inverse_functions_give_the_line_back(function: Any, inverse: Any) -> None:
    t = Jet.line(1.25, 1.0, ORDER)
    np.testing.assert_allclose(inverse(function(t)).derivatives, t.derivatives, atol=1e-14)


def test_sin_and_cos_stay_on_the_circle() -> None:
    u = moving()
    y = np.sin(u) ** 2 + np.cos(u) ** 2
    np.testing.assert_allclose(y.derivatives, [1.0] + [0.0] * ORDER, atol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_whole_powers_at_zero(n: int) -> None:
    """tⁿ, where a rule that divides by t has no answer; a power for each element too."""
    t = Jet.line(np.zeros(2), np.ones(2), ORDER)
    expected = np.zeros((ORDER + 1, 2))
    expected[n] = math.factorial(n)
    np.testing.assert_array_equal((t**n).derivatives[: len((t**n).c)], expected)
    mixed = t ** np.array([n, 3])
    expected[:, 1] = np.eye(ORDER + 1)[3] * 6
    np.testing.assert_array_equal(mixed.derivatives, expected)


def test_orders() -> None:
    """A line has as many coefficients as asked for, and what is made of it too."""
    for order in (1, 2, 9):
        t = Jet.line([0.0, 1.0], [1.0, 1.0], order)
        assert np.exp(t).derivatives.shape == (order + 1, 2)
        np.testing.assert_allclose(np.exp(t).derivatives, [[1, math.e]] * (order + 1))
    short, long = Jet.line(1.0, 1.0, 2), Jet.line(1.0, 1.0, 5)
    assert len((short * long).c) == len((long + short).c) == len((long / short).c) == 3


def test_agreement_with_the_plain_series_of_the_other_tests() -> None:
    random = np.random.default_rng(0)
    x, v, y, w = random.uniform(0.5, 2, (4, 3))
    a, b = Series.line(x, v), Series.line(y, w)
    p, q = Jet.line(x, v), Jet.line(y, w)
    expected = (((a - b * 2.0) * b) ** 2 * (b + 1.0) ** -0.5).sum()
    got = (((p - q * 2.0) * q) ** 2 * (q + 1.0) ** -0.5).sum()
    np.testing.assert_allclose(got.derivatives[1:], expected.derivatives, rtol=1e-15)


# -- NumPy's words ---------------------------------------------------------------------------------

def lines(case: Any) -> list[Jet]:
    random = np.random.default_rng(3)
    return [Jet.line(x, random.standard_normal(x.shape)) for x in case.inputs()]


def parts(y: Any) -> tuple[Any, ...]:
    return y if isinstance(y, tuple) else (y,)


OWN_ARRAYS = {"erf", "gelu", "gelu_slope"}
"""Cases whose NumPy form makes arrays of its own, as ``np.asarray`` does, or writes into copies."""


@pytest.mark.parametrize("case", [c for c in SMOOTH if c.name not in OWN_ARRAYS
                                  and not c.name.startswith("write")], ids=lambda c: c.name)
def test_numpy_formulas_and_tensors_of_jets(case: Any) -> None:
    """The same series, by NumPy's functions and by the operations of tensors."""
    jets = lines(case)
    ours = case.function(tn, *(wrap(tn.Tensor, j) for j in jets))
    for got, expected in zip(parts(ours), parts(case.expected(*jets)), strict=True):
        assert isinstance(got.array, Jet)
        assert got.shape == expected.shape
        n = len(got.array.c)
        np.testing.assert_allclose(got.array.derivatives, expected.derivatives[:n], rtol=1e-13,
                                   atol=1e-13)
        assert not expected.derivatives[n:].any()


X = np.random.default_rng(1).standard_normal((2, 3, 4))
V = np.random.default_rng(2).standard_normal((2, 3, 4))
T = 1 / 1024

WORDS: dict[str, Callable[[Any, Any], Any]] = {
    "T": lambda m, x: x.T,
    "amax": lambda m, x: m.amax(x, axis=(0, -1)),
    "amin": lambda m, x: m.amin(x, axis=1, keepdims=True),
    "max": lambda m, x: x.max(),
    "min": lambda m, x: x.min(axis=-1),
    "sort": lambda m, x: m.sort(x, axis=1),
    "argsort": lambda m, x: m.take_along_axis(x, m.argsort(x, axis=0), axis=0),
    "absolute": lambda m, x: abs(x) + m.absolute(x),
    "clip": lambda m, x: x.clip(-0.5, 0.5) + m.clip(x, None, 1),
    "maximum": lambda m, x: m.maximum(x, 0) - m.minimum(0.5, x),
    "where": lambda m, x: m.where(x > 0, x, 2),
    "broadcast_to": lambda m, x: m.broadcast_to(x[:, :1], (5, 2, 3, 4)),
    "concatenate": lambda m, x: m.concatenate([x, m.ones((2, 3, 1))], axis=-1),
    "stack": lambda m, x: m.stack((x, m.zeros_like(x)), axis=1),
    "take": lambda m, x: x.take(axis=2, indices=m.array([0, 3])),
    "cumsum": lambda m, x: x.cumsum(axis=1),
    "diagonal": lambda m, x: x.diagonal(axis1=0, axis2=2),
    "einsum": lambda m, x: m.einsum("ijk,jk->ik", x, m.ones((3, 4))),
    "flip": lambda m, x: m.flip(x, axis=1),
    "flatten": lambda m, x: x.flatten(),
    "ravel": lambda m, x: x.ravel(),
    "squeeze": lambda m, x: x[:, :1].squeeze(axis=1),
    "moveaxis": lambda m, x: m.moveaxis(x, 0, -1),
    "expand_dims": lambda m, x: m.expand_dims(x, 1),
    "repeat": lambda m, x: x.repeat(2, axis=1),
    "swapaxes": lambda m, x: x.swapaxes(0, 2),
    "trace": lambda m, x: x.trace(),
    "tril": lambda m, x: m.tril(x) - m.triu(x),
    "mean": lambda m, x: x.mean(axis=(0, 1), keepdims=True),
    "sum in a dtype": lambda m, x: x.sum(dtype="float64"),
    "matmul": lambda m, x: x @ m.ones((4, 2)),
    "dot": lambda m, x: x[0].dot(m.ones(4)),
    "ldexp": lambda m, x: m.ldexp(*m.frexp(x)),
    "frexp": lambda m, x: m.frexp(x)[0],
    "round": lambda m, x: x.round() + m.floor(x) + m.sign(x),
    "remainder": lambda m, x: x % 0.75 + x // 0.75,
    "isfinite": lambda m, x: m.isfinite(x).astype("float64") * x,
    "logic": lambda m, x: m.where((x > 0) & (x < 1) | ~(x != x) ^ (x <= -1), x, 0.0),
    "any and all": lambda m, x: m.where((x > 0).any(axis=0) & (x < 9).all(axis=0), x, -x),
    "-x": lambda m, x: -(+x) + m.negative(x),
    "1 - x": lambda m, x: 1 - x,
    "numpy scalar": lambda m, x: np.float64(2) * x - np.float64(1),
    "copy": lambda m, x: m.copy(x) + m.array(x) + m.asarray(x),
    "len": lambda m, x: x * len(x) + x.size + x.ndim + x.itemsize,
    "iteration": lambda m, x: [*x][1],
    "basic index": lambda m, x: x[0, ..., ::-2],
    "ints": lambda m, x: x[1, 2, 3],
    "ellipsis": lambda m, x: x[..., 0],
    "new axis": lambda m, x: x[:, None, 1],
    "integer index": lambda m, x: x[:, m.array([2, 0, 0])],
    "two index arrays apart": lambda m, x: x[m.array([0, 1]), :, m.array([3, 0])],
    "mask": lambda m, x: x[m.array([[True, False, True], [False, False, True]])],
}


@pytest.mark.parametrize("word", WORDS)
def test_words_that_are_linear_or_choose(word: str) -> None:
    """For these, the series at t is the word done to the values at t."""
    function = WORDS[word]
    got = function(jet_functions, Jet.line(X, V, 3))
    expected = function(np, X + T * V)
    assert isinstance(got, Jet)
    assert got.shape == expected.shape
    value = sum(c * T**k for k, c in enumerate(got.c))
    np.testing.assert_allclose(value.astype(float), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("ddof", [0, 1])
def test_var_std_and_prod(ddof: int) -> None:
    x = Jet.line(X, V, 3)
    away = x - x.sum(axis=1, keepdims=True) / 3
    var = (away**2).sum(axis=1) / (3 - ddof)
    std = np.std(x, axis=1, ddof=ddof)
    product = x[:, 0] * x[:, 1] * x[:, 2]
    for got, expected in ((x.var(axis=1, ddof=ddof), var), (std * std, var),
                          (x.prod(axis=1), product)):
        np.testing.assert_allclose(got.derivatives, expected.derivatives, rtol=1e-13, atol=1e-13)


def test_writing_in_place_and_through_views() -> None:
    v, one = Jet.line(1.0, 1.0, 2), np.ones(3)
    x = Jet.line(np.arange(6.0).reshape(2, 3), np.ones((2, 3)), 2)
    x.reshape(6)[1] = v
    x[1][...] = 5.0
    x += one
    x -= 1
    x *= v
    x /= v
    x[0, 0] **= 2
    np.testing.assert_allclose(x.derivatives[0], [[0, 1, 2], [5, 5, 5]])
    np.testing.assert_allclose(x.derivatives[1], [[0, 1, 1], [0, 0, 0]])
    x[x > 3] = 0
    x[np.array([0, 0]), np.array([1, 1])] = v
    assert x[1].derivatives.any() == 0
    zeros = jet_functions.zeros((2,))
    zeros[0] = v  # a constant becomes a series
    np.testing.assert_array_equal(zeros.derivatives, [[1, 0], [1, 0], [0, 0]])
    jet_functions.add.at(zeros, np.array([0, 0]), v)
    np.testing.assert_array_equal(zeros.derivatives, [[3, 0], [3, 0], [0, 0]])
    np.testing.assert_array_equal(jet_functions.exp(v, out=v).derivatives, [math.e] * 3)
    v.fill(2)
    np.testing.assert_array_equal(v.derivatives, [2, 0, 0])
    with pytest.raises(TypeError, match="a series was written into a view of constants; write"):
        jet_functions.zeros((2, 2))[0][...] = zeros
    with pytest.raises(ValueError, match=r"a result of shape \(2, 3\) does not fit in place into"):
        v += np.ones((2, 3))


def test_what_it_says_of_itself() -> None:
    x = Jet.line(np.ones((2, 3), np.float32), np.ones((2, 3)))
    assert x.dtype == np.float64
    assert x.astype(np.float16).dtype == np.float64
    assert len(x.astype(np.float32).c) == 5
    assert (x.astype(int).dtype.kind, len(x.astype(int).c)) == ("i", 1)
    assert (x > 0).dtype == bool
    assert x.view(np.int64) is x
    assert x.flags.c_contiguous
    assert not x.T.flags.c_contiguous
    assert x.strides == x.c[0].strides
    assert repr(Jet([1.0])).startswith("Jet([array(1.")
    one = x[0, 0]
    assert (int(one), bool(one), one.item(), one.tolist()) == (1, True, 1.0, 1.0)
    assert [10, 20][jet_functions.asarray(1)] == 20
    assert type(one.item()) is float
    assert x.tolist() == [[1.0] * 3] * 2
    assert copy.deepcopy(x).derivatives.shape == (5, 2, 3)


@pytest.mark.parametrize(("call", "error", "message"), [
    (np.asarray, TypeError, "does not become a NumPy array by itself; take .derivatives"),
    (lambda x: np.ones((3, 3)).__setitem__(0, x), TypeError, "does not become a NumPy array"),
    (lambda x: np.ones(3).__setitem__(0, x[0]), (TypeError, ValueError), "."),
    (lambda x: np.add.reduce(x), TypeError, "all returned NotImplemented"),
    (lambda x: x.real, AttributeError, "jets have no real"),
    (np.fft.fft, TypeError, "no implementation found for 'numpy.fft.fft'"),
    (np.arctanh, TypeError, "arctanh"),
    (lambda x: array_module(x).arctanh(x), AttributeError, "jets have no function arctanh"),
    (lambda x: float(x[0]), TypeError, "cannot be interpreted as an integer"),
    (lambda x: x + "a", TypeError, "unsupported operand"),
    (lambda x: x ** "a", TypeError, "unsupported operand"),
    (lambda x: Jet([1j]), TypeError, "expected floating coefficients.* got 1 of complex128"),
    (lambda x: Jet([1, 2]), TypeError, "or one of bools or ints, got 2 of int64"),
    (hash, TypeError, "unhashable"),
])
def test_refusals(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(Jet.line(np.ones(3), np.ones(3)))


# -- one more kind of array ------------------------------------------------------------------------

def test_it_is_a_device() -> None:
    x = tn.tensor([1.0, 2.0], dtype=tn.float64)
    moved = x.to(device="jet")
    assert str(moved.device) == "jet"
    assert is_array(moved.array)
    assert device_of(moved.array) == tn.device("jet")
    assert array_module(moved.array) is jet_functions
    assert array_module(moved.array).float64 is np.float64
    assert len(moved.array.c) == 1
    np.testing.assert_array_equal(moved.cpu().numpy(), x.numpy())
    assert backend_of(moved.array).device(moved.array) == moved.device
    assert to_device(moved.array, moved.device) is moved.array
    assert len(tn.rand(3, device="jet").array.c) == 1
    with pytest.raises(DeviceError, match="there is one jet, got jet:1"):
        x.to(device="jet:1")
    np.testing.assert_array_equal((moved + x).cpu().numpy(), 2 * x.numpy())  # x is a constant


OUTSIDE = """
import threading
import numpy as np, tinygrad_norm as tn
from tinygrad_norm.backend.array import BACKENDS, is_array
tn.certify(tn.nn.LayerNorm(2), tn.randn(3, 2), pytorch=False)
def refused():
    assert not is_array(x) and list(BACKENDS) == ["cpu", "cuda", "compiled"]
    try:
        tn.ones(2, device="jet")
    except tn.errors.DeviceError as error:
        return "got 'jet'" in str(error)
x = tn.proof.Jet.line(np.zeros(2), np.ones(2))
assert refused()
with tn.proof.jets():
    with tn.proof.jets():
        pass
    assert is_array(x)
    entered, leave, seen = threading.Event(), threading.Event(), []
    def other():
        with tn.proof.jets():
            entered.set()
            leave.wait()
            seen.append(is_array(x))
    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
leave.set()
thread.join()
assert seen == [True] and refused()
try:
    with tn.proof.jets():
        raise KeyError
except KeyError:
    assert refused()
"""


def test_it_is_one_where_it_is_asked_for_alone() -> None:
    """Neither its import nor certify leaves it behind, and none takes it from another."""
    subprocess.run([sys.executable, "-W", "error", "-c", OUTSIDE], check=True,
                   cwd=Path(tn.__file__).parent.parent)


def line() -> tn.Tensor:
    return wrap(tn.Tensor, Jet.line(np.array([1.0, 2.0]), np.ones(2)))


def test_detach_and_no_grad_make_constants() -> None:
    x = line()
    assert len(x.detach().array.c) == len(x.data.array.c) == len(tn.tensor(x).array.c) == 1
    assert np.shares_memory(x.detach().array.c[0], x.array.c[0])
    with tn.no_grad():
        y = x * x
        with tn.enable_grad():
            z = x * x
    assert len(y.array.c) == 1
    assert len(z.array.c) == 5
    assert len((x * y).array.c) == 5
    a = tn.tensor([1.0])
    assert a.detach().array is a.array  # of other arrays nothing is to be dropped


class Square(tn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        with tn.no_grad():  # what a user may write too: a rule stands for all of it
            return x * x

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError


def test_the_forward_of_a_function_is_no_constant() -> None:
    x = line()
    np.testing.assert_array_equal(Square.apply(x).array.derivatives,
                                  (x * x).array.derivatives)
    with tn.no_grad():
        assert len(Square.apply(x).array.c) == 1


def test_gradients_of_jets() -> None:
    """The engine runs on them as on other arrays: the series of a gradient."""
    x = line().requires_grad_()
    (dx,) = tn.autograd.grad((x**3).relu().sum(), x, create_graph=True)
    np.testing.assert_allclose(dx.array.derivatives, (3 * x.array**2).derivatives)
    (dx,) = tn.autograd.grad((x**3).sum(), x)  # not to be differentiated again
    assert len(dx.array.c) == 1
