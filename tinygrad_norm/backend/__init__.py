"""Arrays and kernels. Knows neither tensors nor the graph."""

from . import normal_cupy as normal_cupy  # these register kernels
from . import normal_numpy as normal_numpy
