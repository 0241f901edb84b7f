"""nn.utils.freeze: norms that training leaves as they are."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn.utils import freeze, unfreeze


def model(device: str = "cpu") -> Any:
    """All kinds of norms, used once in training, so that their statistics are their own."""
    o = {"device": device}
    net = nn.Sequential(
        nn.Linear(3, 4, **o), nn.BatchNorm1d(4, **o), nn.ReLU(),
        nn.Sequential(nn.Linear(4, 4, **o), nn.BatchRenorm1d(4, **o), nn.LayerNorm(4, **o)),
        nn.Dropout(0.5), nn.GroupNorm(2, 4, **o),
    )
    net(tn.randn(8, 3, **o))
    return net


def state(net: Any) -> dict[str, bytes]:
    return {name: array(value).tobytes() for name, value in net.state_dict().items()}


def train(net: Any, device: str = "cpu", steps: int = 3) -> None:
    """With momentum and weight decay, which move what has any gradient, 0 too."""
    optimizer = tn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=False)
        net(tn.randn(8, 3, device=device)).square().sum().backward()
        optimizer.step()


STATISTICS = {"1.running_mean", "1.running_var", "1.num_batches_tracked", "3.1.running_mean",
              "3.1.running_std", "3.1.num_batches_tracked"}
AFFINE = {f"{name}.{part}" for name in ("1", "3.1", "3.2", "5") for part in ("weight", "bias")}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("stats", [True, False])
def test_training_leaves_what_is_frozen_bit_for_bit(
    stats: bool, affine: bool, device: str
) -> None:
    """Also though there were gradients before, and train() is called after."""
    net = model(device)
    net(tn.randn(8, 3, device=device)).sum().backward()
    assert freeze(net, stats=stats, affine=affine) is net
    before = state(net.train())
    train(net, device)
    after = state(net)
    assert list(after) == list(before)
    still = (STATISTICS if stats else set()) | (AFFINE if affine else set())
    assert {name for name in after if after[name] == before[name]} == still


def test_train_and_eval_reach_all_but_frozen_statistics() -> None:
    net = freeze(model())
    for mode in (True, False, True):
        net.train(mode)
        assert {name for name, m in net.named_modules() if m.training} == (
            {"", "0", "2", "3", "3.0", "3.2", "4", "5"} if mode else set())
    net[1].train()
    assert not net[1].training


def test_frozen_statistics_are_used() -> None:
    net = freeze(model(), affine=False).train()
    norm, x = net[1], tn.randn(5, 4)
    y = norm(x)
    expected = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    np.testing.assert_allclose(array(y), array(expected), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert norm.weight.grad is not None


def test_unfreeze_takes_it_back() -> None:
    for mode in (True, False):
        net = freeze(model()).train(mode)
        assert unfreeze(net) is net
        assert repr(net) == repr(model())
        assert all(m.training == mode for m in net.modules())
        assert all(p.requires_grad for p in net.parameters())
        before = state(net.train())
        train(net)
        assert all(before[name] != value for name, value in state(net).items())


@pytest.mark.parametrize(("stats", "affine"), [(True, False), (False, True)])
def test_unfreeze_one_half(stats: bool, affine: bool) -> None:
    net = unfreeze(freeze(model()).train(), stats=stats, affine=affine)
    assert net[1].training == stats
    assert net[1].weight.requires_grad == affine


def test_a_norm_alone() -> None:
    norm = freeze(nn.BatchNorm1d(4)).train()
    assert not norm.training
    assert unfreeze(norm).train().training


def test_it_survives_a_deep_copy_and_shows_in_the_repr() -> None:
    net = copy.deepcopy(freeze(model())).train()
    assert repr(net[1]) == ("BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, "
                            "track_running_stats=True, frozen)")
    assert repr(net).count("frozen") == 2
    assert not net[1].training
    assert list(net.state_dict()) == list(model().state_dict())
    unfreeze(net)
    assert "frozen" not in repr(net)


def test_other_layers_and_norms_without_statistics_are_left_alone() -> None:
    net = freeze(model(), affine=False)
    assert net[3][2].training
    assert nn.BatchNorm1d(3, track_running_stats=False).training
    plain = freeze(nn.BatchNorm1d(3, track_running_stats=False))
    assert plain.training
    assert "frozen" not in repr(plain)
    own = freeze(type("Own", (nn.BatchNorm1d,), {})(3))
    assert not own.train().training


def test_errors() -> None:
    for function in (freeze, unfreeze):
        with pytest.raises(TypeError, match=rf"{function.__name__}: expected a Module, got list; "
                           "pass the model or one of its layers"):
            function([nn.BatchNorm1d(3)])


def test_a_lazy_norm_stays_frozen_when_it_gets_its_size() -> None:
    norm = freeze(nn.LazyBatchNorm1d()).train()
    with pytest.warns(UserWarning, match="got the initial ones"):
        norm(tn.randn(4, 3))
    assert type(norm) is nn.BatchNorm1d
    assert not norm.train().training
    assert not norm.weight.requires_grad
    assert not norm.running_mean.any()


OTHERS = {
    "IterNorm": lambda: nn.IterNorm(3),
    "EvoNormB0": lambda: nn.EvoNormB0(3),
    "SwitchableNorm2d": lambda: nn.SwitchableNorm2d(3),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(3),
    "GhostBatchNorm": lambda: nn.GhostBatchNorm(3, 2),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(3, track_running_stats=True),
    "AdaptiveNorm": lambda: nn.AdaptiveNorm(nn.BatchNorm2d(3, affine=False), 2),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_every_norm_that_remembers_can_be_frozen(make: Any) -> None:
    norm = make()
    inputs = [tn.randn(4, 3, 2, 2)]
    if isinstance(norm, nn.AdaptiveNorm):
        inputs.append(tn.randn(4, 2))
    norm(*inputs)
    before = state(freeze(norm).train())
    norm(*inputs)
    assert state(norm) == before
    assert not any(p.requires_grad for p in norm.parameters())
