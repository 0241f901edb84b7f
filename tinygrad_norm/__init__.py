"""tinygrad_norm: a tensor and autograd engine to understand, measure and train normalized networks.

Imports run one way:

    backend   arrays: NumPy or CuPy                 ops      primitives with their gradients
    autograd  the graph and the reverse walk        tensors  PyTorch's words on top
    nn, optim, data                                 viz      the graph as a picture
"""

import numpy as _np

from . import autograd
from .autograd.mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .backend.array import Device as device
from .functions import *  # noqa: F403
from .tensors.conversion import from_dlpack, from_numpy
from .tensors.creation import *  # noqa: F403
from .tensors.random import *  # noqa: F403
from .tensors.tensor import Tensor

float16, float32, float64, int32, int64 = map(_np.dtype, ("f2", "f4", "f8", "i4", "i8"))
