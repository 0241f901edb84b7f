"""Making, reading and writing tensors, as PyTorch does; DLPack both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from case import close

import tinygrad_norm as tn

torch = pytest.importorskip("torch")


INTS = [-7, 7, -7, 7, 2**62, -5]
SAME: dict[str, Callable[[Any], Any]] = {
    "arange": lambda m: m.arange(5),
    "arange float": lambda m: m.arange(0, 1, 0.1),
    "arange down": lambda m: m.arange(5, 0, -2),
    "arange dtype": lambda m: m.arange(3, dtype=m.float64),
    "arange empty": lambda m: m.arange(0),
    "linspace": lambda m: m.linspace(-1, 2, 7, dtype=m.float64),
    "linspace one": lambda m: m.linspace(3, 5, 1),
    "eye": lambda m: m.eye(2, 3),
    "full": lambda m: m.full((2, 2), 7),
    "full bool": lambda m: m.full((2,), True),
    "full float": lambda m: m.full((), 2.5),
    "zeros": lambda m: m.zeros(2, 0, 3),
    "zeros list": lambda m: m.zeros([2, 3], dtype=m.int32),
    "ones like": lambda m: m.ones_like(m.zeros(2, dtype=m.float16)),
    "full like": lambda m: m.full_like(m.zeros(2, dtype=m.int64), 3),
    "zeros like dtype": lambda m: m.zeros_like(m.zeros(2), dtype=m.bool),
    "tensor ints": lambda m: m.tensor([[1, 2], [3, 4]]),
    "tensor floats": lambda m: m.tensor([1, 2.5]),
    "tensor bools": lambda m: m.tensor([True, False]),
    "tensor number": lambda m: m.tensor(3),
    "tensor nothing": lambda m: m.tensor([]),
    "tensor empty rows": lambda m: m.tensor([[], []]),
    "tensor numpy": lambda m: m.tensor(np.arange(3.0)),
    "tensor numpy scalar": lambda m: m.tensor(np.float64(3)),
    "tensor of tensors": lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]),
    "tensor dtype": lambda m: m.tensor([1.7, -1.7], dtype=m.int64),
    "tensor exact": lambda m: m.tensor([0.5, 2**62 + 1], dtype=m.int64),
    "tensor huge int as float": lambda m: m.tensor([2**64, 10**30], dtype=m.float32),
    "tensor huge int as bool": lambda m: m.tensor([2**70, 0], dtype=m.bool),
    "tensor of a mixed huge int": lambda m: m.tensor([1.5, 2**64]),
    "full of an int of NumPy": lambda m: m.full((1,), np.int32(2)),
    "full huge bool": lambda m: m.full((1,), 2**64 - 1, dtype=m.bool),
    "arange of a tensor": lambda m: m.arange(m.tensor(3)),
    "as_tensor": lambda m: m.as_tensor(np.arange(3, dtype=np.int32)),
    "from_numpy": lambda m: m.from_numpy(np.eye(2)),
    "mean of nothing": lambda m: m.zeros(0).mean(),
    "sum of nothing": lambda m: m.zeros(0, 3).sum(0),
    "prod of nothing": lambda m: m.zeros(0).prod(),
    "max 0-dim": lambda m: m.stack([*m.tensor(3.0).max(0)]),
    "argmax 0-dim": lambda m: m.tensor(3.0).argmax(),
    "sum 0-dim": lambda m: m.tensor(3.0).sum(0) + m.tensor(3.0).sum(-1),
    "cumsum 0-dim": lambda m: m.tensor(3.0).cumsum(0),
    "softmax 0-dim": lambda m: m.tensor(3.0).softmax(0),
    "flip 0-dim": lambda m: m.tensor(3.0).flip(()),
    "var one value": lambda m: m.ones(1).var(correction=0),
    "clamp ints": lambda m: m.arange(5).clamp(1, 3),
    "clamp ints by floats": lambda m: m.arange(5).clamp(1.5, 3),
    "clamp crossed": lambda m: m.arange(5.0).clamp(3, 1),
    "where numbers": lambda m: m.where(m.tensor([True, False]), 1.0, 2.0),
    "where ints": lambda m: m.where(m.tensor([True, False]), 1, 2),
    "where mixed": lambda m: m.where(m.tensor([True, False]), 1, 2.5),
    "x == None": lambda m: m.tensor((m.ones(2) == None, m.ones(2) != "a")),  # noqa: E711
    "sum dtype": lambda m: m.ones(3).sum(dtype=m.float64),
    "sum dim ()": lambda m: m.ones(2, 3).sum(dim=()),
    "amax dim ()": lambda m: m.ones(2, 3).amax(dim=()),
    "sum bool": lambda m: m.tensor([True, True]).sum(),
    "masked_fill": lambda m: m.arange(3.0).masked_fill(m.tensor([True, False, True]), -1),
    "setitem list": lambda m: _after(m.zeros(2, 2), lambda x: x.__setitem__(0, m.tensor([1, 2]))),
    "setitem mask": lambda m: _after(m.arange(4.0), lambda x: x.__setitem__(x > 1, 0)),
    "setitem big int": lambda m: _after(
        m.zeros(2, dtype=m.int64), lambda x: x.__setitem__(0, m.tensor(2**53 + 1))),
    "setitem truncates": lambda m: _after(
        m.zeros(2, dtype=m.int64), lambda x: x.__setitem__(0, m.tensor(2.7))),
    "view writes through": lambda m: _after(m.zeros(2, 2), lambda x: x[0].add_(1)),
    "scalar view writes through": lambda m: _after(m.zeros(2, 2), lambda x: x[0][1].fill_(3)),
    "transpose writes through": lambda m: _after(m.zeros(2, 2), lambda x: x.t()[0].add_(1)),
    "iadd keeps dtype": lambda m: _after(m.ones(2), lambda x: x.add_(m.ones(2).double())),
    "floor of negative": lambda m: m.tensor([-1.5, 1.5]).long(),
    "chunk": lambda m: m.stack([m.tensor(len(c)) for c in m.arange(7).chunk(3)]),
    "std constant": lambda m: m.ones(3).std(),
    "logsumexp big": lambda m: m.tensor([1000.0, 1000.0]).logsumexp(0),
    "logsumexp -inf": lambda m: m.tensor([-np.inf, -np.inf]).logsumexp(0),
    "softmax big": lambda m: m.tensor([1000.0, 0.0, -1000.0]).log_softmax(0),
    "sigmoid far": lambda m: m.tensor([-1000.0, -50.0, 1000.0]).sigmoid(),
    "dot ints": lambda m: m.arange(3).dot(m.arange(3)),
    "matmul ints": lambda m: m.eye(2, dtype=m.int64) @ m.ones(2, 2, dtype=m.int64),
    "mean float16": lambda m: m.full((2000,), 100.0, dtype=m.float16).mean(),
    "var float16": lambda m: (m.arange(100, dtype=m.float16) * 5).var(correction=0),
    "format": lambda m: m.tensor([float(f"{m.tensor(2.0)}"), float(f"{m.tensor(2.0):.3f}")]),
    "nested reduce": lambda m: m.ones(2, 3).sum(0).sum(0),
    "bool sum dim": lambda m: (m.arange(6).reshape(2, 3) > 2).sum(1),
    "round trip": lambda m: m.tensor(m.arange(6.0).reshape(2, 3).tolist()),
    "hash": lambda m: m.tensor(len({m.ones(2), m.ones(2)})),
    "0-dim index": lambda m: m.arange(4.0)[m.tensor(2)],
    "long mask": lambda m: m.arange(6).reshape(2, 3)[m.tensor([True, False])],
    "relu ints": lambda m: m.arange(-2, 3).relu(),
    "abs ints": lambda m: m.arange(-2, 3).abs(),
    "sign ints": lambda m: m.arange(-2, 3).sign(),
    "square ints": lambda m: m.arange(-2, 3).square(),
    "pow ints": lambda m: m.arange(1, 4) ** m.arange(3),
    "// ints": lambda m: m.tensor(INTS) // m.tensor([2, -2, -2, 2, -1, 3]),
    "// number": lambda m: m.tensor(INTS[:4], dtype=m.int32) // -2,
    "number // ints": lambda m: -7 // m.tensor([2, -2, 3], dtype=m.int32),
    "% ints": lambda m: m.tensor(INTS) % m.tensor([2, -2, -2, 2, -1, 3]),
    "number %": lambda m: 7 % m.tensor([2, -2, 3]) + m.remainder(7, m.tensor([2, -2, 3])),
    "fmod ints": lambda m: m.fmod(m.tensor(INTS), m.tensor([2, -2, -2, 2, -1, 3])),
    "trunc ints": lambda m: m.tensor(INTS).div(m.tensor([2, -2, -2, 2, -1, 3]),
                                               rounding_mode="trunc"),
    "floor ints by a float": lambda m: m.tensor(INTS).div(2.5, rounding_mode="floor"),
    "floor_divide": lambda m: m.floor_divide(m.tensor([True, False]), 2),
    "<< and >>": lambda m: (m.tensor(INTS) << m.tensor([1, 2, 64, -1, 0, 63])) + (
        m.tensor(INTS) >> m.tensor([1, 2, 64, -1, 63, 0])),
    "shifts of a number": lambda m: (1 << m.arange(4)) + (-64 >> m.arange(4)),
    "shift functions": lambda m: m.bitwise_left_shift(m.arange(4), 2) + m.bitwise_right_shift(
        m.arange(4), m.tensor(1)),
    "all ()": lambda m: m.tensor([1.0, 0.0]).all(dim=()),
    "any ()": lambda m: m.tensor([[1, 0]]).any(dim=()),
    "flip 0-dim at a dim": lambda m: m.tensor(3.0).flip(-1),
    "prod of rows": lambda m: m.arange(6).reshape(2, 3).prod(-1, keepdim=True),
    "softmax of nothing": lambda m: m.zeros(3, 0).softmax(1) + m.zeros(3, 0).softmax(0),
    "log_softmax of nothing": lambda m: m.zeros(0).log_softmax(0) + m.zeros(0).log_softmax(-1),
    "logsumexp of nothing": lambda m: m.zeros(0).logsumexp(0).exp(),
    "logsumexp of rows of nothing": lambda m: m.zeros(3, 0).logsumexp(1, keepdim=True).exp(),
    "logsumexp of no rows": lambda m: m.zeros(0, 3).logsumexp(1),
    "transpose 0-dim": lambda m: m.tensor(3.0).transpose(0, -1),
    "normalize 0-dim": lambda m: m.nn.functional.normalize(m.tensor(-3.0), dim=0),
    "weight_norm of no inputs": lambda m: 0 * m.nn.utils.parametrizations.weight_norm(
        m.nn.Linear(0, 2))(m.zeros(3, 0)),
    "cat promotes by nothing": lambda m: m.cat([m.zeros(0), m.ones(2, 3, dtype=m.int64)]),
    "cat of nothing at a dim": lambda m: m.cat([m.zeros(0)], dim=1),
    "gather nothing": lambda m: m.ones(2, 3).gather(1, m.zeros(0, dtype=m.int64)),
    "gather nothing wide": lambda m: m.ones(2).gather(0, m.zeros((1, 0, 2), dtype=m.int64)),
    "gather 0-dim": lambda m: m.tensor(5.0).gather(0, m.tensor([0, 0])),
    "gather one": lambda m: m.tensor([5.0, 6.0]).gather(0, m.tensor(1)),
    "pool stride ()": lambda m: m.nn.functional.avg_pool2d(m.ones(1, 4, 6), (2, 3), stride=()),
    "pool stride []": lambda m: m.nn.MaxPool1d(2, [])(m.ones(1, 4)),
    "argsort bools": lambda m: m.tensor([False, True, False, True]).argsort(
        stable=True, descending=True) if m is torch else m.tensor(
            [False, True, False, True]).argsort(descending=True),
    "argsort least int": lambda m: m.tensor([1, -2**63, 5]).argsort(descending=True),
    "argsort nan": lambda m: m.tensor([1, np.nan, 5, -np.inf]).argsort(descending=True),
    "argsort 0-dim": lambda m: m.tensor(1.0).argsort(descending=True),
    "argsort dim 0": lambda m: m.tensor([[1, 2], [3, 0]]).argsort(0, descending=True),
    "x[True, 0, idx]": lambda m: m.arange(24).reshape(2, 3, 4)[True, 0, m.tensor([0, 1])],
    "x[idx, True, 0]": lambda m: m.arange(24).reshape(2, 3, 4)[m.tensor([0, 1]), True, 0],
    "x[True, 0, :, idx]": lambda m: m.arange(24).reshape(2, 3, 4)[True, 0, :, m.tensor([0, 1])],
    "x[0, :, True]": lambda m: m.arange(6).reshape(2, 3)[0, :, True],
    "var correction n": lambda m: m.tensor([1.0, 2.0]).var(correction=2).sqrt().reciprocal(),
    "cat dtypes": lambda m: m.cat([m.arange(2), m.ones(2)]),
    "cat onto nothing": lambda m: m.cat([m.tensor([]), m.ones(2, 3), m.zeros(1, 3)]),
    "cat of nothing": lambda m: m.cat([m.tensor([]), m.tensor([])]),
    "masked_fill by a double": lambda m: m.ones(2).masked_fill(
        m.tensor([True, False]), m.tensor(2.5, dtype=m.float64)),
    "masked_fill ints": lambda m: m.arange(2).masked_fill(m.tensor([[True], [False]]), 7),
    "masked_fill -inf": lambda m: m.ones(2).masked_fill(m.tensor([True, False]), -np.inf).relu(),
    "clamp crossed tensors": lambda m: m.arange(4.0).clamp(m.tensor(3.0), m.tensor(1.0)),
    "Tensor of a shape": lambda m: m.zeros_like(m.Tensor(2, 3)),
    "Tensor of a length": lambda m: m.zeros_like(m.Tensor(2)),
    "Tensor of a list": lambda m: m.Tensor([2]),
    "Tensor of nothing": lambda m: m.Tensor(),
    # -- arguments by name
    "zeros size": lambda m: m.zeros(size=(2, 3)) + m.ones(size=(3,)),
    "empty size": lambda m: m.zeros_like(m.empty(size=(2, 3))),
    "rand size": lambda m: m.zeros_like(m.rand(size=(2, 3)) + m.randn(size=(3,))),
    "randint high": lambda m: m.zeros_like(m.randint(10, (2, 3))),
    "randint high size": lambda m: m.zeros_like(m.randint(10, size=(2, 3))),
    "randint high= size": lambda m: m.zeros_like(m.randint(high=10, size=(2, 3))),
    "randint low high": lambda m: m.randint(3, 4, size=(2, 3)),
    "randint like": lambda m: m.randint_like(m.ones(2), 3, 4) + m.randint_like(m.ones(2), 1),
    "like with grad": lambda m: m.zeros_like(m.randn_like(m.ones(2), requires_grad=True)),
    "flip dims": lambda m: m.flip(m.arange(6).reshape(2, 3), dims=(0, 1)),
    "flip dims method": lambda m: m.arange(6).reshape(2, 3).flip(dims=[1]),
    "permute dims": lambda m: m.permute(m.ones(2, 3, 4), dims=(2, 0, 1)).permute(dims=(1, 0, 2)),
    "reshape shape": lambda m: m.reshape(m.arange(6), shape=(2, 3)).reshape(shape=(3, 2)),
    "expand size": lambda m: m.ones(1, 3).expand(size=(2, 3)),
    "input": lambda m: m.sum(input=m.square(input=m.ones(2, 3)), dim=1),
    "input and other": lambda m: m.matmul(input=m.ones(2, 3), other=m.ones(3, 2)),
    "pow of a number": lambda m: m.pow(2, m.arange(3.0)) + m.pow(input=m.ones(3), exponent=2),
    "softmax dtype": lambda m: m.softmax(m.arange(3), dim=0, dtype=m.float64),
    "log_softmax dtype": lambda m: m.arange(3).log_softmax(0, m.float64),
    "prod dtype": lambda m: m.prod(m.arange(1, 4), dtype=m.float64),
    "cumsum dtype": lambda m: m.arange(4).cumsum(0, dtype=m.float64),
    "to non_blocking": lambda m: m.ones(2).to("cpu", non_blocking=True),
    "module to non_blocking": lambda m: m.zeros_like(
        m.nn.Linear(2, 2).to("cpu", non_blocking=True).weight),
    "numpy force": lambda m: m.from_numpy(m.ones(2, requires_grad=True).numpy(force=True)),
}


def _after(x: Any, write: Callable[[Any], Any]) -> Any:
    write(x)
    return x


@pytest.mark.parametrize("name", SAME)
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors", "ignore:var.*degrees of")
def test_same_result(name: str) -> None:
    ours, theirs = SAME[name](tn), SAME[name](torch)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    close(ours, theirs)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divisions_of_floats_without_a_fraction(name: str, dtype: str) -> None:
    """Each of some values by each of them: zeros, infinities and NaN too."""
    some = [7.5, -7.5, 0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1e30, 0.3, -1e-3]
    results = []
    for m in (tn, torch):
        x = m.tensor(some, dtype=getattr(m, dtype))
        with np.errstate(all="ignore"):
            results.append(getattr(m, name)(x.reshape(-1, 1), x).numpy())
    np.testing.assert_array_equal(*results)


AT_NOTHING: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": lambda m, x: x.softmax(0),
    "log_softmax": lambda m, x: x.log_softmax(0),
    "logsumexp": lambda m, x: x.logsumexp(0),
    "cat": lambda m, x: m.cat([x, m.ones(2, 3, dtype=m.float64)]),
    "gather": lambda m, x: x.gather(0, m.zeros(0, dtype=m.int64)),
}
OF_ONE: dict[str, Callable[[Any, Any], Any]] = {
    "transpose": lambda m, x: x.transpose(0, 0) * x,
    "softmax": lambda m, x: x.softmax(0) * x,
    "gather": lambda m, x: x.gather(0, m.tensor([0, 0])) * x,
    "gather nothing": lambda m, x: x.gather(0, m.zeros(0, 2, dtype=m.int64)),
    "normalize": lambda m, x: m.nn.functional.normalize(x, dim=0) * x,
    "2 ** x": lambda m, x: 2 ** (x * 1000),
    "0.5 ** x": lambda m, x: 0.5 ** (x * -1000),
    "0 ** x": lambda m, x: 0**x + 0 ** (x - 2) + 0 ** (x * 0),
    "inf ** x": lambda m, x: np.inf**x,
}


@pytest.mark.parametrize(("function", "start"), [
    *((f, []) for f in AT_NOTHING.values()), *((f, 2.0) for f in OF_ONE.values())])
def test_same_gradient_of_nothing_and_of_one_value(
    function: Callable[[Any, Any], Any], start: Any
) -> None:
    results = []
    for m in (tn, torch):
        x = m.tensor(start, dtype=m.float64, requires_grad=True)
        with np.errstate(all="ignore"):
            function(m, x).sum().backward()
        results.append(x.grad.numpy())
    np.testing.assert_allclose(*results, rtol=1e-14)


EDGES: dict[str, Callable[..., Any]] = {
    "relu": lambda m, x, a, b: x.relu().sqrt(),
    "clamp": lambda m, x, a, b: x.clamp(min=0).sqrt() + (2 - x.clamp(max=2)).sqrt(),
    "clamp both": lambda m, x, a, b: x.clamp(0, 2).sqrt(),
    "clamp tensors": lambda m, x, a, b: x.clamp(a, b).sqrt(),
    "clamp by a tensor": lambda m, x, a, b: x.clamp(min=a) * x.clamp(max=b),
    "maximum": lambda m, x, a, b: m.maximum(x, a).sqrt(),
    "minimum": lambda m, x, a, b: (2 - m.minimum(x, b)).sqrt(),
}


@pytest.mark.parametrize("name", EDGES)
def test_same_gradient_at_the_edges(name: str) -> None:
    """An infinite gradient reaches only what was chosen; a tie is shared as in PyTorch."""
    data = [[-1.0, 0, 0, 1, 2, 3], [0.0, 0, -1, 1, 3, 2], [2.0, 2, 1, 1, 2, 2]]
    results = []
    for m in (tn, torch):
        leaves = [m.tensor(row, dtype=m.float64, requires_grad=True) for row in data]
        with np.errstate(divide="ignore"):
            EDGES[name](m, *leaves).sum().backward()
        results.append([x.grad for x in leaves])
    for got, expected in zip(*results, strict=True):
        assert (got is None) == (expected is None)
        if expected is not None:  # within the rounding of a square root, which hangs on the CPU
            np.testing.assert_allclose(got.tolist(), expected.tolist(), rtol=3e-16)


WITHOUT_DIMENSIONS: list[Callable[[Any], Any]] = [
    lambda s: s.cumsum(0), lambda s: s.logsumexp(0), lambda s: s.logsumexp(-1, keepdim=True),
    lambda s: s.softmax(0), lambda s: s.max(0)[0], lambda s: s.prod(0), lambda s: s.sum(0),
    lambda s: s.mean(-1), lambda s: s.amax(0), lambda s: s.flip(()), lambda s: s.squeeze(),
    lambda s: s.flatten()[0], lambda s: s[...], lambda s: s.var(correction=0), lambda s: s.t(),
]


@pytest.mark.parametrize("function", WITHOUT_DIMENSIONS)
def test_values_and_gradients_without_dimensions(function: Callable[[Any], Any]) -> None:
    results = []
    for m in (tn, torch):
        s = m.tensor(2.0, dtype=m.float64, requires_grad=True)
        y = function(s)
        y.backward()
        results.append((y.item(), s.grad.item(), tuple(y.shape)))
    assert results[0] == results[1]


def test_dlpack_both_ways() -> None:
    ours = tn.arange(6.0).reshape(2, 3)
    theirs = torch.from_dlpack(ours)
    theirs[0, 0] = 7
    assert ours[0, 0].item() == 7
    back = tn.from_dlpack(theirs.T)
    assert back.shape == (3, 2)
    back[2, 1] = 9
    assert theirs[1, 2].item() == 9
    with pytest.raises(BufferError, match="requires grad"):
        torch.from_dlpack(ours.requires_grad_())
