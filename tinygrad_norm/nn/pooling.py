"""Pooling: one value for each window of a signal or an image."""

from __future__ import annotations

from typing import Any, ClassVar

from ..autograd.op import Primitive
from ..errors import DtypeError, ShapeError, not_a_tensor
from ..ops import pooling as ops
from ..tensors.tensor import Tensor
from .checks import as_int
from .module import Module
from .sizes import Size, as_sizes, spatial

Bins = int | None | tuple[int | None, ...] | list[int | None]
"""How many means along all axes, or along each; None for as many as there are values."""


def max_pool1d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:
    """The largest value of each window of (N, C, L) or (C, L); see :class:`MaxPool2d`."""
    return _max_pool("max_pool1d", ops.max_pool1d, input, kernel_size, stride, padding, dilation,
                     ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:
    """The largest value of each window of (N, C, H, W) or (C, H, W); see :class:`MaxPool2d`."""
    return _max_pool("max_pool2d", ops.max_pool2d, input, kernel_size, stride, padding, dilation,
                     ceil_mode, return_indices)


def _max_pool(who: str, op: Primitive, input: Tensor, kernel_size: Size, stride: Size | None,
              padding: Size, dilation: Size, ceil_mode: bool, return_indices: bool) -> Any:
    window = _window(who, input, kernel_size, stride, padding, dilation, ceil_mode)
    if input.array.dtype.kind == "b":
        raise DtypeError(f"{who}: expected numbers, got bool; call .float()")
    y, place = op(input, window=window)
    if not return_indices:
        return y
    size = input.array.shape[-len(window.kernel):]
    return y, ops.max_pool_indices(place.detach(), size=size, window=window)


def avg_pool1d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L); see :class:`AvgPool2d`."""
    return _avg_pool("avg_pool1d", ops.avg_pool1d, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, None)


def avg_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N, C, H, W) or (C, H, W); see :class:`AvgPool2d`."""
    return _avg_pool("avg_pool2d", ops.avg_pool2d, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, divisor_override)


def _avg_pool(who: str, op: Primitive, input: Tensor, kernel_size: Size, stride: Size | None,
              padding: Size, ceil_mode: bool, count_include_pad: bool,
              divisor_override: int | None) -> Tensor:
    window = _window(who, input, kernel_size, stride, padding, 1, ceil_mode)
    _check_floating(who, input)
    if divisor_override is not None and not as_int(who, "divisor_override", divisor_override):
        raise ShapeError(f"{who}: expected divisor_override to be None or not 0, got 0")
    share = ops.Share(bool(count_include_pad), divisor_override)
    result: Tensor = op(input, window=window, share=share)
    return result


def adaptive_avg_pool1d(input: Tensor, output_size: Bins) -> Tensor:
    """The means of so many bins of (N, C, L) or (C, L); see :class:`AdaptiveAvgPool2d`."""
    return _adaptive("adaptive_avg_pool1d", ops.adaptive_avg_pool1d, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Bins) -> Tensor:
    """The means of so many bins of (N, C, H, W) or (C, H, W); see :class:`AdaptiveAvgPool2d`."""
    return _adaptive("adaptive_avg_pool2d", ops.adaptive_avg_pool2d, input, output_size)


def _adaptive(who: str, op: Primitive, input: Tensor, output_size: Bins) -> Tensor:
    dims = _check_input(who, input)
    _check_floating(who, input)
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * dims
    if len(given) != dims:
        raise ShapeError(f"{who}: expected output_size to be an int or {dims} ints or Nones, got "
                         f"{output_size!r}")
    out = tuple(n if wanted is None else wanted
                for wanted, n in zip(given, input.array.shape[-dims:], strict=True))
    result: Tensor = op(input, out=as_sizes(who, "output_size", out, dims, 0))
    return result


# -- what is checked -----------------------------------------------------------------------------


def _check_input(who: str, x: Any) -> int:
    """How many spatial axes; only the batch may be empty."""
    dims = int(who[-2])
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    shape = x.array.shape
    if len(shape) not in (dims + 1, dims + 2) or 0 in shape[-dims - 1:]:
        raise ShapeError(f"{who}: expected input {spatial(dims)} with no empty axis but N, got "
                         f"{shape}")
    return dims


def _check_floating(who: str, x: Tensor) -> None:
    if x.array.dtype.kind != "f":
        raise DtypeError(f"{who}: expected a floating point input, got {x.array.dtype}; call "
                         ".float()")


def _window(who: str, x: Any, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size,
            ceil_mode: bool) -> ops.Window:
    """The settings checked, and that there is a window at all."""
    dims = _check_input(who, x)
    kernel = as_sizes(who, "kernel_size", kernel_size, dims, 1)
    own = stride is None or stride in ((), [])
    strides = kernel if own else as_sizes(who, "stride", stride, dims, 1)
    borders = as_sizes(who, "padding", padding, dims, 0)
    steps = as_sizes(who, "dilation", dilation, dims, 1)
    if any(p > (d * (k - 1) + 1) // 2 for p, k, d in zip(borders, kernel, steps, strict=True)):
        raise ShapeError(f"{who}: expected padding to be at most half of the kernel, got padding "
                         f"{padding!r} for kernel_size {kernel_size!r} and dilation {dilation!r}; "
                         "use pad() for a wider border")
    window = ops.Window(kernel, strides, tuple((p, p) for p in borders), steps, bool(ceil_mode))
    if min(window.over(x.array.shape[-dims:]).out) < 1:
        raise ShapeError(f"{who}: no window {kernel} with dilation {steps} fits into input "
                         f"{x.array.shape} with padding {padding!r}; take a smaller kernel")
    return window


# -- layers ----------------------------------------------------------------------------------------


class _MaxPool(Module):
    dims: ClassVar[int]

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Any:
        pool = (max_pool1d, max_pool2d)[self.dims - 1]
        return pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                    self.return_indices)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """The largest value of each window of a signal; see :class:`MaxPool2d`.

    Shape:
        x: (N, C, L) or (C, L); y: (N, C, L') or (C, L')

    >>> import tinygrad_norm as tn
    >>> tn.nn.MaxPool1d(2)(tn.tensor([[1.0, 3.0, 2.0, 0.0]])).tolist()
    [[3.0, 2.0]]
    """

    dims = 1


class MaxPool2d(_MaxPool):
    """The largest value of each window of an image, in each channel alone.

    The gradient goes to the first of equal ones. The border counts as -inf; NaN is larger than
    all. With ``ceil_mode`` there are windows too that only begin in the image. With
    ``return_indices`` the places in the image, made flat, are returned too. The same in training
    and eval.

    Shape:
        x: (N, C, H, W) or (C, H, W); y: (N, C, H', W') or (C, H', W'),
        H' = (H + 2p - d (k - 1) - 1) // s + 1

    >>> import tinygrad_norm as tn
    >>> tn.nn.MaxPool2d(2)(tn.zeros(4, 3, 6, 7)).shape
    (4, 3, 3, 3)
    """

    dims = 2


class _AvgPool(Module):
    """What the layers share."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a signal; see :class:`AvgPool2d`.

    Shape:
        x: (N, C, L) or (C, L); y: (N, C, L') or (C, L')

    >>> import tinygrad_norm as tn
    >>> tn.nn.AvgPool1d(2)(tn.tensor([[1.0, 3.0, 2.0, 0.0]])).tolist()
    [[2.0, 1.0]]
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):  # shown as tuples
            value = getattr(self, name)
            setattr(self, name, as_sizes("AvgPool1d", name, value, 1, least))

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                          self.count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window of an image, in each channel alone.

    The border counts as 0 where ``count_include_pad``, else not at all; ``divisor_override``
    divides the sum in the place of the count. The same in training and eval.

    Shape:
        x: (N, C, H, W) or (C, H, W); y: (N, C, H', W') or (C, H', W'), as of :class:`MaxPool2d`

    >>> import tinygrad_norm as tn
    >>> tn.nn.AvgPool2d(2)(tn.zeros(4, 3, 6, 7)).shape
    (4, 3, 3, 3)
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                          self.count_include_pad, self.divisor_override)


class AdaptiveAvgPool1d(Module):
    """The means of ``output_size`` bins of a signal; see :class:`AdaptiveAvgPool2d`.

    Shape:
        x: (N, C, L) or (C, L); y: (N, C, output_size) or (C, output_size)

    >>> import tinygrad_norm as tn
    >>> tn.nn.AdaptiveAvgPool1d(1)(tn.tensor([[1.0, 3.0, 2.0]])).tolist()
    [[2.0]]
    """

    def __init__(self, output_size: Bins) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool1d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(Module):
    """An image of any size to one of ``output_size``: the means of bins of nearly one size.

    Bin i of m along an axis of n goes from i n // m up to the value before ⌈(i + 1) n / m⌉; bins
    overlap where m does not divide n. None keeps an axis. The same in training and eval.

    Shape:
        x: (N, C, H, W) or (C, H, W); y: (N, C, *output_size) or (C, *output_size)

    >>> import tinygrad_norm as tn
    >>> tn.nn.AdaptiveAvgPool2d((1, None))(tn.zeros(4, 3, 6, 7)).shape
    (4, 3, 1, 7)
    """

    def __init__(self, output_size: Bins) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
