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

__all__ = [
    "ELU", "GELU", "BCELoss", "BCEWithLogitsLoss", "Buffer", "CrossEntropyLoss", "Dropout",
    "Flatten", "HuberLoss", "Identity", "L1Loss", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss",
    "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter", "ReLU", "Sequential", "SiLU",
    "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus", "Tanh", "functional", "init", "utils",
]  # fmt: skip
