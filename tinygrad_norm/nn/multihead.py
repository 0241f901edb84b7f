"""Attention with many heads, between two sequences or within one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..backend.array import Array, array_module, check_device
from ..errors import AssertedDtypeError, AssertedShapeError, not_a_tensor
from ..ops.linalg import linear
from ..ops.reduction import mean
from ..ops.shape import broadcast_to, concatenate, permute, reshape
from ..tensors.creation import zeros
from ..tensors.tensor import Parameter, Tensor
from . import init
from .attention import attend
from .checks import as_count, as_int
from .linear import Linear
from .module import Module

WHO = "MultiheadAttention"


class MultiheadAttention(Module):
    """y = concat(head₁ … head_H) Wᵒᵀ + bᵒ, headᵢ = attention(q Wᵢᵠᵀ, k Wᵢᵏᵀ, v Wᵢᵛᵀ), with biases.

    In training each weight is dropped with probability ``dropout``. ``forward`` gives (y, weights);
    the weights are those after dropout, averaged over the heads, or None. ``is_causal`` needs
    attn_mask and tells that it is the causal one; what counts is the mask. A query that no key may
    answer gets weights of 0 and y = bᵒ, whether or not they are asked for; PyTorch gives NaN if
    they are.

    Shape:
        query: (L, N, embed_dim), (N, L, embed_dim) with batch_first, or (L, embed_dim); y too
        key, value: as query, with S, kdim and vdim
        key_padding_mask: (N, S) or (S,); attn_mask: (L, S) or (N · num_heads, L, S). Bools: True
            where a key does NOT count. Floats are added to the scores.
        weights: (N, L, S), (N, num_heads, L, S) without average_attn_weights, or without N

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    >>> import tinygrad_norm as tn
    >>> x = tn.randn(2, 5, 8)
    >>> y, weights = tn.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> y.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:
        _check_sizes(embed_dim, num_heads, dropout)
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else as_count(WHO, "kdim", kdim)
        self.vdim = embed_dim if vdim is None else as_count(WHO, "vdim", vdim)
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn

        def empty(*shape: int, there: bool = True) -> Parameter | None:
            return Parameter(zeros(shape, device=device, dtype=dtype)) if there else None

        same = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = empty(3 * embed_dim, embed_dim, there=same)
        self.q_proj_weight = empty(embed_dim, embed_dim, there=not same)
        self.k_proj_weight = empty(embed_dim, self.kdim, there=not same)
        self.v_proj_weight = empty(embed_dim, self.vdim, there=not same)
        self.in_proj_bias = empty(3 * embed_dim, there=bias)
        self.bias_k = empty(1, 1, embed_dim, there=add_bias_kv)
        self.bias_v = empty(1, 1, embed_dim, there=add_bias_kv)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self._start()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        self.out_proj.reset_parameters()
        self._start()

    def _start(self) -> None:
        """Input weights uniform (Glorot and Bengio 2010), biases 0, bias_k and bias_v normal."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight,
                       self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See the class: (y, the weights or None)."""
        batched = self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise RuntimeError(f"{WHO}: expected an attn_mask beside is_causal=True, which only "
                               "tells that it is causal; pass the mask, of True above the "
                               "diagonal: with i = arange(L), i[None] > i[:, None]")
        inputs: list[Any] = [query, key, value]
        if not batched:
            inputs = [reshape(x, shape=(1, *x.array.shape)) for x in inputs]
        first = self.batch_first or not batched
        sizes = [inputs[i].array.shape[first] for i in (0, 1)]
        count = inputs[0].array.shape[not first]
        keep, bias = self._masks(attn_mask, key_padding_mask, (count, *sizes), batched)
        if bias is not None and bias.dtype not in (query.dtype, np.dtype("float32")):
            raise AssertedDtypeError(f"{WHO}: expected masks of bools, float32 or the inputs' "
                                     f"{query.dtype}, got {bias.dtype}; call .to(dtype)")
        q, k, v = self._projected(inputs)
        k, v = (self._longer(x, row, first) for x, row in ((k, self.bias_k), (v, self.bias_v)))
        q, k, v = (self._heads(x, first) for x in (q, k, v))
        y, weights = attend(q, k, v, keep, bias, None, self.dropout if self.training else 0.0)
        y = permute(y, axes=(0, 2, 1, 3) if first else (2, 0, 1, 3))
        y = self.out_proj(reshape(y, shape=query.array.shape))
        if not need_weights:
            return y, None
        if average_attn_weights:
            weights = mean(weights, axis=1)
        weights = weights.transpose(-1, -2)
        return y, weights if batched else weights.squeeze(0)

    def _check(self, query: Any, key: Any, value: Any) -> bool:
        """Whether there is a batch; raises for inputs that do not fit."""
        for name, x in (("query", query), ("key", key), ("value", value)):
            if not isinstance(x, Tensor):
                raise not_a_tensor(WHO, x, name)
        q, k, v = query.array.shape, key.array.shape, value.array.shape
        n = 0 if self.batch_first else 1
        fits = (len(q) in (2, 3) and len(q) == len(k) == len(v) and k[:-1] == v[:-1]
                and (q[-1], k[-1], v[-1]) == (self.embed_dim, self.kdim, self.vdim)
                and (len(q) == 2 or q[n] == k[n]))
        if not fits:
            form = "(N, {}, {})" if self.batch_first else "({}, N, {})"
            wanted = [form.format(*ls) for ls in (("L", self.embed_dim), ("S", self.kdim),
                                                  ("S", self.vdim))]
            raise AssertedShapeError(
                f"{WHO}: expected query {wanted[0]}, key {wanted[1]} and value {wanted[2]}, or all "
                f"without N, got {q}, {k} and {v}; batch_first is {self.batch_first}")
        return len(q) == 3

    def _masks(
        self, attn_mask: Any, padding: Any, sizes: tuple[int, int, int], batched: bool
    ) -> tuple[Array | None, Any]:
        """(which scores (N, H, L, S) count, what is added to them), with the rows that are added.

        Raises:
            AssertionError: a mask of another shape, or neither of bools nor of floats. A ValueError
                or TypeError too, and a RuntimeError.
        """
        n, length, keys = sizes
        heads = self.num_heads
        own = (n, keys) if batched else (keys,)
        keep: Array | None = None
        bias: Any = None
        for name, mask, forms in (
            ("attn_mask", attn_mask, {(length, keys): (1, 1, length, keys),
                                      (n * heads, length, keys): (n, heads, length, keys)}),
            ("key_padding_mask", padding, {own: (n, 1, 1, keys)}),
        ):
            if mask is None:
                continue
            if not isinstance(mask, Value):
                raise not_a_tensor(WHO, mask, name)
            weight = self.out_proj.weight.array
            check_device(WHO, "the layer", weight, name, mask.array)
            shape, kind = mask.array.shape, mask.array.dtype.kind
            if kind not in "bf":
                raise AssertedDtypeError(f"{WHO}: expected {name} of bools or floats, got "
                                         f"{mask.array.dtype}; call .bool()")
            if shape not in forms:
                raise AssertedShapeError(f"{WHO}: expected {name} {' or '.join(map(str, forms))}, "
                                         f"got {shape}")
            mask = self._wider(reshape(mask, shape=forms[shape]))
            if kind == "f":
                bias = mask if bias is None else bias + mask
            else:
                keep = ~mask.array if keep is None else keep & ~mask.array
        return keep, bias

    def _wider(self, mask: Any) -> Any:
        """With a column of 0 or False for each row that is added to the keys."""
        more = (self.bias_k is not None) + self.add_zero_attn
        if not more:
            return mask
        nothing = array_module(mask.array).zeros((*mask.array.shape[:-1], more),
                                                 dtype=mask.array.dtype)
        return concatenate(mask, wrap(Tensor, nothing), axis=-1)

    def _projected(self, inputs: list[Any]) -> list[Any]:
        """Query, key and value (…, embed_dim), times their weights."""
        weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.split(self.embed_dim)
        biases: Any = (None, None, None)
        if self.in_proj_bias is not None:
            biases = self.in_proj_bias.split(self.embed_dim)
        return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]

    def _longer(self, x: Any, row: Parameter | None, first: bool) -> Any:
        """Keys or values with the learned row and the row of zeros that the settings ask for."""
        shape = x.array.shape
        one = (shape[0], 1, shape[2]) if first else (1, *shape[1:])
        if row is not None:
            x = concatenate(x, broadcast_to(row, shape=one), axis=int(first))
        if self.add_zero_attn:
            nothing = array_module(x.array).zeros(one, dtype=x.array.dtype)
            x = concatenate(x, wrap(Tensor, nothing), axis=int(first))
        return x

    def _heads(self, x: Any, first: bool) -> Any:
        """(N, S, E) or (S, N, E) -> (N, H, S, E / H)"""
        parts = reshape(x, shape=(*x.array.shape[:2], self.num_heads, self.head_dim))
        return permute(parts, axes=(0, 2, 1, 3) if first else (1, 2, 0, 3))


def _check_sizes(embed_dim: int, num_heads: int, dropout: float) -> None:
    if min(as_int(WHO, "embed_dim", embed_dim), as_int(WHO, "num_heads", num_heads)) <= 0:
        raise ValueError(f"{WHO}: expected embed_dim and num_heads of at least 1, got {embed_dim} "
                         f"and {num_heads}")
    if embed_dim % num_heads:
        fit = [n for n in range(1, embed_dim + 1) if embed_dim % n == 0]
        raise AssertedShapeError(f"{WHO}: expected num_heads to divide embed_dim {embed_dim}, got "
                                 f"{num_heads}; take one of {', '.join(map(str, fit))}")
    if not 0 <= dropout <= 1:
        raise ValueError(f"{WHO}: expected dropout between 0 and 1, got {dropout}")
