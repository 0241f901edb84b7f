"""Layers, losses and their functions, in PyTorch's names.

    module.py         Module, Buffer                     container.py   Sequential, ModuleList, …
    linear.py         Linear, Identity, Flatten          activation.py  ReLU, GELU, Softmax, …
    convolution.py    Conv1d, Conv2d                     pooling.py     MaxPool2d, AvgPool2d, …
    normalization/    BatchNorm, LayerNorm, …            dropout.py     Dropout
    cross_entropy.py  CrossEntropyLoss, NLLLoss          loss.py        MSELoss, BCELoss, …
    embedding.py      Embedding                          attention.py   scaled_dot_product_attention
    multihead.py      MultiheadAttention                 transformer.py TransformerEncoderLayer
    functional.py     the functions without state        init.py        initial values
    utils/            clip_grad_norm_, freeze, fuse, recalibrate, parametrizations, …
"""

from .. import public
from ..tensors.tensor import Parameter
from . import functional, init, utils
from .activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .container import ModuleDict, ModuleList, Sequential
from .convolution import Conv1d, Conv2d, LazyConv1d, LazyConv2d
from .cross_entropy import CrossEntropyLoss, NLLLoss
from .dropout import Dropout
from .embedding import Embedding
from .lazy import UninitializedBuffer, UninitializedParameter
from .linear import Flatten, Identity, LazyLinear, Linear, Unflatten
from .loss import BCELoss, BCEWithLogitsLoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from .module import Buffer, Module
from .multihead import MultiheadAttention
from .normalization import (
    TLU,
    AdaIN,
    AdaptiveNorm,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BatchRenorm1d,
    BatchRenorm2d,
    BatchRenorm3d,
    ConditionalBatchNorm1d,
    ConditionalBatchNorm2d,
    ConditionalBatchNorm3d,
    DyT,
    EvoNormB0,
    EvoNormS0,
    FiLM,
    FilterResponseNorm1d,
    FilterResponseNorm2d,
    FilterResponseNorm3d,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    IterNorm,
    LayerNorm,
    LazyBatchNorm1d,
    LazyBatchNorm2d,
    LazyBatchNorm3d,
    LazyInstanceNorm1d,
    LazyInstanceNorm2d,
    LazyInstanceNorm3d,
    LocalResponseNorm,
    RMSNorm,
    ScaleNorm,
    SwitchableNorm1d,
    SwitchableNorm2d,
    SwitchableNorm3d,
    SyncBatchNorm,
)
from .pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from .transformer import TransformerEncoderLayer

__all__ = [
    "ELU", "GELU", "TLU", "AdaIN", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveNorm",
    "AvgPool1d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d",
    "BatchNorm3d", "BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d", "Buffer",
    "ConditionalBatchNorm1d", "ConditionalBatchNorm2d", "ConditionalBatchNorm3d", "Conv1d",
    "Conv2d", "CrossEntropyLoss", "Dropout", "DyT", "Embedding", "EvoNormB0", "EvoNormS0", "FiLM",
    "FilterResponseNorm1d", "FilterResponseNorm2d", "FilterResponseNorm3d", "Flatten",
    "GhostBatchNorm", "GroupNorm", "HuberLoss", "Identity", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "IterNorm", "L1Loss", "LayerNorm", "LazyBatchNorm1d", "LazyBatchNorm2d",
    "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d", "LazyLinear", "LeakyReLU", "Linear", "LocalResponseNorm", "LogSoftmax",
    "MSELoss", "MaxPool1d", "MaxPool2d", "Module", "ModuleDict", "ModuleList", "MultiheadAttention",
    "NLLLoss", "Parameter", "RMSNorm", "ReLU", "ScaleNorm", "Sequential", "SiLU", "Sigmoid",
    "SmoothL1Loss", "Softmax", "Softplus", "SwitchableNorm1d", "SwitchableNorm2d",
    "SwitchableNorm3d", "SyncBatchNorm", "Tanh", "TransformerEncoderLayer", "Unflatten",
    "UninitializedBuffer", "UninitializedParameter", "functional", "init", "normalization", "utils",
]  # fmt: skip

public.publish(globals())
