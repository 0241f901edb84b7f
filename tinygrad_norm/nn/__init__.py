"""Layers, losses and their functions, in PyTorch's names.

    module.py         Module, Buffer                     container.py   Sequential, ModuleList, …
    linear.py         Linear, Identity, Flatten          activation.py  ReLU, GELU, Softmax, …
    normalization/    BatchNorm, LayerNorm, …            dropout.py     Dropout
    cross_entropy.py  CrossEntropyLoss, NLLLoss          loss.py        MSELoss, BCELoss, …
    functional.py     the functions without state        init.py        initial values
    utils/            clip_grad_norm_, freeze, fuse, recalibrate, parametrizations, …
"""

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
from .cross_entropy import CrossEntropyLoss, NLLLoss
from .dropout import Dropout
from .lazy import UninitializedBuffer, UninitializedParameter
from .linear import Flatten, Identity, LazyLinear, Linear
from .loss import BCELoss, BCEWithLogitsLoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from .module import Buffer, Module
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

__all__ = [
    "ELU", "GELU", "TLU", "AdaIN", "AdaptiveNorm", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d",
    "BatchNorm2d", "BatchNorm3d", "BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d", "Buffer",
    "ConditionalBatchNorm1d", "ConditionalBatchNorm2d", "ConditionalBatchNorm3d",
    "CrossEntropyLoss", "Dropout", "DyT", "EvoNormB0", "EvoNormS0", "FiLM", "FilterResponseNorm1d",
    "FilterResponseNorm2d", "FilterResponseNorm3d", "Flatten", "GhostBatchNorm", "GroupNorm",
    "HuberLoss", "Identity", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "IterNorm",
    "L1Loss", "LayerNorm", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d",
    "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear", "LeakyReLU",
    "Linear", "LocalResponseNorm", "LogSoftmax", "MSELoss", "Module", "ModuleDict", "ModuleList",
    "NLLLoss", "Parameter", "RMSNorm", "ReLU", "ScaleNorm", "Sequential", "SiLU", "Sigmoid",
    "SmoothL1Loss", "Softmax", "Softplus", "SwitchableNorm1d", "SwitchableNorm2d",
    "SwitchableNorm3d", "SyncBatchNorm", "Tanh", "UninitializedBuffer", "UninitializedParameter",
    "functional", "init", "utils",
]  # fmt: skip
