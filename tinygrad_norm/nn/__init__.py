"""Layers, losses and their functions, in PyTorch's names.

    module.py         Module, Buffer                     container.py   Sequential, ModuleList, …
    linear.py         Linear, Identity, Flatten          activation.py  ReLU, GELU, Softmax, …
    normalization/    BatchNorm, LayerNorm, …            dropout.py     Dropout
    cross_entropy.py  CrossEntropyLoss, NLLLoss          loss.py        MSELoss, BCELoss, …
    functional.py     the functions without state        init.py        initial values
    utils/            clip_grad_norm_, clip_grad_value_
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
from .linear import Flatten, Identity, Linear
from .loss import BCELoss, BCEWithLogitsLoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from .module import Buffer, Module
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BatchRenorm1d,
    BatchRenorm2d,
    BatchRenorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)

__all__ = [
    "ELU", "GELU", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
    "BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d", "Buffer", "CrossEntropyLoss", "Dropout",
    "Flatten", "GroupNorm", "HuberLoss", "Identity", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss",
    "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter", "RMSNorm", "ReLU", "Sequential",
    "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus", "Tanh", "functional", "init", "utils",
]  # fmt: skip
