"""Running statistics measured once more: the exact moments of a whole data set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np

from ...autograd.graph import tick
from ...autograd.mode import keep_statistics, no_grad
from ...backend.array import array_module, is_array
from ...errors import not_a_tensor
from ...kinds import outside
from ...tensors.creation import tensor
from ...tensors.tensor import Tensor
from ..lazy import LazyModuleMixin
from ..module import Module
from ..normalization.algebra import Moments, batch_axes, merge, moments
from ..normalization.batch_renorm import BatchRenorm
from ..normalization.channel import ChannelNorm
from ..normalization.checks import check_channels
from ..normalization.instance import InstanceNorm
from ..normalization.iter_norm import IterNorm, channel_rows, inverse_root
from ..normalization.switchable import SwitchableNorm
from .find import check_model, named_norms

M = TypeVar("M", bound=Module)
WHO = "recalibrate"


def recalibrate(
    model: M, loader: Iterable[Any], forward: Callable[[Any], Any] | None = None
) -> M:
    """Set the running statistics of all norms to the exact moments of the loader's data.

    Running averages lag behind the weights, and the last batches count most in them. Here the
    weights stand still and all rows count alike: the moments of the batches are merged by Chan's
    formula in float64, so that mean and variance are those of all values together, however the
    batches are cut; the variance is unbiased at the end (for BatchRenorm it is √(var + eps), for
    SwitchableNorm biased, for IterNorm the whitening matrix; for InstanceNorm the averages over
    the samples).

    One pass: the norms normalize each batch by its own statistics, as in training, and what
    reaches the deeper ones follows from that, so take batches of the usual size. All else is in
    inference mode: the statistics are for inference, where Dropout is off, and with it on the
    variances after it are larger (Li et al. 2018, arXiv:1801.05134).
    Norms that are frozen, or keep no statistics, are left alone. ``num_batches_tracked`` becomes
    the number of batches. A batch with NaN or Inf is left out of all, with a warning. Modes
    and gradients stay as they are, and when an error occurs all does.

    Args:
        model: with at least one norm that has running statistics.
        loader: batches: tensors or arrays x, or tuples or lists that begin with x. Any iterable.
        forward: what runs the model on a batch; by default ``model(x)``.

    Returns:
        The model.

    Source: Wu and Johnson 2021, arXiv:2105.07576, section 3 ("PreciseBN"). Algorithm 2 of Ioffe
    and Szegedy 2015, arXiv:1502.03167, averages the variances of the batches, which leaves out how
    their means differ.

    >>> import tinygrad_norm as tn
    >>> x = tn.randn(100, 2, dtype=tn.float64) * 3 + 1
    >>> norm = tn.nn.BatchNorm1d(2, dtype=tn.float64)
    >>> _ = tn.nn.utils.recalibrate(norm, x.split(30))
    >>> tn.allclose(norm.running_mean, x.mean(0)), tn.allclose(norm.running_var, x.var(0))
    (True, True)

    Raises:
        ValueError: no norm with running statistics, no batch, only batches with NaN or Inf, or
            statistics beyond the dtype of their buffers.
        TypeError: what is no model, no iterable of batches, or no batch.
        RuntimeError: a lazy layer that does not know its size yet.
    """
    populations = _populations(model)
    if isinstance(loader, Tensor) or is_array(loader) or not isinstance(loader, Iterable):
        raise TypeError(f"{WHO}: expected an iterable of batches, got {type(loader).__name__}; "
                        "of one batch make a list: [x]")
    run = forward or (lambda batch: model(_input(model, batch)))
    batches = used = 0
    bad: dict[str, None] = {}
    with _measuring(model, populations), no_grad(), keep_statistics():
        for batch in loader:
            batches += 1
            run(batch)
            wrong = [name for name, one in populations.items() if not one.is_finite()]
            for one in populations.values():
                one.end_batch(taken=not wrong)
            used += not wrong
            bad.update(dict.fromkeys(wrong[:1]))
    if not used:
        raise ValueError(f"{WHO}: expected at least one batch, got " + (
            f"{batches}, all with NaN or Inf in the input of {next(iter(bad))}" if batches else
            "an empty loader; a generator can be gone through only once"))
    _write(populations, used)
    if used < batches:
        warnings.warn(
            f"{WHO}: left out {batches - used} of {batches} batches, with NaN or Inf in the input "
            f"of {', '.join(map(repr, bad))}; look at the data", RuntimeWarning,
            stacklevel=outside())
    unseen = [name for name, one in populations.items() if one.known is None]
    if unseen:
        warnings.warn(f"{WHO}: no batch came to {', '.join(map(repr, unseen))}, whose statistics "
                      "stay as they were", RuntimeWarning, stacklevel=outside())
    return model


class Population:
    """What the batches so far tell of the input of one layer, in float64."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.known: Any = None
        self.seen: list[Any] = []
        """Of this batch, a value for each call."""

    @np.errstate(over="ignore", invalid="ignore")
    def see(self, x: Tensor) -> None:
        self.seen.append(self.measure(x.detach().double()))

    def is_finite(self) -> bool:
        return all(bool(value.isfinite().all().item()) for one in self.seen for value in one[1:])

    def end_batch(self, taken: bool) -> None:
        if taken and self.seen:
            self.known = self.join(self.seen if self.known is None else [self.known, *self.seen])
        self.seen = []

    # -- what differs from norm to norm ----------------------------------------------------------

    def measure(self, x: Tensor) -> Moments:
        """Of one input: the number of values, their mean, and their spread about it."""
        n, mean, var = moments(x, batch_axes(x.array.ndim))
        return Moments(n, mean.reshape(-1), var.reshape(-1))

    def join(self, parts: list[Moments]) -> Moments:
        return merge(parts)

    def spread(self) -> Tensor:
        """What the layer remembers beside the mean."""
        n, _, var = self.known
        if isinstance(self.layer, BatchRenorm):
            return (var + self.layer.eps).sqrt()
        return var if isinstance(self.layer, SwitchableNorm) else var * (n / (n - 1))


class Samples(Population):
    """Of InstanceNorm: averages over the samples of their means and unbiased variances."""

    def measure(self, x: Tensor) -> Moments:
        n, mean, var = moments(x, tuple(range(2, x.array.ndim)))
        shape = mean.array.shape[:2]
        return Moments(shape[0], mean.reshape(shape).mean(0),
                       var.reshape(shape).mean(0) * (n / (n - 1)))

    def join(self, parts: list[Moments]) -> Moments:
        n = sum(part.n for part in parts)
        mean, var = (sum(values[1:], values[0]) for values in zip(*(
            (part.mean * (part.n / n), part.var * (part.n / n)) for part in parts), strict=True))
        return Moments(n, mean, var)

    def spread(self) -> Tensor:
        return self.known.var


class Covariances(Population):
    """Of IterNorm: for each group of channels their covariance, merged as variances are."""

    def measure(self, x: Tensor) -> Moments:
        mean = moments(x, batch_axes(x.array.ndim)).mean
        rows = channel_rows(x - mean, self.layer.num_groups)
        n = rows.array.shape[-1]
        return Moments(n, mean.reshape(-1), rows @ rows.mT / n)

    def join(self, parts: list[Moments]) -> Moments:
        n, mean, _ = merge([part._replace(var=part.mean * 0) for part in parts])
        cov: Any = 0
        for part in parts:
            away = (part.mean - mean).reshape(self.layer.num_groups, -1, 1)
            cov = cov + (part.var + away @ away.mT) * (part.n / n)
        return Moments(n, mean, cov)

    def spread(self) -> Tensor:
        return inverse_root(self.known.var, self.layer.eps, self.layer.T)


def _populations(model: Module) -> dict[str, Population]:
    """One for each norm whose statistics are to be measured, by name."""
    check_model(WHO, model)
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin):
            raise RuntimeError(f"{WHO}: expected layers that know their size, got "
                               f"{type(module).__name__} {name!r}; run a batch through the model "
                               "first")
    found: dict[str, Population] = {}
    others = []
    for name, layer in named_norms(model):
        if (not isinstance(layer, ChannelNorm) or layer.num_batches_tracked is None
                or layer._frozen):
            others.append(f"{type(layer).__name__} {name!r}" + " (frozen)" * layer._frozen)
        else:
            kind = (Samples if isinstance(layer, InstanceNorm) else
                    Covariances if isinstance(layer, IterNorm) else Population)
            found[name] = kind(layer)
    if not found:
        raise ValueError(f"{WHO}: expected a norm with running statistics in "
                         f"{type(model).__name__}, got {', '.join(others) or 'no norm'}; "
                         "track_running_stats=True makes them, unfreeze() releases them")
    return found


@contextmanager
def _measuring(model: Module, populations: dict[str, Population]) -> Iterator[None]:
    """Norms as in training, BatchRenorm without correction, all else in inference mode."""
    layers = [one.layer for one in populations.values()]
    modes = [(module, module.training) for module in model.modules()]
    bounds = [(layer, layer.rmax, layer.dmax) for layer in layers
              if isinstance(layer, BatchRenorm)]
    with ExitStack() as stack:
        for one in populations.values():
            stack.callback(one.layer.register_forward_pre_hook(_looking(one)).remove)
        try:
            model.eval()
            for layer in layers:
                layer.training = True
            for renorm, _, _ in bounds:
                renorm.rmax, renorm.dmax = 1.0, 0.0
            yield
        finally:
            for module, training in modes:
                module.training = training
            for renorm, rmax, dmax in bounds:
                renorm.rmax, renorm.dmax = rmax, dmax


def _looking(population: Population) -> Callable[..., None]:
    """A forward pre-hook that sees each input, each shard of a list of them."""
    def hook(layer: Any, args: tuple[Any, ...]) -> None:
        x = args[0] if args else None
        for shard in x if isinstance(x, list | tuple) else [x]:
            if not isinstance(shard, Tensor):
                raise not_a_tensor(type(layer).__name__, shard)
            check_channels(layer, shard)
            if shard.array.ndim not in layer.dims:  # one sample, without N
                shard = shard.unsqueeze(0)
            if shard.array.size:
                population.see(shard)

    return hook


def _input(model: Module, batch: Any) -> Any:
    """x of a batch; an array with the model's dtype and on its device."""
    x = batch
    while isinstance(x, list | tuple) and x:
        x = x[0]
    if isinstance(x, Tensor):
        return x
    if not is_array(x):
        raise TypeError(f"{WHO}: expected batches of tensors or arrays, or tuples that begin with "
                        f"one, got {type(x).__name__}; pass forward=lambda batch: model(...) for "
                        "others")
    like = next(v for v in (*model.parameters(), *model.buffers()) if v.is_floating_point())
    return tensor(x, dtype=like.dtype if x.dtype.kind == "f" else None, device=like.device)


def _write(populations: dict[str, Population], batches: int) -> None:
    """All statistics, or none where one of them does not fit into its buffer."""
    writes: list[tuple[Tensor, Any]] = []
    for name, one in populations.items():
        if one.known is None:
            continue
        layer = one.layer
        for buffer, value in ((layer.running_mean, one.known.mean),
                              (getattr(layer, layer.spread), one.spread())):
            if buffer is None:
                continue
            with np.errstate(over="ignore"):
                new = value.array.astype(buffer.dtype)
            if not bool(array_module(new).isfinite(new).all().item()):
                raise ValueError(f"{WHO}: expected statistics of {name!r} that fit into "
                                 f"{buffer.dtype}, got values beyond; keep the layer in float32")
            writes.append((buffer, new))
        writes.append((layer.num_batches_tracked, batches))
    for buffer, new in writes:
        buffer.array[...] = new
        buffer.written[0] = tick()
