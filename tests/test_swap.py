"""nn.normalization.swap: other norms in a model's places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import array, close, randomize, tensor

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn.normalization import swap

RANDOM = np.random.default_rng(0)


class Net(nn.Module):
    def __init__(self, norm: Any = nn.BatchNorm1d, **options: Any) -> None:
        self.first = norm(4, **options)
        self.rest = nn.Sequential(nn.Linear(4, 6), norm(6, **options), nn.ReLU(), nn.LayerNorm(6))

    def forward(self, x: Any) -> Any:
        return self.rest(self.first(x))


def kinds(net: Any) -> list[str]:
    return [type(m).__name__ for m in (net.first, *net.rest)]


def test_a_class() -> None:
    net = Net()
    new = swap(net, nn.BatchNorm1d, nn.LayerNorm)
    assert list(new) == ["first", "rest.1"]
    assert new["rest.1"] is net.rest[1]
    assert kinds(net) == ["LayerNorm", "Linear", "LayerNorm", "ReLU", "LayerNorm"]
    assert net.first.normalized_shape == (4,)
    assert net(tn.randn(1, 4)).shape == (1, 6)
    assert swap(net, nn.BatchNorm1d, nn.LayerNorm) == {}


@pytest.mark.parametrize("old", [(nn.BatchNorm1d, nn.LayerNorm),
                                 lambda m: hasattr(m, "eps")], ids=["classes", "function"])
def test_several_classes_or_a_function_choose(old: Any) -> None:
    net = Net()
    assert list(swap(net, old, nn.RMSNorm)) == ["first", "rest.1", "rest.3"]
    assert kinds(net).count("RMSNorm") == 3


def test_a_function_makes_the_new_one() -> None:
    net = Net()
    swap(net, nn.BatchNorm1d, lambda bn: nn.GroupNorm(2, bn.num_features, eps=0.1))
    assert repr(net.rest[1]) == "GroupNorm(2, 6, eps=0.1, affine=True, bias=True)"


def test_what_is_kept(device: str) -> None:
    """eps, weight and bias as the parameters they are, dtype, device, mode, what is frozen."""
    net = Net(eps=0.2, momentum=0.3).double().to(device=device)
    for norm in (net.first, net.rest[1]):
        randomize(norm, RANDOM)
    weights = [net.first.weight, net.first.bias]
    nn.utils.freeze(net.rest).train()
    optimizer = tn.optim.SGD(net.parameters(), lr=0.1)
    net.eval()
    swap(net, nn.BatchNorm1d, nn.BatchRenorm1d)
    assert [net.first.weight, net.first.bias] == weights
    assert net.first.eps == 0.2
    assert net.first.momentum == nn.BatchRenorm1d(1).momentum, "each has its own default"
    assert not net.first.training
    assert net.rest[1]._frozen
    assert not net.rest[1].weight.requires_grad
    net.train()
    assert net.first.training
    assert not net.rest[1].training
    for value in (net.first.weight, net.first.running_std):
        assert (value.dtype, str(value.device)) == (tn.float64, str(tn.zeros(1, device=device)
                                                                    .device))
    x = tensor(RANDOM.standard_normal((5, 4)), device)
    net(x).square().sum().backward()
    before = array(net.first.weight).copy()
    optimizer.step()
    assert (array(net.first.weight) != before).all(), "the optimizer holds it still"


def test_momentum_stays_between_batch_norms() -> None:
    class Own(nn.BatchNorm1d):
        pass

    net = nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3, 0.5, 0.2),
                        nn.BatchNorm1d(3, track_running_stats=False, affine=False),
                        nn.BatchNorm1d(3, bias=False))
    for seed in range(2):
        net(tensor(np.random.default_rng(seed).standard_normal((6, 3)).astype("float32")))
    before, text = array(net[1].running_var), repr(net)
    swap(net, nn.BatchNorm1d, Own)
    assert repr(net).replace("Own", "BatchNorm1d") == text
    np.testing.assert_array_equal(array(net[1].running_var), before)
    assert net[1].num_batches_tracked.item() == 2


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_statistics_cross_between_batch_norm_and_batch_renorm(dims: int, device: str) -> None:
    """Inference gives the same before, after, and after the way back."""
    classes = [getattr(nn, f"Batch{kind}{dims}d") for kind in ("Norm", "Renorm")]
    net = nn.Sequential(classes[0](3, eps=0.3)).double().to(device=device)
    randomize(net[0], RANDOM)
    net[0].num_batches_tracked += 5
    x = tensor(RANDOM.standard_normal((4, 3, *[2] * dims)[: max(2, dims + 2)]), device)
    expected = array(net.eval()(x))
    var = array(net[0].running_var)
    for old, new in (classes, classes[::-1]):
        swap(net, old, new)
        assert type(net[0]) is new
        close(array(net(x)), expected)
        assert net[0].num_batches_tracked.item() == 5
    close(array(net[0].running_var), var)


def test_a_deviation_below_the_root_of_eps_gives_a_variance_of_0() -> None:
    net = nn.Sequential(nn.BatchRenorm1d(1, eps=1.0))
    net[0].running_std.fill_(0.5)
    swap(net, nn.BatchRenorm1d, nn.BatchNorm1d)
    assert net[0].running_var.item() == 0


def test_statistics_that_nothing_entered_are_not_carried() -> None:
    """1 is the initial value of both, √(1 + eps) would look like one that was learned."""
    net = nn.Sequential(nn.BatchNorm1d(2, eps=3.0))
    swap(net, nn.BatchNorm1d, nn.BatchRenorm1d)
    assert net[0].running_std.tolist() == [1, 1]
    with pytest.warns(UserWarning, match="got the initial ones"):
        net.eval()(tn.randn(3, 2))


def test_other_statistics_stay_behind() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3))
    net[0].running_mean += 1
    swap(net, nn.BatchNorm1d, lambda bn: nn.InstanceNorm1d(3, track_running_stats=True))
    assert not net[0].running_mean.any()
    net = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))
    swap(net, nn.BatchNorm1d, nn.BatchRenorm1d)
    assert net[0].running_std.tolist() == [1, 1, 1]


def test_values_that_a_function_gives_are_its_own() -> None:
    net = Net()
    randomize(net, RANDOM)
    weight, bias = net.first.weight, net.first.bias

    def silent(old: Any) -> Any:
        new = nn.GroupNorm(1, old.num_features)
        nn.init.zeros_(new.weight)
        return new

    swap(net, nn.BatchNorm1d, silent)
    assert not net.first.weight.any()
    assert net.first.weight is not weight
    assert net.first.bias is bias


def test_shapes_that_differ_are_not_carried() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3))
    randomize(net, RANDOM)
    swap(net, nn.BatchNorm2d, lambda bn: nn.LayerNorm((3, 2, 2)))
    assert (net[0].weight == 1).all()


def test_a_shared_layer_is_swapped_once_everywhere() -> None:
    norm = nn.BatchNorm1d(3)
    net = nn.Sequential(norm, nn.Sequential(nn.ReLU(), norm), norm)
    calls = []
    new = swap(net, nn.BatchNorm1d, lambda bn: calls.append(bn) or nn.LayerNorm(3))
    assert calls == [norm]
    assert list(new) == ["0"]
    assert net[0] is net[1][1] is net[2] is new["0"]


def test_a_norm_that_is_the_model() -> None:
    norm = nn.BatchNorm1d(3)
    new = swap(norm, nn.BatchNorm1d, nn.LayerNorm)
    assert list(new) == [""]
    assert isinstance(new[""], nn.LayerNorm)
    assert isinstance(norm, nn.BatchNorm1d)


def test_the_layer_itself_may_stay() -> None:
    net = Net()
    norm = net.first
    swap(net, nn.BatchNorm1d, lambda bn: bn)
    assert net.first is norm


def test_from_groups_to_a_plain_norm() -> None:
    net = nn.Sequential(nn.GroupNorm(2, 4, eps=0.1, bias=False))
    swap(net, nn.GroupNorm, nn.InstanceNorm1d)
    assert repr(net[0]).startswith("InstanceNorm1d(4, eps=0.1, momentum=0.1, affine=True, bias=Fa")
    swap(net, nn.InstanceNorm1d, lambda old: nn.LayerNorm((4, 5), eps=0.2))
    swap(net, nn.LayerNorm, nn.RMSNorm)
    assert repr(net[0]) == "RMSNorm((4, 5), eps=0.2, elementwise_affine=True)"


ERRORS = {
    r"swap: expected a Module, got list": ([], nn.BatchNorm1d, nn.LayerNorm),
    r"swap: expected old to be a class of layers, a tuple of them or a function, got 'BatchNorm1d'":
        (Net(), "BatchNorm1d", nn.LayerNorm),
    r"swap: expected old to be a class of layers.*got <class 'int'>": (Net(), int, nn.LayerNorm),
    r"swap: expected new to be a class or a function, got str":
        (Net(), nn.BatchNorm1d, "LayerNorm"),
    r"swap: BatchNorm1d 'first': GroupNorm needs num_groups.*pass a function: lambda old: GroupN":
        (Net(), nn.BatchNorm1d, nn.GroupNorm),
    r"swap: LayerNorm '0': BatchNorm1d needs num_features, which is not known":
        (nn.Sequential(nn.LayerNorm((3, 4))), nn.LayerNorm, nn.BatchNorm1d),
    r"swap: BatchNorm2d '0': LayerNorm normalizes the last axes, but here the channels are axis 1":
        (nn.Sequential(nn.BatchNorm2d(3)), nn.BatchNorm2d, nn.LayerNorm),
    r"swap: LazyBatchNorm1d '0': expected a layer that knows its size; call the model on a batch":
        (nn.Sequential(nn.LazyBatchNorm1d()), nn.LazyBatchNorm1d, nn.LayerNorm),
    r"swap: BatchNorm1d 'first': expected new to give a Module, got int":
        (Net(), nn.BatchNorm1d, lambda bn: 3),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message: str) -> None:
    model, old, new = ERRORS[message]
    before = repr(model)
    with pytest.raises((TypeError, ValueError), match=message):
        swap(model, old, new)
    assert repr(model) == before


def test_an_error_in_the_last_layer_changes_none() -> None:
    net = Net()

    def only_four(bn: Any) -> Any:
        if bn.num_features != 4:
            raise KeyError(bn.num_features)
        return nn.LayerNorm(4)

    with pytest.raises(KeyError):
        swap(net, nn.BatchNorm1d, only_four)
    assert kinds(net) == kinds(Net())
