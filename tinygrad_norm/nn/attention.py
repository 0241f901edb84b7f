"""Scaled dot-product attention: each position takes a weighted mean of others' values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..backend.array import Array, array_module
from ..errors import DimError, DtypeError, ShapeError, not_a_tensor
from ..ops.attention import masked_softmax, whole_softmax
from ..ops.shape import broadcast_to, reshape, swapaxes
from ..ops.transfer import cast
from ..tensors.tensor import Tensor
from .dropout import dropout

WHO = "scaled_dot_product_attention"


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query keyᵀ scale) value, the softmax over the keys.

    A query that no key may answer, since its row of the mask is all False or -∞, gets 0 and hands
    no gradient on, as in PyTorch 2.13. float16 is computed in float32, and the result cast.

    Args:
        query: (*, L, E). key: (*, S, E). value: (*, S, Ev); the * are broadcast.
        attn_mask: broadcasts to (*, L, S). Of bools: True where the key counts (in
            ``MultiheadAttention`` it is False). Of floats: added to the scores; it may be learned.
        dropout_p: the probability with which a weight becomes 0, whatever the mode: pass 0.0 in
            inference.
        is_causal: query i sees the keys 0 to i, also where L and S differ; without attn_mask.
        scale: 1/√E unless given.
        enable_gqa: key and value (*, H, S, E) may have fewer heads than query (*, Hq, L, E); each
            serves Hq / H of them, which stand side by side.

    Returns:
        (*, L, Ev)

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1; grouped heads: Ainslie et al.
    2023, arXiv:2305.13245.
    """
    _check_inputs(query, key, value)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"{WHO}: expected dropout_p between 0 and 1, got {dropout_p}")
    if enable_gqa:
        key, value = _shared(query, key, "key"), _shared(query, value, "value")
    shape = _scores_shape(query, key, value)
    keep, bias = None, None
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError(f"{WHO}: expected attn_mask or is_causal, got both; put the causal "
                               "mask into attn_mask")
        module = array_module(query.array)
        length, keys = shape[-2:]
        keep = module.arange(keys) <= module.arange(length).reshape(length, 1)
    elif attn_mask is not None:
        keep, bias = _read_mask(attn_mask, query, shape)
    return attend(query, key, value, keep, bias, scale, dropout_p)[0]


def attend(
    query: Any, key: Any, value: Any, keep: Array | None, bias: Any, scale: float | None,
    dropout_p: float,
) -> tuple[Any, Any]:
    """(softmax(query keyᵀ scale + bias) value, its weights (*, S, L)), where ``keep`` holds.

    Keys stand before queries in the weights: along an axis that is not the last, NumPy finds the
    largest of 32 values 6 times faster. All is computed without checks, in the dtype of query.
    """
    narrow = query.dtype.itemsize == 2
    if narrow:
        dtype = query.dtype
        query, key, value = (cast(x, dtype="float32") for x in (query, key, value))
    width = query.shape[-1]
    if scale is None:
        scale = 1 / math.sqrt(width) if width else 1.0
    scores = key @ swapaxes(query * scale, first=-1, second=-2)
    if bias is not None:
        scores = scores + swapaxes(bias, first=-1, second=-2)
    if keep is not None:
        keep = keep.swapaxes(-1, -2)
    softmax = whole_softmax if keep is None else masked_softmax
    weights = dropout(softmax(scores, keep, axis=-2), dropout_p)
    y = swapaxes(swapaxes(value, first=-1, second=-2) @ weights, first=-1, second=-2)
    return (cast(y, dtype=dtype), cast(weights, dtype=dtype)) if narrow else (y, weights)


def _check_inputs(query: Any, key: Any, value: Any) -> None:
    """Raise for what is no tensor, no float, or of another dtype or size than the others."""
    named = {"query": query, "key": key, "value": value}
    for name, x in named.items():
        if not isinstance(x, Value):
            raise not_a_tensor(WHO, x, name)
        if x.array.dtype != query.array.dtype or x.array.dtype.kind != "f":
            kinds = ", ".join(str(x.array.dtype) for x in named.values())
            raise DtypeError(f"{WHO}: expected query, key and value of one floating dtype, got "
                             f"{kinds}; call .to(dtype)")
    shapes = [x.array.shape for x in named.values()]
    q, k, v = shapes
    if min(map(len, shapes)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ShapeError(f"{WHO}: expected query (*, L, E), key (*, S, E) and value (*, S, Ev), "
                         f"got {q}, {k} and {v}")


def _shared(query: Tensor, x: Tensor, name: str) -> Tensor:
    """Each head of x as often as there are queries for it."""
    q, shape = query.array.shape, x.array.shape
    if len(q) < 3 or len(shape) < 3:
        raise DimError(f"{WHO}: expected a dimension of heads before the last two for enable_gqa, "
                       f"got query {q} and {name} {shape}")
    if not shape[-3] or q[-3] % shape[-3]:
        raise ShapeError(f"{WHO}: expected the heads of {name} to divide those of query for "
                         f"enable_gqa, got {shape[-3]} and {q[-3]}")
    times = q[-3] // shape[-3]
    if times == 1:
        return x
    apart = reshape(x, shape=(*shape[:-2], 1, *shape[-2:]))
    many = broadcast_to(apart, shape=(*shape[:-2], times, *shape[-2:]))
    repeated: Tensor = reshape(many, shape=(*shape[:-3], q[-3], *shape[-2:]))
    return repeated


def _scores_shape(query: Tensor, key: Tensor, value: Tensor) -> tuple[int, ...]:
    """(*, L, S)"""
    q, k, v = query.array.shape, key.array.shape, value.array.shape
    try:
        np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
        return (*np.broadcast_shapes(q[:-2], k[:-2]), q[-2], k[-2])
    except ValueError:
        raise ShapeError(f"{WHO}: expected the dimensions before the last two to broadcast, got "
                         f"query {q}, key {k} and value {v}; with fewer heads in key and value "
                         "pass enable_gqa=True") from None


def _read_mask(mask: Any, query: Tensor, shape: tuple[int, ...]) -> tuple[Array | None, Any]:
    """(which scores count, what is added to them) of a mask that broadcasts to ``shape``."""
    if not isinstance(mask, Value):
        raise not_a_tensor(WHO, mask, "attn_mask")
    kind = mask.array.dtype
    if kind.kind != "b" and kind not in (query.array.dtype, np.dtype("float32")):
        raise DtypeError(f"{WHO}: expected an attn_mask of bools, float32 or the inputs' "
                         f"{query.array.dtype}, got {kind}")
    own = mask.array.shape
    try:
        fits = np.broadcast_shapes(own, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{WHO}: expected an attn_mask that broadcasts to the scores "
                         f"(*, L, S) = {shape}, got {own}")
    if len(own) < 2:
        mask = reshape(mask, shape=(1,) * (2 - len(own)) + own)
    return (mask.array, None) if kind.kind == "b" else (None, mask)
