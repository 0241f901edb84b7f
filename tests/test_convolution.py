"""Convolutional layers: shapes, initial values, lazy forms, errors, drawings, certificates."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array, close, tensor

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.errors import ShapeError, UninitializedError
from tinygrad_norm.nn import functional as F
from tinygrad_norm.ops import convolution

RANDOM = np.random.default_rng(5)


def small_net(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, **options), nn.BatchNorm2d(4, **options), nn.ReLU(),
        nn.MaxPool2d(2, 1, 1), nn.Conv2d(4, 4, 2, padding="same", groups=2, **options),
        nn.AvgPool2d(2, 1), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(8, 3, **options))


# -- the layer ----------------------------------------------------------------------------------


def test_a_small_network_trains(device: str) -> None:
    net = small_net(device=device)
    optimizer = tn.optim.SGD(net.parameters(), lr=0.1)
    x = tensor(RANDOM.standard_normal((16, 2, 6, 6)).astype("f4"), device)
    labels = tn.tensor(array(x).sum((1, 2, 3)) > 0, device=device).long()
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert net(x).device.type == device


@pytest.mark.parametrize("dims", [1, 2])
def test_initial_values(dims: int) -> None:
    kind = (nn.Conv1d, nn.Conv2d)[dims - 1]
    layer = kind(8, 40, 3, groups=2)
    bound = 1 / np.sqrt(4 * 3**dims)
    for values in (array(layer.weight), array(layer.bias)):
        assert np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.3)
    assert layer.weight.shape == (40, 4, *(3,) * dims)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert list(kind(8, 40, 3, bias=False).state_dict()) == ["weight"]
    assert kind(0, 2, 3)(tn.zeros(1, 0, *(5,) * dims)).shape == (1, 2, *(3,) * dims)


@pytest.mark.parametrize("padding", [1, "same", (2, 0)])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_pad_first(mode: str, padding: Any) -> None:
    layer = nn.Conv2d(2, 3, (3, 2), padding=padding, padding_mode=mode, dtype=tn.float64)
    x = tensor(RANDOM.standard_normal((2, 2, 4, 5)))
    # the last axis first; of an odd number the larger half is behind
    widths = {1: (1, 1, 1, 1), "same": (0, 1, 1, 1), (2, 0): (0, 0, 2, 2)}[padding]
    expected = F.conv2d(F.pad(x, widths, mode=mode), layer.weight, layer.bias)
    close(array(layer(x)), array(expected))


def test_blocks_of_samples_give_what_all_at_once_do(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [RANDOM.standard_normal(s) for s in ((5, 2, 4, 4), (4, 1, 3, 3), (4,))]
    runs = []
    for block in (1, 2000, 1 << 30):
        monkeypatch.setattr(convolution, "BLOCK", block)
        xs = [tensor(a, grad=True) for a in arrays]
        y = F.conv2d(*xs, padding=1, groups=2)
        runs.append([y, *tn.autograd.grad(y.square().sum(), xs)])
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            close(array(a), array(b), 1e-14)


def test_float16_adds_in_float32() -> None:
    x = tn.full((1, 1000, 3, 3), 0.1, dtype=tn.float16)
    y = F.conv2d(x, tn.ones(1, 1000, 3, 3, dtype=tn.float16))
    assert y.dtype == tn.float16
    assert y.item() == np.float16(9000 * np.float64(np.float16(0.1)))


def test_nan_stays_in_the_windows_that_see_it() -> None:
    x = np.zeros((2, 1, 5, 6))
    x[0, 0, 1, 2] = np.nan
    y = F.conv2d(tensor(x), tensor(np.ones((1, 1, 2, 2))))
    assert np.argwhere(np.isnan(array(y))).tolist() == [
        [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 1, 1], [0, 0, 1, 2]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("padding", "groups"), [(0, 1), (1, 1), (1, 2)])
def test_nan_reaches_the_gradients_that_see_it_alone(
        padding: int, groups: int, value: float, device: str) -> None:
    """Where a gradient of ones counts the bad values that are seen, and nowhere else."""
    shapes = (2, 2, 5, 6), (2, 2 // groups, 3, 2)
    for at in ((0, 0, 0, 0), (0, 0, 2, 1), (1, 0, 2, 1), (0, 0, -1, -1)):
        for bad in (0, 1):
            found = []
            for clean, dirty in ((RANDOM.standard_normal, value), (np.zeros, 1.0)):
                arrays = [clean(s) if bad == i else np.ones(s) for i, s in enumerate(shapes)]
                arrays[bad][at] = dirty
                xs = [tensor(a, device, grad=True) for a in arrays]
                y = F.conv2d(*xs, padding=padding, groups=groups)
                dy = tn.ones_like(y)
                found.append(array(tn.autograd.grad(y, xs, dy)[1 - bad]))
            np.testing.assert_array_equal(~np.isfinite(found[0]), found[1] != 0)


def test_a_border_wider_than_the_array() -> None:
    x = tensor(RANDOM.standard_normal((1, 1, 1)), grad=True)
    weight = tensor(RANDOM.standard_normal((1, 1, 11)), grad=True)
    y = F.conv1d(x, weight, padding=5)
    close(array(y), array(x * weight[..., 5:6]))
    dx, dw = tn.autograd.grad(y.sum(), [x, weight])
    close(array(dx), array(weight[..., 5:6]))
    close(array(dw), np.eye(11)[5] * array(x))


def test_integers_stay_integers() -> None:
    y = F.conv2d(tn.arange(9).reshape(1, 1, 3, 3), tn.ones(1, 1, 2, 2, dtype=tn.int64))
    assert y.dtype == tn.int64
    assert y.tolist() == [[[[8, 12], [20, 24]]]]


def test_a_result_is_a_view_away_from_a_matrix() -> None:
    y = nn.Conv2d(2, 3, 3)(tn.zeros(4, 2, 5, 5))
    assert y.view(4, -1).shape == (4, 27)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "weight_standardization"])
def test_a_parametrized_weight(name: str) -> None:
    layer = nn.Conv2d(2, 3, 3, dtype=tn.float64)
    getattr(nn.utils.parametrizations, name)(layer)
    layer(tensor(RANDOM.standard_normal((2, 2, 4, 4)))).square().sum().backward()
    weight = array(layer.weight).reshape(3, -1)
    if name == "weight_standardization":
        close(weight.mean(1), np.zeros(3))
    if name == "spectral_norm":
        assert np.linalg.norm(weight, 2) == pytest.approx(1, abs=0.3)
    for key, value in layer.named_parameters():
        assert np.abs(array(value.grad)).max() > 0, key


# -- lazy forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2])
def test_a_lazy_layer_takes_its_channels_from_the_first_input(dims: int, device: str) -> None:
    lazy_kind, kind = ((nn.LazyConv1d, nn.Conv1d), (nn.LazyConv2d, nn.Conv2d))[dims - 1]
    settings = {"padding": 1, "groups": 2, "device": device, "dtype": tn.float64}
    lazy = lazy_kind(4, 3, **settings)
    weight = lazy.weight
    assert repr(lazy).startswith(f"Lazy{kind.__name__}(0, 4, ")
    with pytest.raises(UninitializedError):
        lazy.weight.sum()
    x = tensor(RANDOM.standard_normal((2, 6, *(5,) * dims)), device)
    tn.manual_seed(1)
    y = lazy(x)
    tn.manual_seed(1)
    plain = kind(6, 4, 3, **settings)
    assert type(lazy) is kind
    assert lazy.weight is weight
    assert repr(lazy) == repr(plain)
    close(array(y), array(plain(x)))
    other = lazy_kind(4, 3, **settings)
    other.load_state_dict(plain.state_dict())
    assert type(other) is kind
    close(array(other(x)), array(y))


def test_errors_of_lazy_layers() -> None:
    lazy = nn.LazyConv2d(4, 3, groups=2)
    with pytest.raises(ShapeError, match=re.escape(
            "LazyConv2d: expected input (N, C, H, W) or (C, H, W), got (5, 5); its channel axis "
            "tells in_channels")):
        lazy(tn.ones(5, 5))
    with pytest.raises(ShapeError, match="LazyConv2d: expected groups to divide the channels of "
                                         "the input, got groups=2 for the channels of the input=3"):
        lazy(tn.ones(1, 3, 5, 5))
    with pytest.raises(TypeError, match="LazyConv2d: expected input to be a Tensor, got list"):
        lazy([1])
    with pytest.raises(ShapeError, match="does not fit"):
        lazy(tn.ones(1, 2, 2, 2))
    assert lazy.has_uninitialized_params()


# -- seen from outside -------------------------------------------------------------------------


def test_certified_with_a_batch_norm() -> None:
    x = tn.randn(3, 2, 6, 5)
    for net in (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)), small_net()):
        result = tn.certify(net, x, pytorch=False)
        assert result.passed, result
        assert len(result.rows) == 2
    assert tn.certify(nn.Conv2d(2, 2, 2, padding=1, padding_mode="reflect"), x,
                      pytorch=False).passed
    assert tn.certify(nn.Conv1d(3, 2, 2, stride=2), tn.randn(2, 3, 5), pytorch=False).passed
    assert tn.certify(lambda v: F.fold(F.unfold(v, 2).square(), (6, 5), 2), x.double(),
                      pytorch=False).passed


def test_drawn_as_one_operation() -> None:
    net = small_net()
    dot = tn.viz.graph(net(tn.randn(3, 2, 6, 6))).dot
    for name, count in (("conv2d", 2), ("max_pool2d", 1), ("avg_pool2d", 1),
                        ("adaptive_avg_pool2d", 1)):
        assert dot.count(f"<b>{name}</b>") == count
    assert "stride=2, padding=1" in dot
    assert "padding=((0, 1), (0, 1))" in dot
    assert "kernel_size=2, stride=1" in dot
    assert "slide" not in dot
    assert "window" not in dot
    table = str(tn.viz.summary(net, (3, 2, 6, 6)))
    assert re.search(r"0 +Conv2d +\(3, 4, 3, 3\) +76", table)
    assert re.search(r"3 +MaxPool2d +\(3, 4, 4, 4\)\n", table)


# -- errors ----------------------------------------------------------------------------------------

X = tn.zeros(2, 3, 5, 5)
W = tn.zeros(4, 3, 3, 3)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no tensor": (lambda: F.conv2d([1], W), TypeError,
                  "conv2d: expected input to be a Tensor, got list; wrap it"),
    "no weight": (lambda: F.conv2d(X, [1]), TypeError, "conv2d: expected weight to be a Tensor"),
    "no bias": (lambda: F.conv2d(X, W, 1), TypeError, "conv2d: expected bias to be a Tensor"),
    "dimensions": (lambda: F.conv2d(X[0, 0], W), ShapeError,
                   "conv2d: expected input (N, 3, H, W) or (3, H, W), got (5, 5)"),
    "channels": (lambda: F.conv2d(tn.zeros(2, 4, 5, 5), W), ShapeError,
                 "conv2d: expected input (N, 3, H, W) or (3, H, W), got (2, 4, 5, 5)"),
    "channels of 1d": (lambda: F.conv1d(tn.zeros(2, 4, 5), W[0]), ShapeError,
                       "conv1d: expected input (N, 3, L) or (3, L), got (2, 4, 5)"),
    "channels last": (lambda: nn.Conv2d(3, 4, 3)(tn.zeros(2, 5, 5, 3)), ShapeError,
                      "Conv2d: expected input (N, 3, H, W) or (3, H, W), got (2, 5, 5, 3); is the "
                      "channel axis last? move it with permute()"),
    "layer's channels": (lambda: nn.Conv2d(3, 4, 3)(tn.zeros(2, 4, 5, 5)), ShapeError,
                         "Conv2d: expected input (N, 3, H, W) or (3, H, W), got (2, 4, 5, 5); make "
                         "the layer with in_channels=4, or check the layer before it"),
    "layer's input": (lambda: nn.Conv2d(3, 4, 3)(None), TypeError,
                      "Conv2d: expected input to be a Tensor, got NoneType"),
    "weight": (lambda: F.conv2d(X, W[0]), ShapeError,
               "conv2d: expected weight (O, C/groups, k, k) with O and k >= 1, got (3, 3, 3)"),
    "empty kernel": (lambda: F.conv1d(X[0], tn.zeros(2, 5, 0)), ShapeError,
                     "conv1d: expected weight (O, C/groups, k) with O and k >= 1, got (2, 5, 0)"),
    "bias": (lambda: F.conv2d(X, W, tn.zeros(3)), ShapeError,
             "conv2d: expected bias (4,) for weight (4, 3, 3, 3), got (3,)"),
    "groups": (lambda: F.conv2d(X, W, groups=3), ShapeError,
               "conv2d: expected groups to divide the weight's first axis, got groups=3 for the "
               "weight's first axis=4; take one that divides 4: 1, 2, 4"),
    "no groups": (lambda: F.conv2d(X, W, groups=0), ShapeError,
                  "conv2d: expected groups >= 1, got 0"),
    "kernel": (lambda: F.conv2d(X, W, dilation=3), ShapeError,
               "conv2d: the kernel (3, 3) with dilation (3, 3) does not fit into input "
               "(2, 3, 5, 5) with padding 0; take a smaller kernel or more padding"),
    "stride": (lambda: F.conv2d(X, W, stride=0), ShapeError,
               "conv2d: expected stride >= 1, got 0"),
    "strides": (lambda: F.conv2d(X, W, stride=(1, 2, 3)), ShapeError,
                "conv2d: expected stride to be an int or 2 ints, one for each spatial axis, got "
                "(1, 2, 3)"),
    "stride's kind": (lambda: F.conv2d(X, W, stride=1.5), TypeError,
                      "conv2d: expected stride to be an int or 2 ints, got 1.5; are the arguments "
                      "in order?"),
    "a bool": (lambda: nn.Conv2d(3, 4, True), TypeError,
               "Conv2d: expected kernel_size to be an int or 2 ints, got True"),
    "padding": (lambda: F.conv2d(X, W, padding=(1, -1)), ShapeError,
                "conv2d: expected padding >= 0, got (1, -1)"),
    "padding's word": (lambda: F.conv2d(X, W, padding="full"), ShapeError,
                       "conv2d: expected padding to be 'same', 'valid' or ints, got 'full'"),
    "same and stride": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), ShapeError,
                        "Conv2d: padding='same' goes with stride 1 only, got stride (2, 2); give "
                        "the padding as ints"),
    "dtypes": (lambda: F.conv2d(X, W.double()), TypeError,
               "conv2d: expected tensors of the same dtype, got float32, float64; bring them"),
    "in_channels": (lambda: nn.Conv2d(3, 4, 3, groups=2), ShapeError,
                    "Conv2d: expected groups to divide in_channels, got groups=2 for "
                    "in_channels=3; take one that divides 3: 1, 3"),
    "out_channels": (lambda: nn.Conv2d(4, 3, 3, groups=2), ShapeError,
                     "Conv2d: expected groups to divide out_channels, got groups=2"),
    "no out_channels": (lambda: nn.Conv1d(4, 0, 3), ShapeError,
                        "Conv1d: expected out_channels >= 1, got 0"),
    "padding_mode": (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError,
                     "Conv2d: expected padding_mode to be one of zeros, reflect, replicate, "
                     "circular, got 'mirror'"),
    "wide reflection": (lambda: nn.Conv2d(3, 4, 3, padding=5, padding_mode="reflect")(X),
                        ShapeError, "pad: expected widths <= 4 for mode 'reflect' of an axis of 5, "
                        "got (5, 5); pad less, or with mode='constant' or 'replicate'"),
    "pad: no tensor": (lambda: F.pad(1, (1, 1)), TypeError, "pad: expected input to be a Tensor"),
    "pad: mode": (lambda: F.pad(X, (1, 1), "mirror"), NotImplementedError,
                  "pad: expected mode to be one of constant, reflect, replicate, circular, got "
                  "'mirror'"),
    "bools": (lambda: F.conv2d(X > 0, W), TypeError,
              "conv2d: expected numbers, got bool; call .float()"),
    "pad: one width": (lambda: F.pad(X, 1), TypeError,
                       "pad: expected a tuple of widths, as (left, right), got 1"),
    "pad: NaN as int": (lambda: F.pad(X.long(), (1, 1), value=float("nan")), ShapeError,
                        "pad: expected a finite value for int64, got nan; call .float()"),
    "pad: odd": (lambda: F.pad(X, (1, 1, 1)), ShapeError,
                 "pad: expected two widths, before and behind, for at most 4 axes, got 3 numbers"),
    "pad: many": (lambda: F.pad(X, (1,) * 10), ShapeError, "for at most 4 axes, got 10 numbers"),
    "pad: kind": (lambda: F.pad(X, (1, 0.5)), TypeError,
                  "pad: expected each width to be an int, got 0.5"),
    "pad: value": (lambda: F.pad(X, (1, 1, 1, 1), "reflect", 1.0), ShapeError,
                   "pad: mode 'reflect' takes its values from the input, got value=1.0"),
    "pad: axes": (lambda: F.pad(X, (1, 1), "reflect"), NotImplementedError,
                  "pad: expected for mode 'reflect' two widths for each of 1 to 3 axes behind "
                  "(N, C) or (C,), got 2 widths for input (2, 3, 5, 5)"),
    "pad: negative": (lambda: F.pad(X, (1, -1, 1, 1), "circular"), ShapeError,
                      "pad: expected widths >= 0 for mode 'circular', got (1, -1); take values "
                      "away with an index or with mode='constant'"),
    "pad: too little": (lambda: F.pad(X, (-3, -3)), ShapeError,
                        "pad: cannot take away more than there is"),
    "pad: nothing": (lambda: F.pad(tn.zeros(2, 0), (1, 1), "replicate"), ShapeError,
                     "pad: mode 'replicate' needs values to take, got an axis of 0"),
    "unfold: no tensor": (lambda: F.unfold(1, 2), TypeError,
                          "unfold: expected input to be a Tensor"),
    "unfold: input": (lambda: F.unfold(X[0, 0], 2), ShapeError, "unfold: expected input "
                      "(N, C, H, W) or (C, H, W) with no empty axis but N, got (5, 5)"),
    "unfold: windows": (lambda: F.unfold(X, 6), ShapeError,
                        "unfold: no window (6, 6) fits into an image (5, 5); take a smaller"),
    "fold: no tensor": (lambda: F.fold(1, 2, 2), TypeError, "fold: expected input to be a Tensor"),
    "fold: input": (lambda: F.fold(tn.zeros(1, 4, 5), 3, 2), ShapeError,
                    "fold: expected input (N, C · 4, 4) or (C · 4, 4) for output_size (3, 3) and "
                    "these windows, got (1, 4, 5)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_texts_of_layers() -> None:
    assert repr(nn.Conv2d(4, 4, (3, 2), padding="same", dilation=2, groups=2, bias=False,
                          padding_mode="circular")) == (
        "Conv2d(4, 4, kernel_size=(3, 2), stride=(1, 1), padding=same, dilation=(2, 2), groups=2, "
        "bias=False, padding_mode=circular)")
    assert repr(nn.Conv1d(4, 4, 3)) == "Conv1d(4, 4, kernel_size=(3,), stride=(1,))"


def test_unflatten() -> None:
    x = tn.arange(24.0).reshape(2, 12)
    assert nn.Unflatten(1, (3, -1))(x).tolist() == x.reshape(2, 3, 4).tolist()
    assert nn.Unflatten(-2, (2, 1))(x).shape == (2, 1, 12)
    assert repr(nn.Unflatten(1, (3, 4))) == "Unflatten(dim=1, unflattened_size=(3, 4))"
    for sizes in ((5, 2), (5, -1), (-1, -1), (), (-2, -6), (0, -1)):
        with pytest.raises(ShapeError, match="Unflatten: expected dimension 1 of size"):
            nn.Unflatten(1, sizes)(x)
    with pytest.raises(TypeError, match="Unflatten: expected unflattened_size to be a tuple"):
        nn.Unflatten(1, 3)
    with pytest.raises(TypeError, match="Unflatten: expected input to be a Tensor, got int"):
        nn.Unflatten(1, (3, 4))(1)
    with pytest.raises(IndexError, match="Unflatten: Dimension out of range"):
        nn.Unflatten(2, (3, 4))(x)
