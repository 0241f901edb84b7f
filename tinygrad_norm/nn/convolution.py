"""Convolutional layers: one weight for every place of a signal or an image."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..autograd.op import Primitive
from ..errors import DtypeError, ShapeError, not_a_tensor
from ..ops import convolution as ops
from ..ops.shape import reshape
from ..ops.windows import Pairs, windows
from ..tensors.creation import zeros
from ..tensors.tensor import Parameter, Tensor
from . import init
from .checks import LAST, another_size, as_count, does_not_divide
from .lazy import LazyModuleMixin
from .module import Module
from .padding import pad
from .sizes import Sizes, as_sizes, spatial

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:
    """Slide a weight (O, C/groups, k) over (N, C, L) or (C, L); see :class:`Conv1d`."""
    return _convolved("conv1d", ops.conv1d, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:
    """Slide a weight (O, C/groups, k, k) over (N, C, H, W) or (C, H, W); see :class:`Conv2d`."""
    return _convolved("conv2d", ops.conv2d, input, weight, bias, stride, padding, dilation, groups)


def _convolved(
    who: str, op: Primitive, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any,
    padding: Any, dilation: Any, groups: int,
) -> Tensor:
    """Check the settings, then the shapes, and compute; one image alone is a batch of one."""
    dims = int(who[4])
    for name, value in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and (name != "bias" or value is not None):
            raise not_a_tensor(who, value, name)
    if input.array.dtype.kind == "b":
        raise DtypeError(f"{who}: expected numbers, got bool; call .float()")
    stride = as_sizes(who, "stride", stride, dims, 1)
    dilation = as_sizes(who, "dilation", dilation, dims, 1)
    groups = as_count(who, "groups", groups, 1)
    shape, kernel = weight.array.shape, weight.array.shape[2:]
    if len(kernel) != dims or 0 in kernel or not shape[0]:
        raise ShapeError(f"{who}: expected weight (O, C/groups, "
                         f"{'k, k' if dims == 2 else 'k'}) with O and k >= 1, got {shape}")
    if shape[0] % groups:
        raise does_not_divide(who, "groups", groups, "the weight's first axis", shape[0])
    if bias is not None and bias.array.shape != shape[:1]:
        raise ShapeError(f"{who}: expected bias {shape[:1]} for weight {shape}, got "
                         f"{bias.array.shape}")
    pairs = _pairs(who, padding, kernel, stride, dilation)
    _check_input(who, input, shape[1] * groups, dims)
    alone = input.array.ndim == dims + 1
    x = reshape(input, shape=(1, *input.array.shape)) if alone else input
    w = windows(x.array.shape[2:], kernel, stride, pairs, dilation)
    if min(w.out) < 1:
        raise ShapeError(
            f"{who}: the kernel {kernel} with dilation {dilation} does not fit into input "
            f"{input.array.shape} with padding {padding!r}; take a smaller kernel or more padding")
    y = op(x, weight, bias, slide=ops.Slide(stride, pairs, dilation, groups))
    return reshape(y, shape=y.array.shape[1:]) if alone else y


def _pairs(who: str, padding: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Pairs:
    """The padding before and behind each axis; an odd one of "same" is behind."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in as_sizes(who, "padding", padding, len(kernel), 0))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise ShapeError(f"{who}: expected padding to be 'same', 'valid' or ints, got {padding!r}")
    if set(stride) != {1}:
        raise ShapeError(f"{who}: padding='same' goes with stride 1 only, got stride {stride}; "
                         "give the padding as ints")
    full = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((n // 2, n - n // 2) for n in full)


def _check_input(who: str, x: Any, channels: int, dims: int, name: str = "") -> None:
    """(N, C, *spatial) or (C, *spatial); ``name`` is the layer's setting that says C."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    shape = x.array.shape
    fits = len(shape) in (dims + 1, dims + 2)
    if fits and shape[-dims - 1] == channels:
        return
    cure = ""
    if fits:
        cure = LAST if shape[-1] == channels else name and another_size(name, shape[-dims - 1])
    raise ShapeError(f"{who}: expected input {spatial(dims, str(channels))}, got {shape}{cure}")


class _Conv(Module):
    """What the convolutional layers share."""

    dims: ClassVar[int]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:
        who, dims = type(self).__name__, self.dims
        self.in_channels = as_count(who, "in_channels", in_channels)
        self.out_channels = as_count(who, "out_channels", out_channels, 1)
        self.kernel_size = as_sizes(who, "kernel_size", kernel_size, dims, 1)
        self.stride = as_sizes(who, "stride", stride, dims, 1)
        self.dilation = as_sizes(who, "dilation", dilation, dims, 1)
        self.padding = (padding if isinstance(padding, str) else
                        as_sizes(who, "padding", padding, dims, 0))
        _pairs(who, padding, self.kernel_size, self.stride, self.dilation)
        self.groups = as_count(who, "groups", groups, 1)
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if count % groups:
                raise does_not_divide(who, "groups", groups, name, count)
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"{who}: expected padding_mode to be one of "
                             f"{', '.join(PADDING_MODES)}, got {padding_mode!r}")
        self.padding_mode = padding_mode
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(zeros(*shape, device=device, dtype=dtype))
        self.bias = Parameter(zeros(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew: uniform on ±1/√(fan in), as PyTorch's."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan = init.fans(self.weight)[0]
            bound = 1 / math.sqrt(fan) if fan else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        who = type(self).__name__
        _check_input(who, x, self.in_channels, self.dims, "in_channels")
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            pairs = _pairs(who, padding, self.kernel_size, self.stride, self.dilation)
            x = pad(x, tuple(n for pair in pairs[::-1] for n in pair), mode=self.padding_mode)
            padding = 0
        convolve = (conv1d, conv2d)[self.dims - 1]
        return convolve(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}")
        for name, usual in (("padding", (0,) * self.dims), ("dilation", (1,) * self.dims),
                            ("groups", 1), ("padding_mode", "zeros")):
            if name == "padding_mode" and self.bias is None:
                text += ", bias=False"
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


class Conv1d(_Conv):
    """Slide a weight over a signal: at each place y is a linear map of the window there.

    y[n, o, i] = b[o] + Σ w[o, c, u] x[n, c, i s + u d - p]; see :class:`Conv2d`.

    Shape:
        x: (N, C, L) or (C, L); y: (N, O, L') or (O, L')

    >>> import tinygrad_norm as tn
    >>> tn.nn.Conv1d(3, 8, 3, padding=1)(tn.zeros(4, 3, 10)).shape
    (4, 8, 10)
    """

    dims = 1


class Conv2d(_Conv):
    """Slide a weight over an image: at each place y is a linear map of the window there.

    y[n, o, i, j] = b[o] + Σ w[o, c, u, v] x[n, c, i s + u d - p, j s + v d - p], with s the stride,
    d the dilation, p the padding. With ``groups`` g the channels are split: each g-th of y sees the
    g-th of x alone. ``padding="same"`` keeps H and W; the border is of ``padding_mode``. The same
    in training and eval.

    Shape:
        x: (N, C, H, W) or (C, H, W); y: (N, O, H', W') or (O, H', W'),
        H' = (H + 2p - d (k - 1) - 1) // s + 1
        weight: (O, C/groups, k, k); bias: (O,)

    Source: LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, §II.

    >>> import tinygrad_norm as tn
    >>> tn.nn.Conv2d(3, 8, 3, padding=1)(tn.zeros(4, 3, 6, 6)).shape
    (4, 8, 6, 6)
    """

    dims = 2


class _LazyConv(LazyModuleMixin, _Conv):
    """What the lazy ones share: in_channels comes from the first input, or from a state dict."""

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:
        super().__init__(0, out_channels, kernel_size, stride, padding, dilation, groups, bias,
                         padding_mode, device, dtype)
        self.wait()

    def size_of(self, input: Any) -> int:
        who = type(self).__name__
        if not isinstance(input, Tensor):
            raise not_a_tensor(who, input)
        shape = input.array.shape
        if len(shape) not in (self.dims + 1, self.dims + 2):
            raise ShapeError(f"{who}: expected input {spatial(self.dims)}, got {shape}; its "
                             "channel axis tells in_channels")
        channels = int(shape[-self.dims - 1])
        if channels % self.groups:
            raise does_not_divide(who, "groups", self.groups, "the channels of the input", channels)
        return channels

    def size_in(self, name: str, shape: tuple[int, ...]) -> int | None:
        fits = name == "weight" and len(shape) == self.dims + 2
        return shape[1] * self.groups if fits else None

    def resize(self, size: int) -> dict[str, tuple[int, ...]]:
        self.in_channels = size
        return {"weight": (self.out_channels, size // self.groups, *self.kernel_size),
                "bias": (self.out_channels,)}


class LazyConv1d(_LazyConv, Conv1d):
    """:class:`Conv1d` with in_channels from the first input, after which it is a ``Conv1d``."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """:class:`Conv2d` with in_channels from the first input, after which it is a ``Conv2d``.

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.LazyConv2d(8, 3)
    >>> layer(tn.zeros(4, 3, 6, 6)).shape
    (4, 8, 4, 4)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    cls_to_become = Conv2d
