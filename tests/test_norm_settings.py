"""What the norms say to settings that make no sense, when they are made or called."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from norm_cases import array

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

REMEMBER = ["BatchNorm1d", "BatchNorm3d", "BatchRenorm2d", "GhostBatchNorm", "InstanceNorm1d",
            "LazyBatchNorm1d", "LazyInstanceNorm2d"]
FIRST = {"GroupNorm": (1, 3), "LazyBatchNorm1d": (), "LazyInstanceNorm2d": ()}
ALL = [*REMEMBER, "GroupNorm", "LayerNorm", "RMSNorm"]


def make(name: str, **settings: Any) -> Any:
    return getattr(tn.nn, name)(*FIRST.get(name, (3,)), **settings)


def refused(run: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        run()
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("eps", [-1e-5, float("nan"), -np.float32(1), float("-inf")])
def test_eps_below_0(name: str, eps: Any) -> None:
    refused(lambda: make(name, eps=eps), ValueError,
            f"{name}: expected eps >= 0, got {eps}; 1e-5 is the usual one")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("eps", ["1e-5", True, [1e-5]])
def test_eps_that_is_no_number(name: str, eps: Any) -> None:
    refused(lambda: make(name, eps=eps), TypeError,
            f"{name}: expected eps to be a number, got {eps!r}; 1e-5 is the usual one")


def test_eps_none_is_rms_norms_alone() -> None:
    assert make("RMSNorm", eps=None).eps is None
    with pytest.raises(TypeError, match="LayerNorm: expected eps to be a number, got None"):
        make("LayerNorm", eps=None)


@pytest.mark.parametrize("name", REMEMBER)
@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan"), np.float64(2), 7])
def test_momentum_outside_0_and_1(name: str, momentum: Any) -> None:
    refused(lambda: make(name, momentum=momentum), ValueError,
            f"{name}: expected momentum in [0, 1], got {momentum}; it is the weight of the new "
            "value: 0.1 keeps 0.9 of the old")


@pytest.mark.parametrize("name", REMEMBER)
@pytest.mark.parametrize("momentum", ["0.1", False])
def test_momentum_that_is_no_number(name: str, momentum: Any) -> None:
    refused(lambda: make(name, momentum=momentum), TypeError,
            f"{name}: expected momentum to be a number or None, got {momentum!r}")


@pytest.mark.parametrize("name", REMEMBER)
@pytest.mark.parametrize("momentum", [0, 1, 0.0, 1.0, 0.5, None, np.float32(0.25)])
def test_momentum_that_is_a_weight(name: str, momentum: Any) -> None:
    layer = make(name, momentum=momentum)
    assert layer.momentum == momentum
    assert type(layer.momentum) in (float, type(None))


@pytest.mark.parametrize("name", ["BatchNorm2d", "BatchRenorm1d", "InstanceNorm3d",
                                  "GhostBatchNorm"])
@pytest.mark.parametrize("features", [2.0, "3", None, True, (3,)])
def test_num_features_that_is_no_int(name: str, features: Any) -> None:
    refused(lambda: getattr(tn.nn, name)(features), TypeError,
            f"{name}: expected num_features to be an int, got {features!r}; are the arguments in "
            "order?")


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchRenorm1d", "InstanceNorm1d",
                                  "GhostBatchNorm"])
def test_num_features_below_0(name: str) -> None:
    refused(lambda: getattr(tn.nn, name)(-3), ValueError,
            f"{name}: expected num_features >= 0, got -3")
    assert getattr(tn.nn, name)(np.int64(3)).num_features == 3


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: (lambda number, _, name=name: make(name, eps=number(1e-3))) for name in ALL},
    "DyT": lambda number, integer: tn.nn.DyT(integer(3), number(0.5)),
    "ScaleNorm": lambda number, integer: tn.nn.ScaleNorm(integer(3), number(1e-3)),
    "FilterResponseNorm1d": lambda number, _: tn.nn.FilterResponseNorm1d(3, eps=number(1e-3)),
    "EvoNormB0": lambda number, _: tn.nn.EvoNormB0(3, eps=number(1e-3), momentum=number(0.5)),
    "EvoNormS0": lambda number, integer: tn.nn.EvoNormS0(3, integer(1), eps=number(1e-3)),
    "IterNorm": lambda number, integer: tn.nn.IterNorm(
        integer(3), integer(1), T=integer(3), eps=number(1e-3), momentum=number(0.5)),
    "SwitchableNorm1d": lambda number, _: tn.nn.SwitchableNorm1d(
        3, number(1e-3), number(0.5), using_in=np.True_, using_bn=np.True_),
    "BatchRenorm1d": lambda number, _: tn.nn.BatchRenorm1d(
        3, number(1e-3), number(0.5), rmax=number(1.5), dmax=number(0.5)),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("number", [np.float64, np.float32, Fraction])
def test_numbers_that_are_not_pythons(name: str, number: Any) -> None:
    """They are as good as Python's, and NumPy's do not widen a float32 input."""
    x = np.random.default_rng(0).normal(0, 2, (4, 3, 5, 5) if "2d" in name else
                                        (4, 3, 5, 5, 5) if "3d" in name else (4, 3, 3))
    results = []
    for one, integer in ((float, int), (number, np.int64)):
        layer = NUMBERS[name](one, integer)
        for mode in (True, True, False):
            given = tn.tensor(x, dtype=tn.float32, requires_grad=True)
            y = layer.train(mode)(given)
            y.square().sum().backward()
            assert y.dtype == given.grad.dtype == tn.float32
        results.append([array(y), array(given.grad), *map(array, layer.state_dict().values())])
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


CHANNELS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "groups float": (lambda: tn.nn.GroupNorm(2.0, 4), TypeError,
                     "GroupNorm: expected num_groups to be an int, got 2.0; are the arguments in "
                     "order?"),
    "channels bool": (lambda: tn.nn.GroupNorm(1, True), TypeError,
                      "GroupNorm: expected num_channels to be an int, got True; are the arguments "
                      "in order?"),
    "groups 0": (lambda: tn.nn.GroupNorm(0, 6), ValueError,
                 "GroupNorm: expected num_groups >= 1, got 0"),
    "groups negative": (lambda: tn.nn.GroupNorm(-2, 6), RuntimeError,
                        "GroupNorm: expected num_groups >= 1, got -2"),
    "channels negative": (lambda: tn.nn.GroupNorm(2, -4), RuntimeError,
                          "GroupNorm: expected num_channels >= 0, got -4"),
    "groups do not divide": (
        lambda: tn.nn.GroupNorm(4, 6), ValueError,
        "GroupNorm: expected num_groups to divide num_channels, got num_groups=4 for "
        "num_channels=6; take one that divides 6: 1, 2, 3, 6"),
    "groups of a function": (
        lambda: F.group_norm(tn.ones(2, 4), 2.0), TypeError,
        "group_norm: expected num_groups to be an int, got 2.0; are the arguments in order?"),
    "shape 0": (lambda: tn.nn.LayerNorm(0), ValueError,
                "LayerNorm: expected normalized_shape of positive ints, got (0,)"),
    "shape ()": (lambda: tn.nn.RMSNorm(()), ValueError,
                 "RMSNorm: expected normalized_shape of positive ints, got ()"),
    "shape float": (lambda: tn.nn.LayerNorm((3, 2.5)), TypeError,
                    "LayerNorm: expected normalized_shape to be an int, got 2.5; are the "
                    "arguments in order?"),
    "shape bool": (lambda: tn.nn.RMSNorm(True), TypeError,
                   "RMSNorm: expected normalized_shape to be an int, got True; are the arguments "
                   "in order?"),
    "shape none": (lambda: tn.nn.LayerNorm(None), TypeError,
                   "LayerNorm: expected normalized_shape to be an int, got None; are the "
                   "arguments in order?"),
    "alpha none": (lambda: tn.nn.DyT(3, None), TypeError,
                    "DyT: expected alpha_init_value to be a number, got None; 0.5 is the usual "
                    "one"),
    "film dim": (lambda: tn.nn.FiLM(3, 2, dim=1.0), TypeError,
                 "FiLM: expected dim to be an int, got 1.0; are the arguments in order?"),
    "ghosts 0": (lambda: tn.nn.GhostBatchNorm(3, 0), ValueError,
                 "GhostBatchNorm: expected ghost_batch_size >= 1, got 0"),
    "ghosts none": (lambda: tn.nn.GhostBatchNorm(3, None), TypeError,
                    "GhostBatchNorm: expected ghost_batch_size to be an int, got None; are the "
                    "arguments in order?"),
    "ghosts of a function": (
        lambda: F.ghost_batch_norm(tn.ones(4, 3), None, None, ghost_batch_size=1.5), TypeError,
        "ghost_batch_norm: expected ghost_batch_size to be an int, got 1.5; are the arguments in "
        "order?"),
}  # fmt: skip


@pytest.mark.parametrize(("run", "error", "message"), CHANNELS.values(), ids=CHANNELS)
def test_sizes(run: Callable[[], Any], error: type[Exception], message: str) -> None:
    refused(run, error, message)


def call(name: str, **settings: Any) -> Callable[[tn.Tensor], Any]:
    """The function of that name on statistics or a shape of its own."""
    kept = tn.zeros(3), tn.ones(3)
    arguments = {"group_norm": (1,), "layer_norm": ([3, 2],), "rms_norm": ([3, 2],)}
    return lambda x: getattr(F, name)(x, *arguments.get(name, kept), **settings)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm", "batch_renorm",
                                  "ghost_batch_norm", "group_norm", "layer_norm", "rms_norm"])
@pytest.mark.parametrize("eps", [-1e-5, float("nan")])
def test_eps_of_functions(name: str, eps: float) -> None:
    refused(lambda: call(name, eps=eps)(tn.ones(4, 3, 2)), ValueError,
            ("batch_norm" if name == "ghost_batch_norm" else name)
            + f": expected eps >= 0, got {eps}; 1e-5 is the usual one")


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm", "batch_renorm",
                                  "ghost_batch_norm"])
@pytest.mark.parametrize("momentum", [-0.5, 1.5, 2, float("nan")])
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_momentum_of_functions(name: str, momentum: float, mode: bool) -> None:
    """Nothing has moved then."""
    mean, var = tn.zeros(3), tn.ones(3)
    with pytest.raises(ValueError, match=rf"expected momentum in \[0, 1\], got {momentum}"):
        getattr(F, name)(tn.ones(4, 3, 2), mean, var, None, None, mode, momentum)
    assert not array(mean).any()
    assert (array(var) == 1).all()


@pytest.mark.parametrize("name", REMEMBER[:5])
def test_a_momentum_that_was_set_later(name: str) -> None:
    layer = make(name)
    layer.momentum = 1.5
    shape = (4, 3, 2, 2, 2)[: layer.dims[-1]]
    with pytest.raises(ValueError, match=r"expected momentum in \[0, 1\], got 1.5"):
        layer(tn.randn(*shape))
