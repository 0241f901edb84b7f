"""autograd.functional, gradcheck and gradgradcheck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.autograd import Function, GradcheckError, gradcheck, gradgradcheck
from tinygrad_norm.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp


def double(*values: Any, grad: bool = False) -> tn.Tensor:
    return tn.tensor(np.array(values, np.float64), requires_grad=grad)


A = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]])


def linear(x: tn.Tensor) -> tn.Tensor:
    return tn.tensor(A) @ x


def cubic(x: tn.Tensor) -> tn.Tensor:
    return (x**3).sum() + x.prod()


def test_vjp_and_jvp_of_a_linear_map() -> None:
    """vᵀA and Av, whatever x is."""
    x, v, u = double(1, 2, 3), double(4, 5), double(6, 7, 8)
    y, g = vjp(linear, x, v)
    np.testing.assert_allclose(y, A @ [1, 2, 3])
    np.testing.assert_allclose(g, np.array([4, 5]) @ A)
    y, t = jvp(linear, x, u)
    np.testing.assert_allclose(y, A @ [1, 2, 3])
    np.testing.assert_allclose(t, A @ [6, 7, 8])
    assert not any(r.requires_grad for r in (y, g, t))
    assert not x.requires_grad


def test_jacobian() -> None:
    np.testing.assert_allclose(jacobian(linear, double(1, 2, 3)), A)
    x = tn.rand(2, 3, dtype=tn.float64)
    j = jacobian(lambda x: x.T * 2, x)
    assert j.shape == (3, 2, 2, 3)
    np.testing.assert_allclose(j.numpy().reshape(6, 6) / 2, np.eye(6).reshape(2, 3, 6)
                               .transpose(1, 0, 2).reshape(6, 6))
    assert jacobian(lambda x: x.sum(), x).shape == (2, 3)
    assert jacobian(lambda x: x * 2, double(3)[0]).item() == 2
    assert jacobian(lambda x: x * 2, double()).shape == (0, 0)
    assert jacobian(lambda x: x.detach(), double(1, 2)).tolist() == [[0, 0], [0, 0]]


def test_several_inputs_and_outputs() -> None:
    x, y = double(1, 2), double(3)
    table = jacobian(lambda x, y: (x * y, x.sum()), (x, y))
    assert [[tuple(block.shape) for block in row] for row in table] == [
        [(2, 2), (2, 1)], [(2,), (1,)]]
    assert table[0][0].tolist() == [[3, 0], [0, 3]]
    assert table[0][1].tolist() == [[1], [2]]
    assert table[1][1].tolist() == [0]
    outputs, tangents = jvp(lambda x, y: (x * y, x.sum()), (x, y), (double(1, 0), double(10)))
    assert [o.tolist() for o in outputs] == [[3, 6], 3]
    assert [t.tolist() for t in tangents] == [[13, 20], 1]
    _, gradients = vjp(lambda x, y: (x * y, x.sum()), (x, y), (double(1, 1), double(5)[0]))
    assert [g.tolist() for g in gradients] == [[8, 8], [3]]


def test_hessian_and_its_products() -> None:
    x, v = double(1, 2, 3), double(1, -1, 2)
    expected = np.array([[6.0, 3, 2], [3, 12, 1], [2, 1, 18]])
    np.testing.assert_allclose(hessian(cubic, x), expected)
    y, product = hvp(cubic, x, v)
    assert y.item() == 36 + 6
    np.testing.assert_allclose(product, expected @ v.numpy())
    np.testing.assert_allclose(vhp(cubic, x, v)[1], expected @ v.numpy())
    blocks = hessian(lambda a, b: (a * a * b).sum(), (double(1, 2), double(3, 4)))
    assert blocks[0][0].tolist() == [[6, 0], [0, 8]]
    assert blocks[0][1].tolist() == blocks[1][0].tolist() == [[2, 0], [0, 4]]
    assert blocks[1][1].tolist() == [[0, 0], [0, 0]]
    assert hessian(lambda x: x.sum(), x).tolist() == np.zeros((3, 3)).tolist()


def test_results_can_be_differentiated() -> None:
    x = double(1, 2, 3, grad=True)
    v = double(1, 0, 2)
    for product, order in ((vjp(cubic, x, None, create_graph=True)[1] @ v, 2),
                           (jvp(cubic, x, v, create_graph=True)[1], 2),
                           (jacobian(cubic, x, create_graph=True) @ v, 2),
                           (hvp(cubic, x, v, create_graph=True)[1] @ v, 3),
                           (hessian(cubic, x, create_graph=True) @ v @ v, 3)):
        (g,) = tn.autograd.grad(product, x)
        if order == 2:
            np.testing.assert_allclose(g, hvp(cubic, x.detach(), v)[1])
        else:
            np.testing.assert_allclose(g.numpy(), [6 + 0, 4, 6 * 4])  # ∂/∂x of vᵀHv
    third = jacobian(lambda x: hessian(cubic, x, create_graph=True), x)
    assert third.shape == (3, 3, 3)
    assert third[0, 1, 2].item() == 1
    assert third[1, 1, 1].item() == 6


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: vjp(linear, x), RuntimeError, "vjp: v may be left out only for one scalar; pass v"),
    (lambda x: jvp(linear, x), RuntimeError, "jvp: v may be left out only for one scalar"),
    (lambda x: vjp(linear, x, double(1)), RuntimeError,
     r"vjp: expected v of shapes \[\(2,\)\], got \[\(1,\)\]"),
    (lambda x: hvp(cubic, x, (double(1, 2, 3), double(1))), RuntimeError, "hvp: expected v of"),
    (lambda x: hessian(linear, x), RuntimeError,
     r"hessian: expected a function that returns one scalar, got \(2,\)"),
    (lambda x: hvp(lambda x: (x, x), x, x), RuntimeError, "one scalar, got tuple"),
    (lambda x: jacobian(lambda x: x.detach(), x, strict=True), RuntimeError,
     "strict: an input has no influence on the outputs"),
    (lambda x: vjp(lambda x, y: x.sum(), (x, x.clone()), strict=True), RuntimeError, "strict: "),
])
def test_bad_calls(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(double(1, 2, 3))


def test_what_is_infinite_does_not_make_zeros_nan() -> None:
    x, wild = double(1, 2), double(np.inf, np.nan)
    assert jacobian(lambda x, _: x * 2, (x, wild))[1].tolist() == [[0, 0], [0, 0]]
    assert vjp(lambda x: x.sum(), wild)[1].tolist() == [1, 1]
    assert hvp(lambda x: x.sum(), wild, x)[1].tolist() == [0, 0]
    assert jvp(lambda x: x * 2, wild, x)[1].tolist() == [2, 4]


def test_it_works_inside_no_grad() -> None:
    with tn.no_grad():
        assert hessian(cubic, double(1, 2, 3)).shape == (3, 3)
        assert vjp(linear, double(1, 2, 3), double(1, 1))[1].shape == (3,)


# -- gradcheck -------------------------------------------------------------------------------------


class Wrong(Function):
    """x³ with a derivative that is 1 % too large, at first order or only at second."""

    first = 1.01

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return dy * 3 * x**2 * 1.01


class Detached(Wrong):
    """As a saved constant makes it: first order right, second wrong."""

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return dy * 3 * x.detach() ** 2


def test_gradcheck_finds_what_is_wrong() -> None:
    x = double(1, 2, grad=True)
    assert gradcheck(lambda x: x**3, x)
    with pytest.raises(GradcheckError) as error:
        gradcheck(Wrong.apply, (x,))
    message = str(error.value)
    assert "Jacobian of output 0 with respect to input 0 differs in 2 of 4 entries" in message
    assert "at (output, input) entry (1, 1) analytical 12.12, numerical 12" in message
    assert not gradcheck(Wrong.apply, (x,), raise_exception=False)
    assert gradcheck(Wrong.apply, (x,), rtol=0.02)
    assert x.tolist() == [1, 2]


def test_gradgradcheck_finds_a_wrong_second_order() -> None:
    x = double(1, 2, grad=True)
    assert gradcheck(Detached.apply, (x,))
    assert not gradgradcheck(Detached.apply, (x,), raise_exception=False)
    with pytest.raises(GradcheckError):
        gradgradcheck(Detached.apply, (x,))
    assert gradgradcheck(lambda x: x**3, x)
    assert gradgradcheck(lambda x: x**3, x, double(1, -1))


def test_gradcheck_of_several_inputs_and_outputs() -> None:
    a, b = double(0.3, -1, grad=True), double(1.5, grad=True)
    constant = double(2, 3)

    def function(a: Any, b: Any, c: Any, n: int) -> Any:
        return a * b * c, (a.exp() * n).sum(), a > 0

    assert gradcheck(function, (a, b, constant, 2))
    assert gradgradcheck(function, (a, b, constant, 2))
    assert gradcheck(lambda a: a.reshape(2, 1)[:0], (a,))
    assert gradcheck(lambda x: x * x, tn.tensor(2.0, dtype=tn.float64, requires_grad=True))


def test_gradcheck_refuses() -> None:
    with pytest.raises(ValueError, match="expected at least one input with requires_grad=True"):
        gradcheck(lambda x: x, double(1))
    with pytest.raises(ValueError, match=r"input 0 is float32; differences of step 1e-06 need "
                                         r"float64: pass x\.double\(\)"):
        gradcheck(lambda x: x, tn.ones(1, requires_grad=True))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda check, x: check(lambda x: None, x), TypeError,
     "expected func to return a tensor of floats or a tuple with one, got NoneType"),
    (lambda check, x: check(lambda x: x > 0, x), TypeError, "tuple with one, got Tensor"),
    (lambda check, x: check(lambda x: x, x.detach()), ValueError, "at least one input with req"),
    (lambda check, x: check(lambda x: x, x.float()), ValueError, "input 0 is float32; differences"),
    (lambda check, x: check(lambda x: x, x.detach()[:1].expand(2).requires_grad_()), ValueError,
     r"input 0 is expanded, .* one by one; pass x.clone\(\)"),
    (lambda check, x: gradgradcheck(lambda x: x * x, x, 3), ValueError,
     r"gradgradcheck: expected grad_outputs .* shapes \[\(2,\)\], got \['int'\]"),
    (lambda check, x: gradgradcheck(lambda x: (x, x), x, x), ValueError,
     r"outputs' shapes \[\(2,\), \(2,\)\], got \[\(2,\)\]"),
])
def test_gradcheck_says_what_it_cannot_take(
    call: Callable[..., Any], error: type[Exception], message: str
) -> None:
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(error, match=message):
            call(check, double(1, 2, grad=True))


WILD: list[tuple[Callable[[Any], Any], list[float], str]] = [
    (lambda x: (x - 5).log(), [1, 7], r"2 of 4 entries; at .* entry \(0, 0\) .*, numerical nan"),
    (lambda x: x.sqrt(), [4, 0], r"2 of 4 .* \(0, 1\) analytical nan, numerical 0\n"),
    (lambda x: x * tn.tensor([1.0, np.inf]).double(), [1, 2], r"\(0, 1\) analytical nan, num"),
    (lambda x: (x * 2, x.detach() ** 2 + x), [3, 100],
     r"Jacobian of output 1 with .* entry \(1, 1\) analytical 1, numerical 20[01]"),
    (lambda x: x[x > 1], [1, 2], r"results of shapes \[\(1,\)\] also near .*, got \[\(2,\)\]"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("function", "at", "message"), WILD)
def test_gradcheck_names_the_worst_entry(
    function: Callable[..., Any], at: list[float], message: str
) -> None:
    x = double(*at, grad=True)
    with pytest.raises(GradcheckError, match=message):
        gradcheck(function, x)
    assert not gradcheck(function, x, raise_exception=False)
    assert x.tolist() == at


def test_infinite_slopes_that_are_equal_agree() -> None:
    class Steep(Wrong):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1e308

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * np.inf

    assert gradcheck(Steep.apply, double(0, grad=True), eps=1.5)
    assert not gradcheck(lambda x: x * 1e308, double(0, grad=True), eps=1.5, raise_exception=False)


def test_gradcheck_of_nothing() -> None:
    empty = tn.zeros(0, 3, dtype=tn.float64, requires_grad=True)
    for check in (gradcheck, gradgradcheck):
        assert check(lambda x: x * x, empty)
        assert check(lambda x, y: (x.sum() * y, y * y, x), (empty, double(2, grad=True)))
        assert check(lambda x: tn.ones(2, dtype=tn.float64), (empty, 1)[:1])


def test_gradgradcheck_says_which_gradient() -> None:
    with pytest.raises(GradcheckError, match=r"gradgradcheck: Jacobian of gradient 0 with respect "
                                             r"to input 0 differs"):
        gradgradcheck(Detached.apply, double(1, 2, grad=True))


def test_gradcheck_sees_a_gradient_that_is_missing() -> None:
    x = double(1, 2, grad=True)
    with pytest.raises(GradcheckError, match="differs in 2 of 4 entries"):
        gradcheck(lambda x: x.detach() * 2, (x,))


def test_gradcheck_leaves_statistics_alone() -> None:
    layer = tn.nn.BatchNorm1d(2).double()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    x = tn.randn(4, 2, dtype=tn.float64, requires_grad=True)
    assert gradcheck(layer, (x,))
    assert gradgradcheck(layer, (x,))
    for key, value in layer.state_dict().items():
        assert value.tolist() == before[key].tolist(), key
    layer(x)
    assert layer.num_batches_tracked.item() == 1
