"""``normal.py`` for CuPy: each formula is fused into one kernel, which ``cupy.fuse`` writes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from . import normal
from .array import Array
from .choose import implements


@cache
def fused(formula: Callable[..., Any], **settings: float) -> Callable[[Array], Array]:
    """An elementwise formula as one kernel, instead of one for each operation."""
    name = f"normal_{formula.__name__}"
    return importlib.import_module("cupy").fuse(kernel_name=name)(partial(formula, **settings))


for formula in (normal.erf, normal.gelu, normal.gelu_slope, normal.gelu_curvature,
                normal.gaussian):
    implements(formula, "cupy")(
        lambda x, formula=formula, **settings: fused(formula, **settings)(x))
