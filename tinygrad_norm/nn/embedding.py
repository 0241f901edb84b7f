"""A table of learned rows, looked up by number: words, classes, positions."""

from __future__ import annotations

import math
from typing import Any, Self

from ..autograd.graph import tick
from ..backend.array import Array, array_module, check_device, to_numpy
from ..backend.choose import expect
from ..errors import (
    AssertedShapeError,
    DimError,
    DtypeError,
    ShapeError,
    not_a_tensor,
)
from ..ops.choice import where_
from ..ops.lookup import lookup
from ..tensors.creation import zeros
from ..tensors.tensor import Parameter, Tensor
from . import init
from .checks import as_count, as_int
from .module import Module


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:
    """weight[input]: the rows of a table (V, d) whose numbers are given.

    Args:
        input: (*) ints within 0 to V - 1. On a GPU, where looking at them would mean waiting, a
            number out of range gives a row of NaN.
        padding_idx: this row gets no gradient; from -V to V - 1.
        max_norm: rows looked up whose norm is larger are first shortened to it, in ``weight``
            itself and without a gradient, as in PyTorch.
        norm_type: p of that norm, (Σ |w|ᵖ)^(1/p); ``math.inf`` for the largest |w|.
        scale_grad_by_freq: divide a row's gradient by how often its number is in ``input``: no
            derivative of anything, so it is divided at each order anew.
        sparse: must be False; gradients are dense here.

    Raises:
        IndexError: a number out of range. TypeError, ValueError: a dtype, shape or setting that
        does not fit. Those of PyTorch's classes RuntimeError and AssertionError are so too.
    """
    if not isinstance(input, Tensor) or not isinstance(weight, Tensor):
        name, value = ("weight", weight) if isinstance(input, Tensor) else ("input", input)
        raise not_a_tensor("embedding", value, name)
    table, index = weight.array, input.array
    if table.ndim != 2:
        raise ShapeError(f"embedding: expected a weight (V, d), got {table.shape}")
    if index.dtype.kind != "i":
        raise DtypeError(f"embedding: expected input of int64 or int32, got {index.dtype}; "
                         "call .long()")
    check_device("embedding", "the weight", table, "the input", index)
    rows = table.shape[0]
    skip = _row("embedding", padding_idx, rows)
    _check_settings("embedding", max_norm, norm_type, sparse)
    settings = {"skip": skip, "by_frequency": scale_grad_by_freq}
    ask = expect(type(index))
    if ask:
        if index.size and not (ask(index.min() >= 0) and ask(index.max() < rows)):
            wrong = to_numpy(index[(index < 0) | (index >= rows)])[0]
            raise DimError(f"embedding: index out of range: expected numbers 0 to {rows - 1} for a "
                           f"weight {table.shape}, got {wrong}")
        if max_norm is not None:
            _shorten(weight, index, max_norm, norm_type)
        return lookup(weight, input, **settings)
    inside = (index >= 0) & (index < rows)
    index = array_module(index).where(inside, index, 0)
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    y = lookup(weight, index, **settings)
    return where_(inside.reshape(*inside.shape, 1), y, math.nan)


def _row(who: str, padding_idx: int | None, rows: int) -> int | None:
    """``padding_idx`` counted from the front."""
    if padding_idx is None:
        return None
    padding_idx = as_int(who, "padding_idx", padding_idx)
    if not -rows <= padding_idx < rows:
        raise AssertedShapeError(f"{who}: expected padding_idx within -{rows} to {rows - 1} for "
                                 f"{rows} rows, got {padding_idx}")
    return padding_idx % rows


def _check_settings(who: str, max_norm: float | None, norm_type: float, sparse: bool) -> None:
    if sparse:
        raise NotImplementedError(f"{who}: sparse gradients are not there; leave sparse=False, "
                                  "which gives the same values")
    if max_norm is not None and not (max_norm >= 0 and norm_type > 0):
        raise ValueError(f"{who}: expected max_norm >= 0 and norm_type > 0, got {max_norm} and "
                         f"{norm_type}")


def _shorten(weight: Tensor, index: Array, longest: float, p: float) -> None:
    """Rows longer than ``longest`` are scaled down to it, in place, as PyTorch does.

    A row that is looked up twice is written twice, with the same values.
    """
    table = weight.array
    rows = table.take(index.reshape(-1), axis=0)
    size = abs(rows).astype("float64")  # whose range the powers of float32 do not leave
    if not size.size:
        return
    if p == math.inf:
        norm = size.max(axis=1, keepdims=True)
    else:
        norm = (size**p).sum(axis=1, keepdims=True) ** (1 / p)
    scale = array_module(table).where(norm > longest, longest / (norm + 1e-7), 1)
    table[index.reshape(-1)] = (rows * scale).astype(table.dtype)
    weight.written[0] = tick()


class Embedding(Module):
    """y = weight[x]: each number gets its row of a learned table. The same in train and eval.

    The rows start normal, with mean 0 and variance 1; that of ``padding_idx`` starts as 0 and
    gets no gradient. ``max_norm`` shortens the rows that are used, in place, at each call.

    Shape:
        x: (*), ints from 0 to num_embeddings - 1; y: (*, embedding_dim)
        weight: (num_embeddings, embedding_dim)

    Source: Bengio, Ducharme, Vincent and Jauvin 2003, Journal of Machine Learning Research 3,
    section 2.

    >>> import tinygrad_norm as tn
    >>> words = tn.nn.Embedding(10, 3, padding_idx=0)
    >>> words(tn.tensor([[1, 2, 0], [4, 1, 1]])).shape
    (2, 3, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False, _weight: Tensor | None = None, _freeze: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:
        _check_settings("Embedding", max_norm, norm_type, sparse)
        self.num_embeddings = as_count("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = as_count("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = _row("Embedding", padding_idx, num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = Parameter(zeros(shape, device=device, dtype=dtype), not _freeze)
            self.reset_parameters()
        elif _weight.array.shape == shape:
            self.weight = Parameter(_weight, not _freeze)
        else:
            raise AssertedShapeError(f"Embedding: expected a weight {shape}, as num_embeddings and "
                                     f"embedding_dim say, got {_weight.array.shape}")

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with these rows (V, d), whose memory it shares; ``freeze``: not to be learned."""
        if not isinstance(embeddings, Tensor):
            raise not_a_tensor("from_pretrained", embeddings, "embeddings")
        if embeddings.array.ndim != 2:
            raise AssertedShapeError(f"from_pretrained: expected embeddings (V, d), got "
                                     f"{embeddings.array.shape}")
        rows, columns = embeddings.array.shape
        return cls(rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
                   embeddings, freeze)

    def reset_parameters(self) -> None:
        """Draw the rows anew; that of ``padding_idx`` is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        return embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
                         self.scale_grad_by_freq)

    def retell(self, error: Exception) -> None:
        who, colon, text = str(error).partition(": ")
        if colon and who == "embedding":
            error.args = (f"Embedding: {text}",)

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        for name, usual in (("padding_idx", None), ("max_norm", None), ("norm_type", 2),
                            ("scale_grad_by_freq", False)):
            if getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)
