"""The error function, and GELU with what the normal distribution gives for it.

Q(t) = 1 - Φ(t) is the upper tail of the normal distribution, φ(t) = e^(-t²/2) / √2π its density.
With t = |x|, no sum below loses digits, as 1 + erf does in GELU(x) = x (1 + erf(x/√2)) / 2:

    gelu(x)   = x Φ(x)         = max(x, 0) - t Q(t)
    gelu'(x)  = Φ(x) + x φ(x)  = V(t) where x < 0, else 1 - V(t),  V(t) = Q(t) - t φ(t)
    gelu''(x) = φ(x) (2 - x²)

V has a factor ROOT - t, and 2 - x² is rounded but once: beside their zeros they are exact too. All
is in float64, whatever the dtype of x. ``normal_numpy.py`` and ``normal_cupy.py`` have the kernels
of NumPy and CuPy; the formulas here serve all other arrays and are their specification.

Of 20 million float64, erf was within 1.3 units in the last place of its exact value, the others
within 4 (a few within 4.2), down to the smallest numbers there are. The series, interpolations at
Chebyshev points, are computed by ``docs/normal.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .array import Array, array_module

FARTHEST = 39.0
"""e^(-t²/2) is 0 from here on."""

# -- as docs/normal.py prints them -----------------------------------------------------------------

ERF = (0.1283791670955126, -0.37612638903183754, 0.1128379167095512, -0.02686617064512984,
    0.0052239776254232985, -0.000854832702193483, 0.00012055332902888736, -1.4925647567519332e-05,
    1.6462045441468418e-06, -1.6364642158167616e-07, 1.4792401209404813e-08,
    -1.216456005728345e-09, 8.709045129053106e-11, -4.230945824295338e-12)
NEAR = (0.15865525393145705, 0.24197072451914342, 0.12098536225956473, 2.6534489921846493e-13,
    -0.020164227048607188, -0.004032845343166318, 0.0020164221739044706, 0.0007681640255088119,
    -0.00012003737126635405, -8.798170230561191e-05, 1.7843241588704028e-06, 7.511256087097958e-06,
    2.9532066809308126e-07, -3.171176492533509e-07, -1.7745971458941134e-07, 7.631082517643367e-08,
    -8.078873750907034e-09)
FAR = (-0.2379792927157254, 0.6839685001323706, -0.6430718288917483, 0.32237084884308204,
    -0.22839755876015394, 0.21474838034453975, -0.16350930951649734, 0.1402864104116834,
    -0.1280532915969368, 0.10963327212462892, -0.10004026986658233, 0.0914823338576457,
    -0.08282918923354811, 0.07705927238941726, -0.07087872671005997, 0.06581024324193036,
    -0.06515104681108956, 0.07303171995115931, -0.08909343500377537, 0.09985734065574711,
    -0.08932403230733856, 0.058372878880342094, -0.025640876349866153, 0.006685538877184103,
    -0.0007764151479456657)
SLOPE = (0.16576674580061232, -0.22363345732643022, 0.10580638348673985, -0.03523280830403942,
    0.004337346133237115, 0.0031636147803545643, -0.0020630090374927274, 0.0002782536824811009,
    0.00026354196883357565, -0.00014150772457914126, -2.3952041676899495e-07,
    2.3933045490275012e-05, -6.77549819437437e-06, -1.675576408588031e-06, 1.3552371026299614e-06,
    -2.0319826610034336e-07, -7.460550745151909e-08, 7.124217748136814e-08,
    -2.7935068927018282e-08, -7.706125091145794e-09, 8.742874528075384e-09, 1.2879353457107282e-10,
    -1.0210779181489822e-09)
SHORT_ERF = (0.12837916584835093, -0.37612626666720334, 0.11283594715160218, -0.026854212010626412,
    0.005189087423433974, -0.000801686428716587, 7.875875062685488e-05)
SHORT_TAIL = (0.7552851385103706, -0.6078966060738091, 0.3871366797947066, -0.18652300589738766,
    0.06040646974830364, -0.007527212911679855, -0.003523574056351906, 0.0015693136450922462,
    0.00019480185114246543, -0.00012298315700526609)
SHORT_SLOPE = (0.46221124424878235, -0.10336589788300747, 0.06046291785606481,
    -0.028083366840049747, 0.009505235972150894, -0.0017882249432994532, -0.00015618318187539696,
    0.00018541036754678912, -1.3716074087555644e-05, -1.6417497554841768e-05)
SCALE = (87.78533935546875, -2.437957503945943e-07)
ROOT = (0.7517915246935645, -1.4956759177009883e-17)

OFFSET = 15 / 16
"""What FAR and SLOPE have been raised by, and SCALE lowered, so that they are small."""
LOG_DENSITY = OFFSET - math.log(math.sqrt(2 * math.pi))


def in_float64(formula: Callable[..., Any]) -> Callable[..., Any]:
    """``formula`` computed in float64; the result has the dtype of the input."""

    @wraps(formula)
    def compute(x: Array, **settings: float) -> Array:
        return formula(x.astype("float64"), **settings).astype(x.dtype)

    return compute


# -- what the functions are made of ----------------------------------------------------------------


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Σ cᵢ xⁱ, by Horner's rule."""
    y = x * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        y *= x
        y += c
    return y


def split(t: Array, places: int) -> tuple[Array, Array]:
    """t to so many binary places, and the rest; both exact."""
    z = array_module(t).rint(t * 2.0**places) * 2.0**-places
    return z, t - z


def scaled_exp(t: Array, y: Array | float, rate: float = 0.5) -> Array:
    """e^(y - 15/16 - rate t²) 2¹²⁸, where rate is a power of two.

    With t² rounded, e^(-t²) would lose as many digits as t² has before the point; so t² is taken as
    z², which is exact, and (t - z)(t + z) (Cody 1969, for erfc). The scale leaves the smallest
    results all their digits until the last product.
    """
    exp = array_module(t).exp
    z, rest = split(t, 20)
    return exp(z * z * -rate + SCALE[0]) * exp(rest * (t + z) * -rate + SCALE[1] + y)


def two_minus_square(t: Array) -> Array:
    """2 - t², rounded once: near √2 all but the last difference is exact."""
    a, rest = split(t, 20)
    b, c = split(rest, 36)
    return 2 - a * a - (2 * a * rest + b * b) - (2 * b + c) * c


def quotient(t: Array, centre: float) -> Array:
    return (t - centre) / (t + centre)


def tail_beyond_1(t: Array) -> Array:
    """t Q(t) for t >= 1"""
    return scaled_exp(t, polynomial(FAR, quotient(t, 1.5))) * 2.0**-128


def half_tail(t: Array) -> Array:
    """max(t, 1) Q(t)"""
    module = array_module(t)
    near = polynomial(NEAR, 1 - module.minimum(t, 1.0))
    return module.where(t < 1, near, tail_beyond_1(module.maximum(t, 1.0)))


def upper_tail(t: Array) -> Array:
    """Q(t) for t from 0 to FARTHEST"""
    return half_tail(t) / array_module(t).maximum(t, 1.0)


def size(x: Array, most: float = FARTHEST) -> Array:
    """|x|, at most ``most``: so infinities need no care"""
    module = array_module(x)
    return module.minimum(module.abs(x), most)


# -- the functions ---------------------------------------------------------------------------------


@in_float64
def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ exp(-t²) dt, as x + x P(x²) up to 1 and as 1 - 2 Q(√2 x) beyond"""
    module = array_module(x)
    t = size(x, 6.0)
    small = module.minimum(t, 1.0)
    near = small * polynomial(ERF, small * small) + small
    u = module.maximum(t, 1.0) * math.sqrt(2)
    far = 1 - 2 * tail_beyond_1(u) / u
    return module.copysign(module.where(t < 1, near, far), x)


@in_float64
def gelu(x: Array) -> Array:
    """x Φ(x)"""
    module = array_module(x)
    t = size(x)
    return module.maximum(0.0, x) - half_tail(t) * module.minimum(t, 1.0)


@in_float64
def gelu_slope(x: Array) -> Array:
    """Φ(x) + x φ(x), the derivative of GELU"""
    module = array_module(x)
    t = size(x)
    v = scaled_exp(t, polynomial(SLOPE, quotient(t, 4.0))) * (ROOT[0] - t + ROOT[1]) * 2.0**-128
    return module.where(x < 0, v, 1 - v)


@in_float64
def gelu_curvature(x: Array) -> Array:
    """φ(x) (2 - x²), the second derivative of GELU"""
    t = size(x)
    return scaled_exp(t, LOG_DENSITY) * two_minus_square(t) * 2.0**-128


@in_float64
def gaussian(x: Array, *, rate: float, scale: float) -> Array:
    """scale exp(-rate x²), rate 1 or 1/2"""
    t = size(x)
    return scaled_exp(t, math.log(scale) + OFFSET, rate) * 2.0**-128
