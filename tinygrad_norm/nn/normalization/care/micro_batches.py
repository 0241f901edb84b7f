"""Exact batch normalization over micro-batches: a batch in pieces, one piece in memory at a time.

Let m_t be the moments of the whole batch at the t-th call of a batch normalization, t = 1 … T.
Given m_1 … m_T the pieces have nothing to do with each other. So the m_t are found one after the
other, forward, and their adjoints λ_t = dL/dm_t one after the other, back; every step is a sum
over the pieces. With c_t(x_i; m_1 … m_t-1) the moments of piece i, m_t = merge(c_t(x_1), …):

    S_i = share_i loss_i + Σ_j>t λ_j · ∂merge/∂c_j · c_j(x_i),    λ_t = Σ_i ∂S_i/∂m_t

and with all λ, Σ_i ∂S_i/∂parameters is the gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ....autograd.backward import grad
from ....autograd.mode import enable_grad, no_grad
from ....tensors.tensor import Tensor
from ...lazy import LazyModuleMixin
from ...module import Module
from ..batch import _BatchNorm
from ..batch_renorm import _BatchRenorm
from ..channel import ChannelNorm
from ..conditional import _ConditionalBatchNorm
from ..core import FLOAT16, Moments, batch_axes, check_count, moments, per_channel
from ..ghost import GhostBatchNorm
from ..parts import Merged, Part, Standardized, merged, part_of, whole
from .replay import Start, unchanged_on_error, untracked

WHO = "backward_in_pieces"


def backward_in_pieces(
    model: Module, loss_function: Callable[..., Tensor], pieces: Iterable[Any], *,
    reduction: str = "mean",
) -> Tensor:
    """loss.backward() of a whole batch that comes in pieces, with exact batch normalization.

    The loss returned, the gradients added to ``.grad`` and the running statistics are those of
    the whole batch at once, while the graph of one piece is in memory. Plain gradient accumulation
    normalizes each piece by itself, which is another function of the batch.

    With T calls of a batch normalization in the model each piece runs T + 1 times forward, on
    average half the way; T times forward and, on average half the way, back to the moments; and
    once forward and backward. For T = 4 to 10 and 8 pieces that took 3 to 10 times the whole
    batch's time and a fifth of its memory (``benchmarks/micro_batches.py``). Without batch
    normalization it is plain accumulation with one forward more.

    Each run starts from the same buffers, and for each piece from the same random numbers, so that
    dropout draws the same; the buffers change once. The gradients cannot be differentiated again.

    Args:
        model: with batch normalization and renormalization in training mode, called any number
            of times, but the same way for each piece.
        loss_function: of the model's output, and of the targets where there are some.
        pieces: tensors x, or tuples (x, *targets), of any sizes; ``model(x)`` is called.
        reduction: ``"mean"`` if the loss of a batch is the mean over its rows: a piece then counts
            by its rows. ``"sum"`` if it is a sum.

    Returns:
        The loss of the whole batch, detached.

    >>> import tinygrad_norm as tn
    >>> from tinygrad_norm.nn.normalization import backward_in_pieces
    >>> model = tn.nn.Sequential(tn.nn.Linear(4, 8), tn.nn.BatchNorm1d(8), tn.nn.Linear(8, 3))
    >>> x, label = tn.randn(64, 4), tn.randint(0, 3, (64,))
    >>> pieces = list(zip(x.split(16), label.split(16)))
    >>> loss = backward_in_pieces(model, tn.nn.CrossEntropyLoss(), pieces)
    >>> model[0].weight.grad.shape
    (8, 4)

    Raises:
        ValueError: no piece with rows, another reduction, fewer than two values for each channel.
        TypeError: a piece, or a norm that cannot be put together from pieces.
        RuntimeError: the loss is no scalar, a lazy layer does not know its size yet, or the
            pieces take different ways through the model. The model is then as it was before.
    """
    job = Job(model, loss_function, pieces, reduction)
    with unchanged_on_error(job.start):
        with no_grad():
            loss = job.find_moments()
        with enable_grad():
            with untracked(job.leaves()):
                job.find_adjoints()
            job.backward()
    return loss


class Known(NamedTuple):
    """What is known of one call: the moments of the whole batch, and those of the pieces."""

    whole: Merged
    parts: Sequence[Part]


class Reached(BaseException):
    """A piece has come to a call whose moments are not yet known: no error that one may catch."""

    def __init__(self, who: str, x: Tensor, eps: float) -> None:
        self.who, self.x, self.eps = who, x, eps


class Run:
    """One run of a piece: it hands out the known moments, call by call. A ``parts.Whole``.

    After call ``t`` it takes the piece's own moments too, seen from the same origins.
    """

    def __init__(self, known: Sequence[Known], t: int) -> None:
        self.known, self.t = known, t
        self.own: list[Moments | None] = []
        """One for each call so far."""

    def standardize(
        self, who: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Standardized:
        i = len(self.own)
        if i == len(self.known):
            raise Reached(who, x.detach(), eps)
        batch = self.known[i].whole
        away = batch.seen(x)
        wanted = i > self.t and x.array.size
        self.own.append(moments(away, batch_axes(x.array.ndim)) if wanted else None)
        y = batch.apply(away, weight, bias, eps)
        n, mean, var = batch.moments()
        return (y.half() if x.array.dtype == FLOAT16 else y, n, per_channel(mean, x),
                per_channel(var, x))


class Job:
    """A batch in pieces, and what is known of it so far."""

    def __init__(
        self, model: Module, loss_function: Callable[..., Tensor], pieces: Iterable[Any],
        reduction: str,
    ) -> None:
        check_model(model)
        if reduction not in ("mean", "sum"):
            raise ValueError(f"{WHO}: expected reduction 'mean' or 'sum', got {reduction!r}")
        self.model, self.loss_function = model, loss_function
        listed = [tuple(p) if isinstance(p, list | tuple) else (p,) for p in pieces]
        rows = [count_rows(piece) for piece in listed]
        self.pieces = [piece for piece, n in zip(listed, rows, strict=True) if n]
        if not self.pieces:
            raise ValueError(f"{WHO}: expected at least one piece with rows, got {len(listed)} "
                             "pieces and no row; a generator can be gone through only once")
        total = sum(rows)
        self.shares = [n / total if reduction == "mean" else 1.0 for n in rows if n]
        self.known: list[Known] = []
        self.adjoints: dict[int, list[tuple[Tensor, Tensor] | None]] = {}
        """For each call and each piece the gradients of its own mean and variance."""
        self.start = Start(model, len(self.pieces))

    def leaves(self) -> list[Tensor]:
        """The parameters and the tensors in the pieces."""
        held = [v for piece in self.pieces for v in piece if isinstance(v, Tensor)]
        return [*self.model.parameters(), *held]

    def run(self, i: int, t: int, last: bool = False) -> tuple[Run, Tensor]:
        """Piece i from the start, with its share of the loss and its own moments after call t.

        Raises:
            Reached: there is one call more than is known.
        """
        self.start.again(i, heard=last)
        run = Run(self.known, t)
        token = whole.set(run)
        try:
            x, *targets = self.pieces[i]
            loss = self.loss_function(self.model(x), *targets)
        finally:
            whole.reset(token)
        if not isinstance(loss, Tensor) or loss.array.shape:
            got = loss.shape if isinstance(loss, Tensor) else type(loss).__name__
            raise RuntimeError(f"{WHO}: expected a loss that is a scalar, got {got}; take its "
                               "mean or sum over the rows")
        if len(run.own) != len(self.known):
            raise another_way(i, len(run.own), len(self.known))
        return run, loss * self.shares[i]

    def find_moments(self) -> Tensor:
        """One pass over the pieces for each call; the last one gives the loss."""
        while True:
            losses: list[Tensor] = []
            parts: list[Part] = []
            for i in range(len(self.pieces)):
                try:
                    losses.append(self.run(i, len(self.known))[1])
                except Reached as stop:
                    parts.append(part_of(stop.x, stop.eps))
                    who, x = stop.who, stop.x
                if parts and (losses or not alike(parts[0], parts[-1])):
                    raise another_way(i, len(self.known), len(self.known))
            if losses:
                return sum(losses[1:], losses[0])
            check_count(who, x, sum(part.n for part in parts),
                        "value per channel in all pieces together")
            self.known.append(Known(merged(parts), parts))

    def find_adjoints(self) -> None:
        """One pass over the pieces for each call, from the last to the first.

        Only what depends on that call's moments is recorded.
        """
        for t in reversed(range(len(self.known))):
            call = self.known[t]
            mean, var = leaves = [v.detach().requires_grad_()
                                  for v in (call.whole.mean, call.whole.var)]
            self.known[t] = Known(call.whole._replace(mean=mean, var=var), call.parts)
            total = [v.detach() * 0 for v in leaves]
            for i in range(len(self.pieces)):
                value = self.objective(i, t)
                if value.requires_grad:
                    found = grad(value, leaves, materialize_grads=True)
                    total = [a + b for a, b in zip(total, found, strict=True)]
                del value
            self.known[t] = call
            self.adjoints[t] = of_parts(call.parts, *total)

    def backward(self) -> None:
        """The last pass: the gradients of all leaves."""
        for i in range(len(self.pieces)):
            self.objective(i, -1, last=i == len(self.pieces) - 1).backward()
            if not i:
                self.start.end = self.start.bits.state

    def objective(self, i: int, t: int, last: bool = False) -> Tensor:
        """S_i: the share of the loss, and what the piece adds through the calls after t."""
        run, value = self.run(i, t, last)
        for j in range(t + 1, len(self.known)):
            own, adjoint = run.own[j], self.adjoints[j][i]
            if own is not None and adjoint is not None:
                for moment, gradient in zip((own.mean, own.var), adjoint, strict=True):
                    value = value + (moment.reshape(-1) * gradient).sum()
        return value


def of_parts(
    parts: Sequence[Part], dmean: Tensor, dvar: Tensor
) -> list[tuple[Tensor, Tensor] | None]:
    """From the gradients of merged moments to those of each piece's, in the merged units."""
    unit = merged(parts).unit
    parts = [part._replace(unit=unit, mean=(part.mean * unit / part.unit).requires_grad_(),
                           var=(part.var * (unit / part.unit) ** 2).requires_grad_())
             for part in parts]
    whole_batch = merged(parts)
    value = (whole_batch.mean * dmean).sum() + (whole_batch.var * dvar).sum()
    leaves = [v for part in parts if part.n for v in (part.mean, part.var)]
    found = iter(grad(value, leaves))
    return [(next(found), next(found)) if part.n else None for part in parts]


def alike(one: Part, other: Part) -> bool:
    """Whether they have as many channels, of one dtype."""
    a, b = one.mean.array, other.mean.array
    return a.shape == b.shape and a.dtype == b.dtype


def another_way(i: int, calls: int, expected: int) -> RuntimeError:
    """The error for a piece that calls its norms differently."""
    return RuntimeError(
        f"{WHO}: expected every piece to call batch normalization in the same way, but piece {i} "
        f"differs at call {min(calls, expected)}; the model must not decide by its input, nor by "
        "random numbers other than this package's, which norm is called"
    )


def count_rows(piece: tuple[Any, ...]) -> int:
    """The length of its first tensor's first axis."""
    x = piece[0] if piece else None
    while isinstance(x, list | tuple) and x:
        x = x[0]
    if not isinstance(x, Tensor) or not x.array.ndim:
        raise TypeError(f"{WHO}: expected pieces that are tensors, or tuples that begin with one, "
                        f"got {type(x).__name__}; their first axis counts the rows")
    return x.array.shape[0]


def check_model(model: Module) -> None:
    """Every norm that looks at the batch must be one whose moments can be merged."""
    for name, layer in model.named_modules():
        if isinstance(layer, LazyModuleMixin):
            raise RuntimeError(f"{WHO}: expected layers that know their size, got "
                               f"{type(layer).__name__} {name!r}; run a batch through the model "
                               "first")
        if not isinstance(layer, ChannelNorm) or not layer.training:
            continue
        known = isinstance(layer, _BatchNorm | _BatchRenorm | _ConditionalBatchNorm) and not (
            isinstance(layer, GhostBatchNorm) or getattr(layer, "process_group", None))
        if layer.num_batches_tracked is not None and not known:
            raise TypeError(
                f"{WHO}: expected norms that remember to be BatchNorm or BatchRenorm, got "
                f"{type(layer).__name__} {name!r}, whose statistics cannot be put together from "
                "those of pieces; put it into eval(), freeze it, or replace it"
            )
