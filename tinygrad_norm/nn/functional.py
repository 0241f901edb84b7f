"""The layers' functions without state: a table of contents. Each stands beside its layer."""

from .. import public
from .activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from .attention import scaled_dot_product_attention
from .convolution import conv1d, conv2d
from .cross_entropy import cross_entropy, nll_loss
from .dropout import dropout
from .embedding import embedding
from .folding import fold, unfold
from .linear import linear
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .normalization.adaptive import adaptive_instance_norm, film
from .normalization.batch import batch_norm
from .normalization.batch_renorm import batch_renorm
from .normalization.conditional import conditional_batch_norm
from .normalization.dyt import dyt
from .normalization.evonorm import evonorm_b0, evonorm_s0
from .normalization.filter_response import filter_response_norm, tlu
from .normalization.ghost import ghost_batch_norm
from .normalization.group import group_norm
from .normalization.instance import instance_norm
from .normalization.iter_norm import iter_norm
from .normalization.layer import layer_norm
from .normalization.local_response import local_response_norm
from .normalization.rms import rms_norm
from .normalization.scale_norm import normalize, scale_norm
from .normalization.switchable import switchable_norm
from .padding import pad
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_instance_norm", "avg_pool1d",
    "avg_pool2d", "batch_norm", "batch_renorm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "conditional_batch_norm", "conv1d", "conv2d",
    "cross_entropy", "dropout", "dyt", "elu", "embedding", "evonorm_b0", "evonorm_s0", "film",
    "filter_response_norm", "fold", "gelu", "ghost_batch_norm", "group_norm", "huber_loss",
    "instance_norm", "iter_norm", "l1_loss", "layer_norm", "leaky_relu", "linear",
    "local_response_norm", "log_softmax", "max_pool1d", "max_pool2d", "mse_loss", "nll_loss",
    "normalize", "pad", "relu", "rms_norm", "scale_norm", "scaled_dot_product_attention", "sigmoid",
    "silu", "smooth_l1_loss", "softmax", "softplus", "switchable_norm", "tanh", "tlu", "unfold",
]  # fmt: skip

public.publish(globals())
