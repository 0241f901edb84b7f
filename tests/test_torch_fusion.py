"""nn.utils.fusion against PyTorch's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from norm_cases import array, close, randomize

import tinygrad_norm as tn

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.mark.parametrize(("bias", "eps", "channels"),
                         list(itertools.product([True, False], [1e-5, 0.3], [4, 1])))
def test_fuse_linear_bn_eval(bias: bool, eps: float, channels: int) -> None:
    """PyTorch's needs an affine norm; its bias without one has a length of its own then."""
    fused = []
    values = None
    for m, make in ((tn, np.asarray), (torch, torch.from_numpy)):
        linear = m.nn.Linear(3, 4, bias=bias, dtype=m.float64).eval()
        norm = m.nn.BatchNorm1d(channels, eps=eps, dtype=m.float64).eval()
        if values is None:
            values = [randomize(layer, np.random.default_rng(3)) for layer in (linear, norm)]
            norm.num_batches_tracked += 1
        for layer, own in zip((linear, norm), values, strict=True):
            layer.load_state_dict({k: make(v) for k, v in own.items()}, strict=False)
        fused.append(m.nn.utils.fusion.fuse_linear_bn_eval(linear, norm))
    ours, theirs = fused
    close(array(ours.weight), theirs.weight.detach().numpy())
    close(array(ours.bias), np.broadcast_to(theirs.bias.detach().numpy(), (4,)))
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize(("bias", "eps", "groups"),
                         list(itertools.product([True, False], [1e-5, 0.3], [1, 2])))
def test_fuse_conv_bn_eval(bias: bool, eps: float, groups: int) -> None:
    fused = []
    values = None
    for m, make in ((tn, np.asarray), (torch, torch.from_numpy)):
        conv = m.nn.Conv2d(2, 4, 3, bias=bias, groups=groups, padding=1, dtype=m.float64).eval()
        norm = m.nn.BatchNorm2d(4, eps=eps, dtype=m.float64).eval()
        if values is None:
            values = [randomize(layer, np.random.default_rng(3)) for layer in (conv, norm)]
            norm.num_batches_tracked += 1
        for layer, own in zip((conv, norm), values, strict=True):
            layer.load_state_dict({k: make(v) for k, v in own.items()}, strict=False)
        fused.append(m.nn.utils.fusion.fuse_conv_bn_eval(conv, norm))
    ours, theirs = fused
    close(array(ours.weight), theirs.weight.detach().numpy())
    close(array(ours.bias), theirs.bias.detach().numpy())
    assert list(ours.state_dict()) == list(theirs.state_dict())
