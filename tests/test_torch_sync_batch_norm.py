"""SyncBatchNorm beside PyTorch's: names, defaults, conversion; outputs where no group is there."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from norm_cases import array, randomize, tensor

import tinygrad_norm as tn

torch: Any = pytest.importorskip("torch")


def test_arguments_and_defaults() -> None:
    theirs, ours = (inspect.signature(nn.SyncBatchNorm).parameters for nn in (torch.nn, tn.nn))
    assert {name: p.default for name, p in theirs.items()} == {
        name: p.default for name, p in ours.items()}
    convert = inspect.signature(torch.nn.SyncBatchNorm.convert_sync_batchnorm).parameters
    assert list(convert) == list(
        inspect.signature(tn.nn.SyncBatchNorm.convert_sync_batchnorm).parameters)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("momentum", [0.2, None])
@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2), (3, 3, 2, 2), (3, 3, 1, 2, 2)], ids=str)
def test_a_tensor_alone(
    affine: bool, tracked: bool, momentum: float | None, shape: tuple[int, ...]
) -> None:
    """In training, then in eval: outputs, gradients of order 1 and 2, buffers, state dict."""
    ours = tn.nn.SyncBatchNorm(3, 1e-3, momentum, affine, tracked, dtype=tn.float64)
    theirs = torch.nn.SyncBatchNorm(3, 1e-3, momentum, affine, tracked, dtype=torch.float64)
    state = randomize(ours, np.random.default_rng(0))
    theirs.load_state_dict({**theirs.state_dict(),
                            **{name: torch.tensor(value) for name, value in state.items()}})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, dy = np.random.default_rng(1).standard_normal((2, *shape))
    for training in (True, False):
        one, other = tensor(x, grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours.train(training)(one), theirs.train(training)(other)
        np.testing.assert_allclose(array(y), z.detach(), rtol=0, atol=1e-10)
        (dx,) = tn.autograd.grad(y, one, tensor(dy), create_graph=True)
        (dz,) = torch.autograd.grad(z, other, torch.tensor(dy), create_graph=True)
        np.testing.assert_allclose(array(dx), dz.detach(), rtol=0, atol=1e-10)
        if dz.requires_grad and dx.requires_grad:
            leaves = [one, *ours.parameters()], [other, *theirs.parameters()]
            second = tn.autograd.grad((dx**2).sum(), leaves[0], materialize_grads=True)
            expected = torch.autograd.grad((dz**2).sum(), leaves[1], materialize_grads=True)
            for a, b in zip(second, expected, strict=True):
                np.testing.assert_allclose(array(a), b, rtol=1e-10, atol=1e-10)
        for name, value in theirs.named_buffers():
            np.testing.assert_allclose(array(getattr(ours, name)), value, rtol=1e-10)


def test_conversion() -> None:
    def made(nn: Any) -> Any:
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, momentum=None).eval(),
                             nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.GroupNorm(1, 3)),
                             nn.InstanceNorm1d(3), nn.SyncBatchNorm(3))

    ours, theirs = (nn.SyncBatchNorm.convert_sync_batchnorm(made(nn)) for nn in (tn.nn, torch.nn))
    pairs = list(zip(ours.named_modules(), theirs.named_modules(), strict=True))
    for (name, one), (other_name, other) in pairs:
        assert (name, type(one).__name__) == (other_name, type(other).__name__)
        assert one.training == other.training
    assert list(ours.state_dict()) == list(theirs.state_dict())
