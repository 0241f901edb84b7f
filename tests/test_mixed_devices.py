"""One argument on another device: every function says who, which is where, and the cure.

NumPy refuses arrays of other kinds. CuPy takes NumPy's without a word as indices, in einsum, and
without dimensions in comparisons, and copies them at every call; ``strict`` is made to do so here.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import strict
from conftest import CUDA

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm import nn
from tinygrad_norm.errors import DeviceError


def f(*shape: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, int(np.prod(shape)), dtype="float32").reshape(shape)


def i(*shape: int) -> np.ndarray:
    return np.asarray(np.arange(int(np.prod(shape))).reshape(shape) % 2)


def b(*shape: int) -> np.ndarray:
    return i(*shape) > 0


X, V, ONE, IMAGE, SEQUENCE = f(4, 3), f(3), f(), f(2, 3, 4, 4), f(2, 4, 6)


def graph(x: Any) -> Any:
    return x.detach().requires_grad_() * 1


def grad(x: Any, g: Any) -> None:
    x.grad = g


def step(x: Any, g: Any) -> None:
    """With a gradient that stayed where the parameter was."""
    parameter = nn.Parameter(g)
    parameter.grad = g
    parameter.data = x
    tn.optim.SGD([parameter], 0.1).step()


ARITHMETIC = ("add", "sub", "mul", "div", "pow", "maximum", "minimum")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "allclose")
OPERATIONS: dict[str, tuple[Any, ...]] = {
    **{name: (getattr(tn, name), X, V) for name in ARITHMETIC},
    **{name: (getattr(tn, name), X, X) for name in COMPARISONS},
    **{name + " 0-dim": (getattr(tn, name), X, ONE) for name in ARITHMETIC + COMPARISONS},
    "and": (lambda a, b: a & b, b(3), b(3)), "xor": (lambda a, b: a ^ b, b(3), b()),
    "logical_or": (tn.logical_or, b(3), b(3)),
    "where": (tn.where, b(4, 3), X, X), "where 0-dim": (tn.where, b(4, 3), X, ONE),
    "where condition 0-dim": (tn.where, b(), X, V), "Tensor.where": (lambda x, c, y: x.where(c, y),
                                                                   X, b(4, 3), X),
    "clamp": (tn.clamp, X, V, V), "clamp 0-dim": (tn.clamp, X, ONE, ONE),
    "masked_fill": (lambda x, m, v: x.masked_fill(m, v), X, b(4, 3), ONE),
    "max": (tn.max, X, X), "matmul": (tn.matmul, X, X.T), "mm": (tn.mm, X, X.T),
    "bmm": (tn.bmm, f(2, 3, 4), f(2, 4, 3)), "dot": (tn.dot, V, V),
    "cat": (lambda *xs: tn.cat(xs), X, X, X), "stack": (lambda *xs: tn.stack(xs), ONE, ONE),
    "einsum": (lambda *xs: tn.einsum("ij,jk,k->i", *xs), X, f(3, 2), f(2)),
    "einsum 0-dim": (lambda *xs: tn.einsum("i,->i", *xs), V, ONE),
    "gather": (lambda x, k: tn.gather(x, 1, k), X, i(4, 2)),
    "gather 1-dim": (lambda x, k: tn.gather(x, 0, k), V, i(2)),
    "index": (lambda x, k: x[k], X, i(3)), "index pair": (lambda x, j, k: x[j, k], X, i(2), i(2)),
    "index list": (lambda x, k: x[:, k, None], X, i(2)), "mask": (lambda x, k: x[k], X, b(4, 3)),
    "add_": (lambda x, y: x.add_(y), X, X), "mul_ 0-dim": (lambda x, y: x.mul_(y), X, ONE),
    "copy_": (lambda x, y: x.copy_(y), X, X), "copy_ 0-dim": (lambda x, y: x.copy_(y), X, ONE),
    "fill_": (lambda x, y: x.fill_(y), X, ONE),
    "setitem": (lambda x, k, v: x.__setitem__(k, v), X, i(2), f(2, 3)),
    "setitem recorded": (lambda x, k, v: graph(x).__setitem__(k, v), X, i(2), f(2, 3)),
    "setitem 0-dim": (lambda x, v: x.__setitem__(0, v), X, ONE),
    "setitem 0-dim recorded": (lambda x, v: graph(x).__setitem__(0, v), X, ONE),
    "setitem mask": (lambda x, k, v: x.__setitem__(k, v), X, b(4, 3), ONE),
    "iadd": (lambda x, y: x.__iadd__(y), X, V),
    "grad": (grad, X, X), "backward": (lambda x, g: graph(x).backward(g), X, X),
    "backward 0-dim": (lambda x, g: graph(x).backward(g), ONE, ONE),
    "autograd.grad": (lambda x, g: tn.autograd.grad(x.requires_grad_() * 1, x, g), X, X),
    "jvp": (lambda x, v: tn.autograd.functional.jvp(lambda x: x * x, x, v), X, X),
    "vjp": (lambda x, v: tn.autograd.functional.vjp(lambda x: x * x, x, v), X, X),
    "hvp": (lambda x, v: tn.autograd.functional.hvp(lambda x: (x**3).sum(), x, v), X, X),
    "vhp": (lambda x, v: tn.autograd.functional.vhp(lambda x: (x**3).sum(), x, v), X, X),
    "broadcast_tensors": (lambda x, y: sum(tn.broadcast_tensors(x, y)), X, V),
    "SGD": (step, X, X),
}
LOSSES: dict[str, tuple[Any, ...]] = {
    **{name: (getattr(F, name), X, X) for name in (
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
        "binary_cross_entropy_with_logits")},
    "mse_loss weight": (lambda x, y, w: F.mse_loss(x, y, weight=w), X, X, X),
    "l1_loss weight": (lambda x, y, w: F.l1_loss(x, y, weight=w), X, X, X),
    "huber_loss weight": (lambda x, y, w: F.huber_loss(x, y, weight=w), X, X, X),
    "mse_loss 0-dim": (F.mse_loss, ONE, ONE),
    "bce weight": (F.binary_cross_entropy, X, X, X),
    "bce logits weight": (lambda x, y, w, p: F.binary_cross_entropy_with_logits(
        x, y, w, pos_weight=p), X, X, X, V),
    **{f"{name} {case}": (
        lambda x, y, w, name=name, settings=settings: getattr(F, name)(x, y, w, **settings),
        x, y, V)
       for name in ("cross_entropy", "nll_loss")
       for case, settings, x, y in (
           ("rows", {}, X, i(4)), ("none", {"reduction": "none"}, X, i(4)),
           ("sum", {"reduction": "sum"}, X, i(4)), ("ignored", {"ignore_index": 1}, X, i(4)),
           ("image", {}, f(2, 3, 2), i(2, 2)), ("one", {}, V, i()))},
    **{f"{name} without weight": (getattr(F, name), X, i(4))
       for name in ("cross_entropy", "nll_loss")},
    "cross_entropy int32": (F.cross_entropy, X, i(4).astype("int32")),
    "cross_entropy smoothed": (lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=0.1),
                               X, i(4), V),
    "cross_entropy probabilities": (F.cross_entropy, X, X, V),
}
LAYERS: dict[str, tuple[Any, ...]] = {
    "linear": (F.linear, X, f(2, 3), f(2)), "linear 1-dim": (F.linear, V, f(2, 3), f(2)),
    "embedding": (F.embedding, i(4), X), "embedding max_norm": (
        lambda k, w: F.embedding(k, w, max_norm=0.1), i(4), X),
    "conv1d": (F.conv1d, SEQUENCE, f(2, 4, 3), f(2)),
    "conv2d": (F.conv2d, IMAGE, f(2, 3, 2, 2), f(2)),
    **{f"scaled_dot_product_attention {mask.dtype}": (
        F.scaled_dot_product_attention, SEQUENCE, SEQUENCE, SEQUENCE, mask)
       for mask in (b(4, 4), f(4, 4))},
    "MultiheadAttention": (
        lambda q, k, v, pad, mask: nn.MultiheadAttention(6, 2, batch_first=True).to(q.device)(
            q, k, v, pad, attn_mask=mask), SEQUENCE, SEQUENCE, SEQUENCE, b(2, 4), b(4, 4)),
    "MultiheadAttention floats": (
        lambda q, k, v, mask: nn.MultiheadAttention(6, 2, batch_first=True).to(q.device)(
            q, k, v, attn_mask=mask), SEQUENCE, SEQUENCE, SEQUENCE, f(4, 4)),
    "TransformerEncoderLayer": (
        lambda x, mask: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).to(x.device)(
            x, mask), SEQUENCE, b(4, 4)),
}
MODE = {"train": True, "eval": False}
STATISTICS = IMAGE, V, V, V, V
NORMS: dict[str, tuple[Any, ...]] = {
    **{f"{name} {mode}": (lambda *a, name=name, mode=mode: getattr(F, name)(*a, MODE[mode]),
                          *STATISTICS)
       for name in ("batch_norm", "batch_renorm") for mode in MODE},
    **{f"instance_norm {mode}": (lambda *a, mode=mode: F.instance_norm(*a, MODE[mode]),
                                 *STATISTICS) for mode in MODE},
    **{f"ghost_batch_norm {mode}": (
        lambda *a, mode=mode: F.ghost_batch_norm(*a, MODE[mode], ghost_batch_size=1), *STATISTICS)
       for mode in MODE},
    **{f"switchable_norm {mode}": (
        lambda *a, mode=mode: F.switchable_norm(*a, MODE[mode]), IMAGE, V, V, V, V, V, V)
       for mode in MODE},
    **{f"iter_norm {mode}": (lambda *a, mode=mode: F.iter_norm(*a, MODE[mode]),
                             IMAGE, V, f(1, 3, 3), V, V) for mode in MODE},
    **{f"evonorm_b0 {mode}": (lambda *a, mode=mode: F.evonorm_b0(*a, MODE[mode]),
                              IMAGE, V, V, V, V) for mode in MODE},
    **{f"conditional_batch_norm {mode}": (
        lambda *a, mode=mode: F.conditional_batch_norm(*a, MODE[mode]),
        IMAGE, i(2), V, V, f(2, 3), f(2, 3)) for mode in MODE},
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (3,), w, b), X, V, V),
    "rms_norm": (lambda x, w: F.rms_norm(x, (3,), w), X, V),
    "group_norm": (lambda x, w, b: F.group_norm(x, 3, w, b), IMAGE, V, V),
    "evonorm_s0": (lambda *a: F.evonorm_s0(*a, groups=3), IMAGE, V, V, V),
    "filter_response_norm": (F.filter_response_norm, IMAGE, V, V, V, ONE),
    "tlu": (F.tlu, IMAGE, V), "dyt": (lambda x, *a: F.dyt(x, (3,), *a), X, f(1), V, V),
    "scale_norm": (lambda x, w: F.scale_norm(x, (3,), w), X, f(1)),
    "film": (F.film, IMAGE, f(2, 3), f(2, 3)),
    "adaptive_instance_norm": (F.adaptive_instance_norm, IMAGE, IMAGE),
}
CALLS = {**OPERATIONS, **LOSSES, **LAYERS, **NORMS}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of CuPy's
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("place", ["strict", CUDA])
def test_one_argument_elsewhere(name: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in turn, among others on the cpu and on a device."""
    monkeypatch.setattr(strict, "takes_numpy", True)
    call, *arrays = CALLS[name]
    for home, away in ((place, "cpu"), ("cpu", place)):
        for moved in range(len(arrays)):
            tensors = [tn.tensor(a, device=away if k == moved else home)
                       for k, a in enumerate(arrays)]
            strict.traffic.clear()
            with pytest.raises(DeviceError, match=r"^\w+: .*; move .*\.to\(device\)") as error:
                call(*tensors)
            for device in (tn.zeros(1, device=home).device, tn.zeros(1, device=away).device):
                assert str(device) in str(error.value)
            assert not strict.traffic["out"] + strict.traffic["item"]


def test_every_function_of_several_tensors_is_in_the_table() -> None:
    for name in F.__all__:
        parameters = inspect.signature(getattr(F, name)).parameters.values()
        tensors = [p.name for p in parameters if "Tensor" in str(p.annotation)]
        assert len(tensors) < 2 or name in {key.split()[0] for key in CALLS}, name
