"""autograd.Function: operations of the user's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.autograd import Function
from tinygrad_norm.errors import ShapeError

STALE = r"a tensor that its gradient needs was modified by an inplace operation"


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)

class Scale(Function):
    """(a x, a² x) for a number a."""

    @staticmethod
    def forward(ctx: Any, x: Any, a: float, *, square: bool = True) -> Any:
        ctx.a = a
        ctx.save_for_backward(x)
        return x * a, x * a * a

    @staticmethod
    def backward(ctx: Any, dy: Any, dz: Any) -> Any:
        (x,) = ctx.saved_tensors
        assert x.shape == dy.shape == dz.shape
        return dy * ctx.a + dz * ctx.a**2, None


class Exp(Function):
    """eˣ, from its saved output."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * ctx.saved_tensors[0]


def test_a_function() -> None:
    x = leaf(1.0, 2.0)
    y, z = Scale.apply(x, 3.0, square=True)
    assert repr(y.grad_fn) == "<Scale>"
    assert y.grad_fn is z.grad_fn
    (y + z * z).sum().backward()
    assert x.grad.tolist() == [3 + 2 * 81, 3 + 2 * 162]
    assert not Scale.apply(x.detach(), 3.0)[0].requires_grad
    with tn.no_grad():
        assert not Scale.apply(x, 3.0)[0].requires_grad


def test_a_forward_without_ctx() -> None:
    class Square(Function):
        @staticmethod
        def forward(x: Any, *, scale: float = 1.0) -> Any:
            return x * x * scale

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            (x,) = inputs
            ctx.save_for_backward(x, output)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            x, y = ctx.saved_tensors
            return dy * 2 * y / x

    assert tn.autograd.gradgradcheck(lambda x: Square.apply(x, scale=3.0), leaf(1.0, -2.0))


def test_an_unused_output_has_a_gradient_of_zeros() -> None:
    for create_graph in (False, True):
        x = leaf(1.0, 2.0)
        (g,) = tn.autograd.grad(Scale.apply(x, 3.0)[1].sum(), x, create_graph=create_graph)
        assert g.tolist() == [9, 9]


def test_gradients_need_not_be_materialized() -> None:
    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx: Any, da: Any, db: Any) -> Any:
            assert da is None
            return db * 2

    x = leaf(1.0)
    Two.apply(x)[1].backward()
    assert x.grad.item() == 2


def test_a_function_has_derivatives_of_any_order() -> None:
    x = scalar(0.5)
    y = Exp.apply(x * 2)
    for order in range(1, 5):
        (y,) = tn.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(2**order * np.e)
    assert tn.autograd.gradcheck(Exp.apply, (leaf(0.1, -0.7),))
    assert tn.autograd.gradgradcheck(Exp.apply, (leaf(0.1, -0.7),))


def test_a_function_leaves_no_garbage(no_garbage: Callable[[], int]) -> None:
    def run() -> weakref.ref[Any]:
        x = leaf(1.0, 2.0)
        y = Exp.apply(x)
        z = Scale.apply(y, 2.0)[0].sum()
        (g,) = tn.autograd.grad(z, x, create_graph=True)
        g.sum().backward()
        return weakref.ref(y)

    run()
    no_garbage()
    assert run()() is None
    assert no_garbage() == 0


def test_non_differentiable_outputs() -> None:
    class Largest(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, indices = x.max(0)
            flat = x * 0
            ctx.mark_non_differentiable(flat)
            ctx.i = indices.item()
            return values, indices, flat

        @staticmethod
        def backward(ctx: Any, dy: Any, *rest: Any) -> Any:
            one = tn.zeros(3, dtype=tn.float64)
            one[ctx.i] = 1
            return dy * one

    x = leaf(1.0, 5.0, 2.0)
    values, indices, flat = Largest.apply(x)
    assert values.requires_grad
    assert not indices.requires_grad
    assert not flat.requires_grad
    values.backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_a_function_may_return_its_input() -> None:
    class Reverse(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return -dy

    x = leaf(1.0, 2.0)
    y = Reverse.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [-1, -1]
    with pytest.raises(RuntimeError, match="shares memory"):
        y += 1


def test_stale_values_of_a_function() -> None:
    for change in (lambda x, y: y.zero_(), lambda x, y: y[0].fill_(0)):
        x = leaf(1.0, 2.0)
        y = Exp.apply(x)
        with tn.no_grad():
            change(x, y)
        with pytest.raises(RuntimeError, match="Exp: " + STALE):
            y.sum().backward()
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 2.0)[0]
    with tn.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="Scale: " + STALE):
        y.sum().backward()


def test_a_saved_input_that_moves_on_is_kept_where_it_was() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * 2 * ctx.saved_tensors[0]

    x = leaf(1.0, 2.0)
    u = x * 3
    y = Square.apply(u)
    u *= 100
    (g,) = tn.autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [18, 36]
    assert tn.autograd.grad(g.sum(), x)[0].tolist() == [18, 18]


@pytest.mark.parametrize(("result", "error", "message"), [
    (lambda dy: (dy,), RuntimeError, "returned an incorrect number of gradients: expected 2, one "
                                     "for each argument of forward, got 1"),
    (lambda dy: (dy, dy, dy), RuntimeError, "expected 2, one for each argument of forward, got 3"),
    (lambda dy: (dy.array, None), TypeError, "expected a Tensor or None for argument 0, got ndarr"),
    (lambda dy: (dy.sum(), None), ShapeError, r"expected a gradient of shape \(2, 3\) for argument "
                                              r"0, got \(\)"),
    (lambda dy: (dy.T, None), ShapeError, r"shape \(2, 3\) for argument 0, got \(3, 2\)"),
])
def test_a_wrong_backward(result: Any, error: type[Exception], message: str) -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: int) -> Any:
            return x * n

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return result(dy)

    for create_graph in (False, True):
        x = tn.ones(2, 3, requires_grad=True)
        with pytest.raises(error, match=r"^Wrong\.backward: .*" + message):
            tn.autograd.grad(Wrong.apply(x, 2).sum(), x, create_graph=create_graph)


def test_what_a_backward_may_return() -> None:
    """Trailing Nones, a gradient of the broadcast shape, another dtype, a list."""
    class Free(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            assert ctx.needs_input_grad == (True, False)
            return x + y

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return [dy.double(), dy, None]

    x = tn.ones(3, requires_grad=True)
    Free.apply(x, tn.ones(2, 3)).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert x.grad.dtype == tn.float32


def test_a_function_needs_both_methods() -> None:
    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 0.5

    with pytest.raises(NotImplementedError, match=r"static method forward\(ctx, \*args\)"):
        Function.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match=r"static method backward\(ctx, \*grad_outputs"):
        Half.apply(leaf(1.0)).sum().backward()


def test_a_view_of_an_argument_is_not_written_into() -> None:
    """The argument, which has no history, would get the view's memory and shape."""
    class Rest(Function):
        @staticmethod
        def forward(ctx: Any, held: Any, x: Any) -> Any:
            return held[1:]

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return None, dy.sum()

    held, x = tn.ones(3), leaf(1.0)
    y = Rest.apply(held, x.sum())
    with pytest.raises(RuntimeError, match=r"write into a clone\(\)"):
        y *= 2
    assert held.tolist() == [1, 1, 1]
    held *= x
    assert held.shape == (3,)
