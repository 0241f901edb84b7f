"""optim.param_groups: what weight decay is for."""

from __future__ import annotations

from typing import Any

import pytest
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.optim import SGD, param_groups


class Scale(nn.Module):
    """A layer with parameters of no, one and two dimensions, and a name that ends in bias."""

    def __init__(self) -> None:
        self.alpha = nn.Parameter(tn.tensor(0.5))
        self.slope = nn.Parameter(tn.ones(4))
        self.mix = nn.Parameter(tn.ones(4, 4))
        self.position_bias = nn.Parameter(tn.ones(4, 4))

    def forward(self, x: Any) -> Any:
        return x * self.alpha * self.slope @ self.mix + self.position_bias.sum(0)


def model() -> Any:
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False), nn.RMSNorm(4), Scale(),
        nn.Sequential(nn.Linear(4, 6), nn.GroupNorm(2, 6)), nn.LayerNorm((6,)))


DECAYED = ["0.weight", "2.weight", "4.mix", "5.0.weight"]


def names(net: Any, group: Any) -> list[str]:
    by_id = {id(p): name for name, p in net.named_parameters()}
    return [by_id[id(p)] for p in group["params"]]


def test_weights_decay_and_nothing_else() -> None:
    net = model()
    decayed, spared = param_groups(net, 0.1)
    assert names(net, decayed) == DECAYED
    assert names(net, spared) == [n for n, _ in net.named_parameters() if n not in DECAYED]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


def test_a_step_without_gradients_decays_only_the_right_ones(device: str) -> None:
    """p ← p - lr decay p where it decays, exactly p elsewhere."""
    net = model().to(device=device)
    optimizer = SGD(param_groups(net, 0.5), lr=0.5)
    for parameter in net.parameters():
        parameter.grad = tn.zeros_like(parameter)
    before = {name: array(p).copy() for name, p in net.named_parameters()}
    optimizer.step()
    for name, parameter in net.named_parameters():
        factor = 0.75 if name in DECAYED else 1.0
        assert (array(parameter) == factor * before[name]).all(), name


def test_options_reach_both_groups() -> None:
    optimizer = SGD(param_groups(model(), 0.1), lr=0.3, momentum=0.9, weight_decay=7.0)
    assert [(g["lr"], g["momentum"], g["weight_decay"]) for g in optimizer.param_groups] == [
        (0.3, 0.9, 0.1), (0.3, 0.9, 0.0)]


def test_weights_of_a_norm_with_several_axes_do_not_decay() -> None:
    decayed, spared = param_groups(nn.LayerNorm((3, 2)), 0.1)
    assert (len(decayed["params"]), len(spared["params"])) == (0, 2)
    SGD([decayed, spared])


def test_a_shared_parameter_is_there_once_and_spared_if_one_place_spares_it() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    net[2].own_bias = net[2].weight
    decayed, spared = param_groups(net, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(net[0].weight)]
    assert sorted(map(id, spared["params"])) == sorted(
        map(id, (net[0].bias, net[1].bias, net[2].weight, net[2].bias)))
    SGD([decayed, spared])


def test_a_norm_of_your_own_is_known_by_what_it_derives_from() -> None:
    class Own(nn.LayerNorm):
        pass

    assert not param_groups(Own((2, 2)), 0.1)[0]["params"]


def test_parameters_that_do_not_learn_are_listed_too() -> None:
    net = model().requires_grad_(False)
    assert sum(len(g["params"]) for g in param_groups(net, 0.1)) == len(list(net.parameters()))


def test_errors() -> None:
    with pytest.raises(ValueError, match="param_groups: expected weight_decay >= 0, got -1"):
        param_groups(model(), -1)
    with pytest.raises(TypeError, match="expected weight_decay to be a number, got 'a'"):
        param_groups(model(), "a")
    with pytest.raises(TypeError, match="param_groups: expected a Module, got generator"):
        param_groups(model().parameters(), 0.1)


def test_a_parametrized_weight_goes_where_the_weight_would() -> None:
    """Both of weight_norm's parts decay, also where the length is one number; a bias's do not."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    nn.utils.parametrizations.weight_norm(net[0])
    nn.utils.parametrizations.weight_norm(net[1], dim=None)
    for layer, name in ((net[0], "bias"), (net[2], "weight")):
        nn.utils.parametrize.register_parametrization(layer, name, nn.Tanh())
    prefix = "parametrizations.weight.original"
    assert names(net, param_groups(net, 0.1)[0]) == [
        f"{i}.{prefix}{part}" for i in (0, 1) for part in (0, 1)]


def test_the_linear_within_a_norm_is_a_linear() -> None:
    net = nn.AdaptiveNorm(nn.GroupNorm(2, 4, affine=False), 3)
    assert names(net, param_groups(net, 0.1)[0]) == ["film.linear.weight"]
    assert not param_groups(nn.DyT(4), 0.1)[0]["params"]
