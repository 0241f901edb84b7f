"""Convolutions and poolings against PyTorch: values, and gradients of order 1 and 2."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conv_cases import CASES, Case
from torch_compare import compare

import tinygrad_norm as tn

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_value_and_two_derivatives(case: Case) -> None:
    compare(lambda m, *xs: case.function(m.nn.functional, *xs), case.inputs())


LAYERS: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    # arguments, settings, the shape of an input
    "Conv1d": ((4, 6, 3), {"padding": 1}, (2, 4, 7)),
    "Conv1d dilation": ((4, 6, 3, 1, "same", 2), {"groups": 2, "bias": False}, (2, 4, 7)),
    "Conv2d": ((3, 4, 3), {}, (2, 3, 5, 6)),
    "Conv2d settings": ((4, 6, (3, 2), 2, (1, 0), (1, 2), 2), {}, (2, 4, 6, 7)),
    "Conv2d reflect": ((3, 4, 3, 1, 2), {"padding_mode": "reflect"}, (2, 3, 5, 6)),
    "Conv2d replicate": ((3, 4, 3, 2, (1, 2)), {"padding_mode": "replicate"}, (2, 3, 5, 6)),
    "Conv2d circular": ((3, 4, (2, 3), 1, "same"), {"padding_mode": "circular"}, (3, 5, 6)),
    "MaxPool1d": ((3, 2, 1), {}, (2, 4, 7)),
    "MaxPool2d": ((2,), {}, (2, 3, 5, 6)),
    "MaxPool2d settings": ((3, 2, 1, 2, False, True), {}, (2, 3, 8, 9)),
    "AvgPool1d": ((3, 2, 1), {}, (2, 4, 7)),
    "AvgPool2d": ((2,), {}, (2, 3, 5, 6)),
    "AvgPool2d settings": ((3, 2, 1, True, False, 4), {}, (2, 3, 6, 7)),
    "AdaptiveAvgPool1d": ((3,), {}, (2, 4, 7)),
    "AdaptiveAvgPool2d": (((2, None),), {}, (2, 3, 5, 6)),
    "Unflatten": ((1, (2, -1)), {}, (3, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    arguments, settings, shape = LAYERS[name]
    kind = name.partition(" ")[0]
    made = {m: getattr(m.nn, kind)(*arguments, **settings).double() for m in (tn, torch)}
    assert repr(made[tn]) == repr(made[torch])
    state = made[torch].state_dict()
    assert list(made[tn].state_dict()) == list(state)
    made[tn].load_state_dict({k: v.numpy() for k, v in state.items()})
    compare(lambda m, x: made[m](x), [np.random.default_rng(0).standard_normal(shape)],
            lambda m: list(made[m].parameters()))


KINDS = ("Conv1d", "Conv2d", "LazyConv1d", "LazyConv2d", "MaxPool1d", "MaxPool2d", "AvgPool1d",
         "AvgPool2d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "Unflatten")


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_have_pytorchs_names_order_and_defaults(kind: str) -> None:
    def told(layer: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(layer).parameters.values()]

    assert told(getattr(tn.nn, kind)) == told(getattr(torch.nn, kind))


FUNCTIONS: dict[str, str] = {
    "conv1d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "conv2d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "avg_pool2d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, "
                  "count_include_pad=True, divisor_override=None",
    "avg_pool1d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, "
                  "count_include_pad=True",
}


@pytest.mark.parametrize("name", [*FUNCTIONS, "max_pool1d", "max_pool2d", "adaptive_avg_pool2d",
                                  "unfold", "fold", "pad"])
def test_functions_have_pytorchs_arguments(name: str) -> None:
    """Of those that are written in C PyTorch's docstring tells them."""
    ours = [p.name for p in inspect.signature(
        getattr(tn.nn.functional, name)).parameters.values()]
    theirs = getattr(torch.nn.functional, name)
    if name in FUNCTIONS:
        text = re.sub(r"\s+", " ", theirs.__doc__)
        assert f"{name}({FUNCTIONS[name]})" in text
        assert ours == [part.partition("=")[0] for part in FUNCTIONS[name].split(", ")]
    elif name.startswith("max"):
        names = re.search(rf"{name}\((.*?)\)", re.sub(r"\s+", " ", theirs.__doc__))
        assert names is not None
        assert ours == [part.partition("=")[0] for part in names[1].split(", ")]
    else:
        assert ours == list(inspect.signature(theirs).parameters)


SPECIAL = {
    "numbers": [[1.0, 3.0, 2.0, 2.0], [3.0, 1.0, 2.0, 2.0], [0.0, 3.0, 3.0, -1.0]],
    "NaN": [[1.0, np.nan, 2.0, 2.0], [3.0, 1.0, np.nan, 2.0], [np.nan, np.nan, np.inf, 0.0]],
    "-inf": [[-np.inf] * 4] * 3,
}


@pytest.mark.parametrize("values", SPECIAL)
@pytest.mark.parametrize("settings", [
    {"kernel_size": 2}, {"kernel_size": 2, "stride": 1}, {"kernel_size": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1}, {"kernel_size": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 1, "dilation": (1, 2)}])
def test_ties_nan_and_infinity(values: str, settings: dict[str, Any]) -> None:
    """The value, its index and where the gradient goes."""
    found = []
    for m in (tn, torch):
        x = m.tensor(np.array([SPECIAL[values]])).requires_grad_()
        y, index = m.nn.functional.max_pool2d(x, **settings, return_indices=True)
        (dx,) = m.autograd.grad(y.sum(), x)
        found.append([v.detach().numpy() for v in (y, index, dx)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(dtype: str) -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(dtype) for s in ((2, 40, 9, 9), (6, 40, 3, 3))]
    found = []
    for m in (tn, torch):
        F = m.nn.functional
        x, w = (m.from_numpy(a) for a in arrays)
        y = F.avg_pool2d(F.max_pool2d(F.conv2d(x, w), 3, 1), 2)
        found.append([v.numpy() for v in (y, F.adaptive_avg_pool2d(x, 4))])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * eps * np.abs(theirs).max())


BAD: dict[str, Callable[[Any], Any]] = {
    "dimensions": lambda m: m.nn.functional.conv2d(m.zeros(5, 5), m.zeros(4, 3, 3, 3)),
    "channels": lambda m: m.nn.functional.conv2d(m.zeros(2, 4, 5, 5), m.zeros(4, 3, 3, 3)),
    "bias": lambda m: m.nn.functional.conv2d(m.zeros(2, 3, 5, 5), m.zeros(4, 3, 3, 3), m.zeros(3)),
    "kernel": lambda m: m.nn.functional.conv2d(m.zeros(2, 3, 2, 2), m.zeros(4, 3, 3, 3)),
    "stride": lambda m: m.nn.Conv2d(3, 4, 3, stride=0)(m.zeros(2, 3, 5, 5)),
    "strides": lambda m: m.nn.functional.conv2d(m.zeros(1, 1, 5, 5), m.zeros(1, 1, 1, 1),
                                                stride=(1, 2, 3)),
    "stride's kind": lambda m: m.nn.functional.conv2d(m.zeros(1, 1, 5, 5), m.zeros(1, 1, 1, 1),
                                                      stride=1.5),
    "padding": lambda m: m.nn.functional.conv2d(m.zeros(1, 1, 5, 5), m.zeros(1, 1, 1, 1),
                                                padding=-1),
    "same": lambda m: m.nn.functional.conv2d(m.zeros(1, 1, 5, 5), m.zeros(1, 1, 1, 1), stride=2,
                                             padding="same"),
    "same, layer": lambda m: m.nn.Conv2d(3, 4, 3, padding="same", stride=2),
    "word, layer": lambda m: m.nn.Conv2d(3, 4, 3, padding="full"),
    "groups": lambda m: m.nn.Conv2d(3, 4, 3, groups=2),
    "no groups": lambda m: m.nn.Conv2d(3, 4, 3, groups=0),
    "padding_mode": lambda m: m.nn.Conv2d(3, 4, 3, padding_mode="mirror"),
    "dtypes": lambda m: m.nn.functional.conv2d(m.zeros(1, 1, 5, 5),
                                               m.zeros(1, 1, 1, 1, dtype=m.float64)),
    "pool": lambda m: m.nn.functional.max_pool2d(m.zeros(5, 5), 2),
    "pool's kernel": lambda m: m.nn.functional.avg_pool2d(m.zeros(1, 5, 5), 6),
    "pool's stride": lambda m: m.nn.functional.avg_pool2d(m.zeros(1, 5, 5), 2, 0),
    "pool's padding": lambda m: m.nn.functional.max_pool2d(m.zeros(1, 5, 5), 2, padding=2),
    "divisor": lambda m: m.nn.functional.avg_pool2d(m.zeros(1, 5, 5), 2, divisor_override=0),
    "no channels": lambda m: m.nn.functional.max_pool2d(m.zeros(1, 0, 5, 5), 2),
    "adaptive": lambda m: m.nn.functional.adaptive_avg_pool2d(m.zeros(1, 5, 5), -1),
    "pad": lambda m: m.nn.functional.pad(m.zeros(1, 5), (1, 1, 1)),
    "pad's mode": lambda m: m.nn.functional.pad(m.zeros(1, 5), (1, 1), "mirror"),
    "pad's width": lambda m: m.nn.functional.pad(m.zeros(1, 5), (5, 1), "reflect"),
    "pad's axes": lambda m: m.nn.functional.pad(m.zeros(1, 1, 1, 5), (1, 1), "reflect"),
    "fold": lambda m: m.nn.functional.fold(m.zeros(1, 4, 5), 3, 2),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_have_pytorchs_class(name: str) -> None:
    try:
        BAD[name](torch)
    except Exception as error:
        theirs = type(error)
    else:
        raise AssertionError("PyTorch takes it")
    with pytest.raises(theirs, match=": "):
        BAD[name](tn)
