"""The functions of ``backend/normal.py`` for jets, from erf and exp alone: jets judge the rest."""

from __future__ import annotations

import math
from typing import Any

from ..backend import normal
from ..backend.choose import implements
from .jet import WIDE, Jet
from .jet_functions import analytic


@implements(normal.erf, Jet)
def erf(x: Jet) -> Jet:
    return analytic("erf", x)


@implements(normal.gaussian, Jet)
def gaussian(x: Jet, *, rate: float, scale: float) -> Any:
    return analytic("exp", x * x * -rate) * scale


def cdf(x: Jet) -> Any:
    """Φ(x)"""
    return (analytic("erf", x * (1 / WIDE(2) ** 0.5)) + 1) * 0.5


def density(x: Jet) -> Any:
    """φ(x)"""
    return analytic("exp", x * x * -0.5) * (1 / (2 * WIDE(math.pi)) ** 0.5)


@implements(normal.gelu, Jet)
def gelu(x: Jet) -> Any:
    return x * cdf(x)


@implements(normal.gelu_slope, Jet)
def gelu_slope(x: Jet) -> Any:
    return cdf(x) + x * density(x)


@implements(normal.gelu_curvature, Jet)
def gelu_curvature(x: Jet) -> Any:
    return density(x) * (2 - x * x)
