"""Arrays and kernels. Knows neither tensors nor the graph. Its files are imported by their names.
"""

from .. import public
from . import normal_cupy as normal_cupy  # these register kernels
from . import normal_loops as normal_loops
from . import normal_numpy as normal_numpy
from . import passes as passes

__all__: list[str] = []

public.publish(globals())
