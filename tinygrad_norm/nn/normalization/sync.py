"""Batch normalization over a group of replicas: one batch that lies in several shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from ...backend.array import device_of
from ...errors import DtypeError, ShapeError, not_a_tensor
from ...tensors.tensor import Tensor
from ..container import Sequential
from ..lazy import LazyModuleMixin
from ..module import Module
from .batch import BatchNorm, batch_norm
from .checks import check_channels, check_input, not_positive, too_few
from .running import Update, update, warn_skipped
from .shards import Merged, Part, merged, part_of

WHO = "SyncBatchNorm"


@runtime_checkable
class Group(Protocol):
    """Where the other replicas are: the place for a collective.

    Each process calls the layer with the shards it holds, and ``gather`` with their parts gives
    the parts of all processes, in the same order in each. Its gradient gives each part the sum of
    the gradients that it got in all processes (an all-gather and its reduce-scatter). All else is
    computed alike in each process: the merged moments, the running statistics. For a loss that is
    the sum of the processes' losses, each then holds its share of the parameters' gradients.
    """

    def gather(self, parts: Sequence[Part]) -> Sequence[Part]: ...


class InProcess:
    """The shards of the list are all there are."""

    def gather(self, parts: Sequence[Part]) -> Sequence[Part]:
        return parts


def sync_batch_norm(
    shards: Sequence[Tensor], running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5, group: Group | None = None,
) -> list[Tensor]:
    """:func:`batch_norm` of a batch that lies in several shards, which may be on several devices.

    Args:
        shards: (N_i, C, *spatial) each; some may be empty.
        group: the other replicas; by default the shards are all.
        Else as :func:`batch_norm`. The moments are merged on the device of the running statistics
        (of the weight, of the first shard).

    Source: Chan, Golub and LeVeque 1979 for the merging.
    """
    if training:
        ys, updates = standardize_shards(shards, running_mean, running_var, weight, bias, eps,
                                         group)
        warn_skipped(WHO, update(momentum, *updates))
        return ys
    check_shards(shards, running_mean, running_var, weight, bias, eps)
    given = (running_mean, running_var, weight, bias)
    return [batch_norm(x, *_beside(x, given), eps=eps) for x in shards]


def standardize_shards(
    shards: Sequence[Tensor], running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None, bias: Tensor | None, eps: float, group: Group | None,
) -> tuple[list[Tensor], tuple[Update, ...]]:
    """The shards with the moments of all together, and the updates of the running averages."""
    device = check_shards(shards, running_mean, running_var, weight, bias, eps)
    if not eps:
        raise not_positive(WHO, eps)
    parts = (group or InProcess()).gather([part_of(x, eps, device) for x in shards])
    count = sum(part.n for part in parts)
    if count < 2:
        raise too_few(WHO, shards[0], count, "value per channel in all shards together")
    known = merged(parts)
    n, mean, var = known.moments()
    updates = (running_mean, mean.array, 1.0), (running_var, var.array, n / (n - 1))
    ys = []
    for x in shards:
        origin, unit, mean, var = _beside(x, (known.origin, known.unit, known.mean, known.var))
        here = Merged(origin, unit, n, mean, var)
        own_weight, own_bias, *_ = _beside(x, (weight, bias, None, None))
        ys.append(here.apply(here.seen(x), own_weight, own_bias, eps).to(x.dtype))
    return ys, updates


def _beside(x: Tensor, values: tuple[Tensor | None, ...]) -> tuple[Any, Any, Any, Any]:
    """The four values on the device of x."""
    a, b, c, d = (None if v is None else v.to(device=x.device) for v in values)
    return a, b, c, d


def check_shards(
    shards: Sequence[Tensor], running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None, bias: Tensor | None, eps: float,
) -> Any:
    """The shards must fit each other and the vectors; gives the device where parts are merged.

    Raises:
        TypeError: no list of tensors. ShapeError, DtypeError: what does not fit.
    """
    who = WHO
    if not isinstance(shards, list | tuple):
        raise TypeError(f"{who}: expected a list of shards, got {type(shards).__name__}")
    if not shards:
        raise ShapeError(f"{who}: expected at least one shard, got an empty list")
    for shard in shards:
        if not isinstance(shard, Tensor):
            raise not_a_tensor(who, shard, "each shard")
    first = shards[0].array
    for i, shard in enumerate(shards):
        check_input(who, shard, eps)
        if shard.array.shape[1] != first.shape[1]:
            raise ShapeError(f"{who}: expected shards of {first.shape[1]} channels as the first, "
                             f"got shard {i} of shape {shard.array.shape}")
        if shard.array.dtype != first.dtype:
            raise DtypeError(f"{who}: expected shards of {first.dtype} as the first, got shard "
                             f"{i} of {shard.array.dtype}; bring them to one dtype with .to(dtype)")
    vectors = (running_mean, running_var, weight, bias)
    device = next((device_of(v.array) for v in vectors if v is not None), device_of(first))
    there = shards[0] if device_of(first) == device else shards[0].detach()[:0].to(device=device)
    check_input(who, there, eps, *vectors)
    return device


class SyncBatchNorm(BatchNorm):
    """Normalize each channel over a batch that lies in several shards.

    y_i = (x_i - E[x]) / √(Var[x] + eps) * weight + bias, the moments taken over all x_i together:
    those of the shards, merged exactly, in the forward and in the backward pass. It equals
    BatchNorm of the shards joined, whatever their sizes; a shard may be empty. A tensor alone is
    a shard. The running averages move once for all shards; in eval they are used.
    ``process_group`` is None or what joins the shards of other processes: see ``Group``.

    Invariant to: shift and scale of each channel; permutation of samples, channels, positions

    Shape:
        x, y: a list of (N_i, C, *spatial_i), or one such tensor; weight, bias, running_mean,
        running_var: (C,)

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167; Chan, Golub and LeVeque 1979, eq. 2.1.

    >>> import tinygrad_norm as tn
    >>> norm, x = tn.nn.SyncBatchNorm(3), tn.randn(10, 3)
    >>> shards = norm([x[:2], x[2:]])
    >>> tn.allclose(tn.cat(shards), tn.nn.BatchNorm1d(3)(x), atol=1e-6)
    True
    """

    reduced = "N of all shards, *spatial"
    dims = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, process_group: Group | None = None,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)
        self.process_group = process_group

    def forward(self, x: Any) -> Any:
        shards = x if isinstance(x, list | tuple) else [x]
        for shard in shards:
            check_channels(self, shard)
        if isinstance(x, Tensor):
            if self.process_group is None:
                return super().forward(x)
            return SyncBatchNorm.forward(self, [x])[0]  # and not a subclass's forward once more
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            ys = sync_batch_norm(shards, mean, var, self.weight, self.bias, eps=self.eps)
            self.use_statistics()
            return ys
        if self.training and not self.track_running_stats:  # turned off since
            mean = var = None
        ys, updates = standardize_shards(shards, mean, var, self.weight, self.bias, self.eps,
                                         self.process_group)
        if self.training and self.track_running_stats:
            self.statistics.take(self.numbers()["momentum"], *updates,
                                 batches=self.num_batches_tracked)
        return ys

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Group | None = None) -> Module:
        """The model with a SyncBatchNorm in place of each BatchNorm, with the same tensors.

        A model is changed in place; of a BatchNorm alone the new layer is returned.
        """
        return _converted(cls, module, process_group, {})


def _converted(
    cls: type[SyncBatchNorm], module: Module, group: Group | None, done: dict[int, Module]
) -> Module:
    """A layer that stands in two places stays one."""
    if id(module) in done:
        return done[id(module)]
    result = done[id(module)] = module
    lazy = isinstance(module, LazyModuleMixin)
    if isinstance(module, BatchNorm) and (
            lazy or type(module).forward in (BatchNorm.forward, cls.forward)):
        if lazy:
            raise RuntimeError(f"convert_sync_batchnorm: expected layers that know their size, got "
                               f"{type(module).__name__}; run a batch through the model first")
        old = module
        result = done[id(module)] = cls(
            old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats, group)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked",
                     "training", "statistics"):
            setattr(result, name, getattr(old, name))
    for name, child in module._entries().items():
        setattr(result, name, _converted(cls, child, group, done))
    return result


def run_on_shards(model: Module, shards: Sequence[Tensor]) -> list[Tensor]:
    """A model with SyncBatchNorm layers on a batch that lies in several shards.

    A plain layer is called for each shard, a SyncBatchNorm for all of them at once, and a
    Sequential layer by layer, without hooks of its own.

    >>> import tinygrad_norm as tn
    >>> model = tn.nn.Sequential(tn.nn.Linear(2, 3), tn.nn.SyncBatchNorm(3), tn.nn.ReLU())
    >>> ys = tn.nn.normalization.run_on_shards(model, [tn.randn(4, 2), tn.randn(1, 2)])
    >>> [y.shape for y in ys]
    [(4, 3), (1, 3)]

    Raises:
        TypeError: a module of another kind has a SyncBatchNorm within: its own forward knows how
            it is reached.
    """
    if isinstance(model, SyncBatchNorm):
        return model(shards)
    if type(model).forward is Sequential.forward:
        layers: Any = model
        for layer in layers:
            shards = run_on_shards(layer, shards)
        return list(shards)
    for name, inner in model.named_modules():
        if isinstance(inner, SyncBatchNorm):
            raise TypeError(
                f"run_on_shards: expected {type(model).__name__} to be a Sequential, as it has "
                f"the SyncBatchNorm {name!r} within; give it a forward that takes a list of "
                "shards: [layer(x) for x in shards] for plain layers, norm(shards) for the norm"
            )
    return [model(x) for x in shards]
