"""Norms that take their number of channels from the first input."""

from __future__ import annotations

from typing import Any

from ...errors import not_a_tensor
from ...tensors.tensor import Tensor
from ..lazy import LazyModuleMixin
from .batch import BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d
from .channel import ChannelNorm
from .checks import wrong_channels
from .instance import InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d


class _LazyNorm(LazyModuleMixin, ChannelNorm):
    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.wait()

    def size_of(self, input: Any) -> int:
        if not isinstance(input, Tensor):
            raise not_a_tensor(type(self).__name__, input)
        shape = input.array.shape
        if len(shape) in self.dims:
            return int(shape[1])
        if self.takes_one_sample and len(shape) == self.dims[0] - 1:
            return int(shape[0])
        raise wrong_channels(self, shape)

    def size_in(self, name: str, shape: tuple[int, ...]) -> int | None:
        return shape[0] if len(shape) == 1 else None

    def resize(self, size: int) -> dict[str, tuple[int, ...]]:
        self.num_features = size
        return dict.fromkeys(("weight", "bias", "running_mean", self.spread), (size,))


class LazyBatchNorm1d(_LazyNorm, BatchNorm):
    """:class:`BatchNorm1d` with num_features from the first input, or from a state dict.

    After it the layer is a ``BatchNorm1d``, with the same parameters: an optimizer made before
    holds them. ``to()`` before it decides their dtype and device. An input that is refused leaves
    the layer lazy.

    Shape:
        x, y: (N, C) or (N, C, L)

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.LazyBatchNorm1d()
    >>> _ = layer(tn.randn(10, 3))
    >>> layer
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    cls_to_become, dims = BatchNorm1d, BatchNorm1d.dims


class LazyBatchNorm2d(_LazyNorm, BatchNorm):
    """:class:`BatchNorm2d` with num_features from the first input (N, C, H, W)."""

    cls_to_become, dims = BatchNorm2d, BatchNorm2d.dims


class LazyBatchNorm3d(_LazyNorm, BatchNorm):
    """:class:`BatchNorm3d` with num_features from the first input (N, C, D, H, W)."""

    cls_to_become, dims = BatchNorm3d, BatchNorm3d.dims


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm):
    """:class:`InstanceNorm1d` with num_features from the first input (N, C, L) or (C, L).

    affine and track_running_stats are True unless told otherwise, which they are not in
    ``InstanceNorm1d``: so it is in PyTorch.
    """

    cls_to_become, dims = InstanceNorm1d, InstanceNorm1d.dims


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm):
    """:class:`LazyInstanceNorm1d` for images (N, C, H, W) or (C, H, W)."""

    cls_to_become, dims = InstanceNorm2d, InstanceNorm2d.dims


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm):
    """:class:`LazyInstanceNorm1d` for volumes (N, C, D, H, W) or (C, D, H, W)."""

    cls_to_become, dims = InstanceNorm3d, InstanceNorm3d.dims
