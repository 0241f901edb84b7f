"""What training needs beside the layers.

``parametrize``, ``parametrizations`` and ``recalibrate`` are imported when first asked for.
"""

from typing import TYPE_CHECKING

from ... import public
from ..care import fusion
from ..care.freeze import freeze, unfreeze
from ..care.fusion import (
    fuse,
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from .clip_grad import clip_grad_norm_, clip_grad_value_

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "freeze", "fuse", "fuse_conv_bn_eval",
    "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights", "fusion",
    "parametrizations", "parametrize", "recalibrate", "unfreeze",
]  # fmt: skip

if TYPE_CHECKING:
    from ..normalization import recalibrate

public.publish(globals(), {
    "parametrizations": ".parametrizations", "parametrize": ".parametrize",
    "recalibrate": "..care.recalibration"})
