"""nn.utils.fusion: one layer for a layer and its batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import array, close, randomize, tensor

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn.care.fusion import (
    fuse,
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
    fusible,
)

RANDOM = np.random.default_rng(0)


def pair(norm: Any, *, bias: bool = True, out: int = 4, device: str = "cpu") -> tuple[Any, Any]:
    """A Linear and the norm in float64, with random values, in inference mode."""
    linear = nn.Linear(3, out, bias=bias).double().to(device=device)
    norm = norm.double().to(device=device)
    for layer in (linear, norm):
        randomize(layer, np.random.default_rng(1))
    norm.num_batches_tracked += 1
    return linear.eval(), norm.eval()


NORMS = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "BatchNorm1d without affine": lambda: nn.BatchNorm1d(4, affine=False, eps=0.3),
    "BatchNorm1d without bias": lambda: nn.BatchNorm1d(4, bias=False),
    "BatchRenorm1d": lambda: nn.BatchRenorm1d(4, eps=0.3),
    "BatchRenorm1d without affine": lambda: nn.BatchRenorm1d(4, affine=False),
}


@pytest.mark.parametrize("make", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_one_linear_does_the_work_of_two_layers(make: Any, bias: bool, device: str) -> None:
    linear, norm = pair(make(), bias=bias, device=device)
    fused = fuse_linear_bn_eval(linear, norm)
    assert type(fused) is nn.Linear
    assert not fused.training
    x = tensor(RANDOM.standard_normal((7, 3)), device, grad=True)
    y, both = fused(x), norm(linear(x))
    close(array(y), array(both))
    for one, other in zip(*(tn.autograd.grad(v.square().sum(), x) for v in (y, both)),
                          strict=True):
        close(array(one), array(other))
    assert y.device == x.device


def test_a_norm_of_one_channel_goes_with_a_linear_of_any_width() -> None:
    """As in PyTorch: of (N, 1, out) every feature belongs to the one channel."""
    linear, norm = pair(nn.BatchNorm1d(1), bias=False)
    x = tensor(RANDOM.standard_normal((5, 1, 3)))
    close(array(fuse_linear_bn_eval(linear, norm)(x)), array(norm(linear(x))))


def test_digits_stay_where_the_means_are_large() -> None:
    """b - mean = 1 beside a mean of 1e7 and a spread of 1e-3, in float32."""
    linear, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=1e-12)
    linear.load_state_dict({"weight": np.ones((1, 1)), "bias": np.full(1, 10000001.0)})
    norm.load_state_dict({"running_mean": np.full(1, 1e7), "running_var": np.full(1, 1e-6)},
                         strict=False)
    fused = fuse_linear_bn_eval(linear.eval(), norm.eval())
    var = float(np.float32(1e-6)) + 1e-12
    assert fused.bias.item() == np.float32(1 / np.sqrt(var))
    assert fused.weight.dtype == fused.bias.dtype == tn.float32


def test_what_required_grad_still_does() -> None:
    linear, norm = pair(nn.BatchNorm1d(4))
    linear.weight.requires_grad_(False)
    fused = fuse_linear_bn_eval(linear, norm)
    assert not fused.weight.requires_grad
    assert fused.bias.requires_grad
    assert fused.weight.is_leaf


class Net(nn.Module):
    """Pairs at three depths, one used twice, and neighbours that are none."""

    def __init__(self) -> None:
        self.head = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(),
                                  nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))
        self.body = nn.ModuleList([nn.Sequential(nn.Sequential({
            "mix": nn.Linear(4, 4, bias=False), "norm": nn.BatchRenorm1d(4)}), nn.Tanh())])
        self.again = self.body[0]
        self.plain = nn.Sequential(
            nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False),
            nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.InstanceNorm1d(4))

    def forward(self, x: Any) -> Any:
        return self.plain[:4](self.again(self.body[0](self.head(x))))


def trained() -> Any:
    net = Net().double()
    for seed in range(3):
        net(tensor(np.random.default_rng(seed).standard_normal((16, 3)) * 3 + 1))
    return net.eval()


def test_a_model() -> None:
    net = trained()
    before, generator = repr(net), tn.get_rng_state().tolist()
    assert fusible(net) == [("head.0", "head.1"), ("body.0.0.mix", "body.0.0.norm")]
    fused = fuse(net)
    assert repr(net) == before
    assert tn.get_rng_state().tolist() == generator
    x = tensor(RANDOM.standard_normal((9, 3)))
    close(array(fused(x)), array(net(x)))
    assert fusible(fused) == []
    assert [type(m).__name__ for m in fused.head] == [
        "Linear", "Identity", "ReLU", "Linear", "ReLU", "BatchNorm1d"]
    assert list(fused.body[0][0].state_dict()) == ["mix.weight", "mix.bias"]
    assert fused.again is fused.body[0]
    assert not any(m.training for m in fused.modules())
    names = set(net.state_dict()) & set(fused.state_dict())
    assert {"head.0.weight", "head.3.weight", "head.5.running_var", "plain.2.bias"} < names
    nn.init.zeros_(fused.head[3].weight)
    assert net.head[3].weight.any()


def test_a_linear_before_two_norms_gives_two() -> None:
    linear = nn.Linear(3, 3)
    net = nn.Sequential(linear, nn.BatchNorm1d(3), linear, nn.BatchNorm1d(3)).double()
    net(tensor(RANDOM.standard_normal((9, 3)) + 2))
    x = tensor(RANDOM.standard_normal((4, 3)))
    fused = fuse(net.eval())
    close(array(fused(x)), array(net(x)))
    assert fused[0] is not fused[2]


def test_a_pair_that_somebody_watches_is_left() -> None:
    for i in (0, 1):
        net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        with net[i].register_forward_hook(lambda *_: None):
            assert fusible(net) == []
        assert fusible(net) == [("0", "1")]


def test_statistics_that_were_given_by_hand_are_set() -> None:
    """Without a batch counted: an old checkpoint has no num_batches_tracked."""
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    net[1].running_mean[0] = 2
    assert type(fuse(net)[1]) is nn.Identity


def test_errors() -> None:
    linear, norm = pair(nn.BatchNorm1d(4))
    with pytest.raises(TypeError, match="fuse_linear_bn_eval: expected a Linear and a batch norm, "
                       "got Linear and LayerNorm"):
        fuse_linear_bn_eval(linear, nn.LayerNorm(4))
    with pytest.raises(ValueError, match=r"expected a norm of 4 features \(or 1\), got 5"):
        fuse_linear_bn_eval(linear, nn.BatchNorm1d(5).eval())
    with pytest.raises(RuntimeError, match="expected a norm with running statistics, got "
                       "BatchNorm1d with track_running_stats=False"):
        fuse_linear_bn_eval(linear, nn.BatchNorm1d(4, track_running_stats=False).eval())
    with pytest.raises(RuntimeError, match="no batch has entered the running statistics of "
                       "BatchNorm1d; train it"):
        fuse_linear_bn_eval(linear, nn.BatchNorm1d(4).eval())
    for layer in (linear, norm):
        layer.train()
        with pytest.raises(RuntimeError, match=rf"got {type(layer).__name__} in training mode; "
                           r"call eval\(\) first"):
            fuse_linear_bn_eval(linear, norm)
        layer.eval()
    with pytest.raises(RuntimeError, match="expected layers that know their size, got "
                       "LazyBatchNorm1d; run a batch through the model first"):
        fuse_linear_bn_eval(linear, nn.LazyBatchNorm1d().eval())
    for function in (fuse, fusible):
        with pytest.raises(TypeError, match=f"{function.__name__}: expected a Module, got list"):
            function([linear, norm])


def test_errors_of_a_model_name_the_pair() -> None:
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    with pytest.raises(RuntimeError, match=r"fuse: 1.0 and 1.1: expected layers in inference"):
        fuse(net)
    with pytest.raises(RuntimeError, match=r"fuse: 1.0 and 1.1: no batch has entered"):
        fuse(net.eval())
    net[1][1] = nn.BatchNorm1d(5).eval()
    with pytest.raises(ValueError, match=r"fuse: 1.0 and 1.1: expected a norm of 4 features"):
        fuse(net)


def test_weights_alone() -> None:
    """With a norm's numbers written down: s = 3/√4."""
    weight, bias = fuse_linear_bn_weights(
        tensor(np.ones((1, 2))), None, tensor([1.0]), tensor([3.0]), 1.0, tensor([3.0]),
        tensor([0.5]))
    assert weight.tolist() == [[1.5, 1.5]]
    assert bias.tolist() == [-1.0]


def test_a_parametrized_linear_gives_its_present_weight() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    nn.utils.parametrizations.weight_norm(net[0])
    x = tensor(RANDOM.standard_normal((9, 3)))
    net(x)
    fused = fuse(net.eval())
    assert type(fused[0]) is nn.Linear
    close(array(fused(x)), array(net(x)))


def test_a_linear_with_a_forward_of_its_own_is_left() -> None:
    class Own(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) ** 2

    net = nn.Sequential(Own(3, 3), nn.BatchNorm1d(3)).eval()
    assert fusible(net) == []
    with pytest.raises(TypeError, match="expected a Linear and a batch norm, got Own"):
        fuse_linear_bn_eval(net[0], net[1])


def test_a_fused_layer_refuses_sequences() -> None:
    """Of (N, 4, 4) the norm takes the second axis for the channels and the Linear the third."""
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    net(tn.randn(8, 4, 4))
    fused = fuse(net.eval())
    with pytest.raises(ValueError, match=r"Linear fused with a batch norm: expected input "
                                         r"\(N, 4\), got \(8, 4, 4\); use the model as it was"):
        fused(tn.randn(8, 4, 4))
    close(array(fused(tn.ones(8, 4))), array(net(tn.ones(8, 4))), 1e-6)


# -- convolutions --------------------------------------------------------------------------------

CONVOLUTIONS = {
    "Conv2d": lambda: (nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)),
    "Conv2d in groups": lambda: (nn.Conv2d(2, 4, (1, 2), groups=2, bias=False),
                                 nn.BatchNorm2d(4, eps=0.3)),
    "Conv2d, reflected": lambda: (nn.Conv2d(2, 4, 3, padding="same", padding_mode="reflect"),
                                  nn.BatchNorm2d(4, affine=False)),
    "Conv2d of one channel": lambda: (nn.Conv2d(2, 1, 3), nn.BatchNorm2d(1)),
    "Conv2d, BatchRenorm2d": lambda: (nn.Conv2d(2, 4, 2, dilation=2), nn.BatchRenorm2d(4)),
    "Conv1d": lambda: (nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)),
}


@pytest.mark.parametrize("make", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_one_convolution_does_the_work_of_two_layers(make: Any, device: str) -> None:
    net = nn.Sequential(*make()).double().to(device=device).eval()
    for layer in net:
        randomize(layer, np.random.default_rng(1))
    net[1].num_batches_tracked += 1
    assert fusible(net) == [("0", "1")]
    fused = fuse(net)
    assert type(fused[0]) is type(net[0])
    assert repr(fused[0]) == repr(net[0]).replace(", bias=False", "")
    assert list(fused.state_dict()) == ["0.weight", "0.bias"]
    x = tensor(RANDOM.standard_normal((3, 2, *(6,) * net[0].dims)), device, grad=True)
    y, both = fused(x), net(x)
    close(array(y), array(both))
    for one, other in zip(*(tn.autograd.grad(v.square().sum(), x) for v in (y, both)),
                          strict=True):
        close(array(one), array(other))
    close(array(fuse_conv_bn_eval(*net)(x)), array(both))


def test_a_fused_convolution_refuses_one_signal() -> None:
    """Of (4, 4) the norm takes the first axis for the batch, the convolution for the channels."""
    net = nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4))
    net(tn.randn(8, 4, 4))
    fused = fuse(net.eval())
    with pytest.raises(ValueError, match=r"Conv1d fused with a batch norm: expected input "
                                         r"\(N, 4, \*spatial\), got \(4, 4\); use the model as"):
        fused(tn.randn(4, 4))


def test_a_parametrized_convolution_gives_its_present_weight() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).double()
    nn.utils.parametrizations.weight_norm(net[0])
    x = tensor(RANDOM.standard_normal((3, 2, 5, 5)))
    net(x)
    fused = fuse(net.eval())
    assert type(fused[0]) is nn.Conv2d
    close(array(fused(x)), array(net(x)))


def test_errors_of_convolutions() -> None:
    conv, norm = nn.Conv2d(2, 4, 3).eval(), nn.BatchNorm2d(4).eval()
    for one, other, names in (
        (conv, nn.BatchNorm1d(4), "Conv2d and BatchNorm1d"),
        (conv, nn.GroupNorm(2, 4), "Conv2d and GroupNorm"),
        (nn.Linear(2, 4), norm, "Linear and BatchNorm2d"),
        (nn.Conv1d(2, 4, 3), norm, "Conv1d and BatchNorm2d"),
    ):
        with pytest.raises(TypeError, match="fuse_conv_bn_eval: expected a Conv1d or Conv2d and a "
                           f"batch norm, got {names}"):
            fuse_conv_bn_eval(one.eval(), other.eval())
        assert fusible(nn.Sequential(one, other)) == []
    with pytest.raises(ValueError, match="fuse_conv_bn_eval: expected a norm of 4 features, got 1"):
        fuse_conv_bn_eval(conv, nn.BatchNorm2d(1).eval())
    with pytest.raises(RuntimeError, match="no batch has entered the running statistics"):
        fuse_conv_bn_eval(conv, norm)
    with pytest.raises(RuntimeError, match="got Conv2d in training mode"):
        fuse_conv_bn_eval(conv.train(), norm)
    with pytest.raises(RuntimeError, match="expected layers that know their size, got LazyConv2d"):
        fuse_conv_bn_eval(nn.LazyConv2d(4, 3).eval(), norm)


def test_weights_of_a_convolution_alone() -> None:
    weight, bias = fuse_conv_bn_weights(
        tensor(np.ones((1, 2, 1, 1))), tensor([2.0]), tensor([1.0]), tensor([3.0]), 1.0,
        tensor([3.0]), tensor([0.5]))
    assert weight.tolist() == [[[[1.5]], [[1.5]]]]
    assert bias.tolist() == [2.0]
