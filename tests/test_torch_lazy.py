"""The lazy layers against PyTorch's."""

from __future__ import annotations

import copy
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

SHAPES = {
    "LazyBatchNorm1d": [(6, 3), (4, 3, 2)],
    "LazyBatchNorm2d": [(3, 3, 2, 2)],
    "LazyBatchNorm3d": [(2, 3, 2, 1, 3)],
    "LazyInstanceNorm1d": [(2, 3, 5)],
    "LazyInstanceNorm2d": [(2, 3, 2, 3)],
    "LazyInstanceNorm3d": [(2, 3, 2, 1, 3)],
    "LazyLinear": [(5, 3), (2, 4, 3), (3,)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]
cases = pytest.mark.parametrize(("name", "shape"), CASES,
                                ids=[f"{n} of {'x'.join(map(str, s))}" for n, s in CASES])
kinds = pytest.mark.parametrize("name", SHAPES)


def options(name: str) -> Iterator[dict[str, Any]]:
    """The grid of a layer's settings."""
    if name == "LazyLinear":
        yield from ({"bias": bias} for bias in (True, False))
        return
    for affine, momentum, track in itertools.product(
            [{}, {"bias": False}, {"affine": False}], [0.6, None], [True, False]):
        if not (name.startswith("LazyInstance") and momentum is None):
            # PyTorch's InstanceNorm averages nothing when momentum is None; ours does
            yield {**affine, "momentum": momentum, "track_running_stats": track, "eps": 0.3}


def pair(name: str, **settings: Any) -> tuple[Any, Any]:
    """The layer of PyTorch and ours, in float64."""
    first = (2,) if name == "LazyLinear" else ()
    return (getattr(torch.nn, name)(*first, dtype=torch.float64, **settings),
            getattr(tn.nn, name)(*first, dtype=tn.float64, **settings))


def input_of(shape: tuple[int, ...], step: int = 0) -> np.ndarray:
    return np.random.default_rng(step).standard_normal(shape) * 1.7 + 0.6


def close(got: Any, expected: Any) -> None:
    got, expected = array(got), expected.detach().numpy()
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected),
                                                                            initial=1e-3))


def same_state(theirs: Any, ours: Any) -> None:
    """Keys in their order, and which of them wait."""
    def kinds(layer: Any) -> list[tuple[str, bool]]:
        return [(k, "Uninitialized" in type(v).__name__) for k, v in layer.state_dict().items()]

    assert repr(ours) == repr(theirs)
    assert kinds(ours) == kinds(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def compare(theirs: Any, ours: Any, x: np.ndarray) -> None:
    """Output, gradients of order 1 and 2, buffers."""
    results = []
    random = np.random.default_rng(7)
    size = (*x.shape[:-1], 2) if isinstance(ours, tn.nn.Linear) else x.shape
    outward = random.standard_normal(size)
    for m, layer, make in ((torch, theirs, torch.from_numpy), (tn, ours, tensor)):
        leaf = make(x).requires_grad_()
        y = layer(leaf)
        leaves = [leaf, *layer.parameters()]
        first = m.autograd.grad((y * make(outward)).square().sum(), leaves, create_graph=True)
        second = m.autograd.grad(sum((g * g.detach().cos()).sum() for g in first), leaves,
                                 allow_unused=True)
        results.append([y, *first, *(x * 0 if g is None else g
                                     for g, x in zip(second, leaves, strict=True))])
    for expected, got in zip(*results, strict=True):
        close(got, expected)
    for (name, got), (_, expected) in zip(ours.named_buffers(), theirs.named_buffers(),
                                          strict=True):
        if not (isinstance(theirs, torch.nn.modules.instancenorm._InstanceNorm)
                and name == "num_batches_tracked"):  # PyTorch's does not count
            close(got, expected)


@kinds
def test_arguments_names_order_and_defaults(name: str) -> None:
    def signature(layer: type) -> list[tuple[str, Any, Any]]:
        parameters = list(inspect.signature(layer.__init__).parameters.values())[1:]
        return [(p.name, p.default, p.kind) for p in parameters]

    assert signature(getattr(tn.nn, name)) == signature(getattr(torch.nn, name))


@cases
def test_before_during_and_after(name: str, shape: tuple[int, ...]) -> None:
    """Over the grid of options: three steps of training, then inference."""
    for settings in options(name):
        theirs, ours = pair(name, **settings)
        same_state(theirs, ours)
        assert ours.has_uninitialized_params() == theirs.has_uninitialized_params()
        if name == "LazyLinear":  # the weights are drawn, so they must be given
            theirs(torch.from_numpy(input_of(shape)))
            ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        tracked = settings.get("track_running_stats", False)
        for step in range(4):
            ours.train(step < 3)
            theirs.train(step < 3)
            if "Instance" in name and not (tracked or settings.get("affine", True)):
                with warnings.catch_warnings():  # PyTorch's num_features stays 0
                    warnings.simplefilter("ignore")
                    compare(theirs, ours, input_of(shape, step))
                assert theirs.num_features == 0
                continue
            compare(theirs, ours, input_of(shape, step))
            if tracked or settings.get("affine", True):
                same_state(theirs, ours)
        assert type(ours).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")


@cases
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_to_before_the_first_input(name: str, shape: tuple[int, ...], dtype: str) -> None:
    theirs, ours = (layer.to(getattr(m, dtype))
                    for m, layer in zip((torch, tn), pair(name), strict=True))
    for m, layer, make in ((torch, theirs, torch.from_numpy), (tn, ours, tensor)):
        assert layer.weight.dtype == getattr(m, dtype)
        layer(make(input_of(shape).astype(dtype)))
    for got, expected in zip(ours.state_dict().values(), theirs.state_dict().values(),
                             strict=True):
        assert array(got).dtype == expected.numpy().dtype


def test_a_copy_before_the_first_input() -> None:
    """PyTorch's norms with running statistics cannot be copied; ours can."""
    theirs, ours = pair("LazyBatchNorm1d")
    with pytest.raises(ValueError, match="uninitialized"):
        copy.deepcopy(theirs)
    same_state(theirs, copy.deepcopy(ours))


@cases
def test_a_state_dict_of_an_initialized_one(name: str, shape: tuple[int, ...]) -> None:
    """Both take it. Ours is the plain layer then; PyTorch's at the next input, with num_features
    0 for good, which its InstanceNorm refuses."""
    for m, layer, source, make in zip((torch, tn), pair(name), pair(name),
                                      (torch.from_numpy, tensor), strict=True):
        source(make(input_of(shape)))
        layer.load_state_dict(source.state_dict())
        expected = source(make(input_of(shape, 1)))
        if m is torch and "Instance" in name:
            with pytest.raises(ValueError, match=r"to match num_features \(0\)"):
                layer(make(input_of(shape, 1)))
            continue
        y = layer(make(input_of(shape, 1)))
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
        if name != "LazyLinear":
            assert layer.num_features == (0 if m is torch else 3)


USES: dict[str, Callable[[Any], Any]] = {
    "+": lambda layer: layer.weight + 1,
    "shape": lambda layer: layer.weight.shape,
    "sum": lambda layer: layer.running_mean.sum(),
    "numel": lambda layer: layer.bias.numel(),
    "one value": lambda layer: layer(layer.num_batches_tracked.reshape(1, 1).double()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_errors_are_of_pytorchs_classes(use: Callable[[Any], Any]) -> None:
    theirs, ours = pair("LazyBatchNorm1d")
    with pytest.raises(Exception, match=r"\w") as expected:
        use(theirs)
    with pytest.raises(expected.type):
        use(ours)


@kinds
def test_a_state_dict_without_values(name: str) -> None:
    """A lazy layer takes that of another; a plain one refuses it with a RuntimeError."""
    for layer, other in zip(pair(name), pair(name), strict=True):
        layer.load_state_dict(other.state_dict())
        assert layer.has_uninitialized_params()
    for m in (torch, tn):
        lazy = getattr(m.nn, name)(*((2,) if name == "LazyLinear" else ()))
        settings = {"affine": True, "track_running_stats": True} if "Instance" in name else {}
        plain = getattr(m.nn, name.removeprefix("Lazy"))(
            *((3, 2) if name == "LazyLinear" else (3,)), **settings)
        with pytest.raises(RuntimeError, match=r"weight|uninitialized"):
            plain.load_state_dict(lazy.state_dict())


def test_one_sample_of_instance_norm() -> None:
    """(C, L). PyTorch takes the second axis for the channels, and then refuses its own choice."""
    x = input_of((3, 5)).astype("float32")
    with pytest.raises(ValueError, match="to match num_features"):
        torch.nn.LazyInstanceNorm1d()(torch.from_numpy(x))
    expected = torch.nn.InstanceNorm1d(3, affine=True)(torch.from_numpy(x))
    got = tn.nn.LazyInstanceNorm1d()(tensor(x))
    np.testing.assert_allclose(array(got), expected.detach().numpy(), atol=1e-6)


def test_a_wrong_input_initializes_pytorchs_layer_and_not_ours() -> None:
    theirs, ours = torch.nn.LazyBatchNorm2d(), tn.nn.LazyBatchNorm2d()
    for layer, x in ((theirs, torch.ones(1, 7)), (ours, tn.ones(1, 7))):
        with pytest.raises(ValueError, match="expected"):
            layer(x)
    assert theirs.num_features == 7
    assert ours.has_uninitialized_params()
