"""The block that transformers are stacked from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensors.tensor import Tensor
from .activation import gelu, relu
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .multihead import MultiheadAttention
from .normalization.layer import LayerNorm

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}


class TransformerEncoderLayer(Module):
    """x = norm1(src + attention(src)); y = norm2(x + W₂ activation(W₁ x + b₁) + b₂).

    With ``norm_first`` the norms stand within the branches, where a deep stack trains without a
    warm-up: x = src + attention(norm1(src)); y = x + W₂ activation(W₁ norm2(x) + b₁) + b₂.
    In training, dropout acts on the attention's weights, after it, within the second branch and
    after it.

    Shape:
        src, y: (L, N, d_model), (N, L, d_model) with batch_first, or (L, d_model)
        src_mask, src_key_padding_mask: as attn_mask and key_padding_mask of ``MultiheadAttention``

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norm_first: Xiong et al. 2020,
    arXiv:2002.04745.

    >>> import tinygrad_norm as tn
    >>> tn.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(tn.randn(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = relu, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(activation, str):
            if activation not in ACTIVATIONS:
                raise RuntimeError("TransformerEncoderLayer: expected activation relu, gelu or a "
                                   f"function, got {activation!r}")
            activation = ACTIVATIONS[activation]
        options: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first,
                                            **options)
        self.linear1 = Linear(d_model, dim_feedforward, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None, is_causal: bool = False,
    ) -> Tensor:
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = src + self._attended(self.norm1(src), *masks)
            return x + self._transformed(self.norm2(x))
        x = self.norm1(src + self._attended(src, *masks))
        y: Tensor = self.norm2(x + self._transformed(x))
        return y

    def _attended(self, x: Tensor, mask: Any, padding: Any, is_causal: bool) -> Tensor:
        y, _ = self.self_attn(x, x, x, attn_mask=mask, key_padding_mask=padding,
                              need_weights=False, is_causal=is_causal)
        dropped: Tensor = self.dropout1(y)
        return dropped

    def _transformed(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        dropped: Tensor = self.dropout2(y)
        return dropped
