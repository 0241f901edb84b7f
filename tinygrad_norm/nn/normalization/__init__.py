"""The normalization layers. One algebra: what is reduced, what is centred, where weight varies.

    layer              reduced                 centred   weight, bias       remembers
    BatchNorm1d/2d/3d  N, *spatial             yes       (C,)               mean, variance
    BatchRenorm1d/…    N, *spatial             yes       (C,)               mean, deviation
    GhostBatchNorm     some of N, *spatial     yes       (C,)               mean, variance
    SyncBatchNorm      N of all shards, …      yes       (C,)               mean, variance
    IterNorm           N, *spatial             yes       (C,)               mean, whitening matrix
    SwitchableNorm1d/… all of these, mixed     yes       (C,)               mean, variance
    EvoNormB0          N, *spatial; *spatial   no        (C,)               variance
    InstanceNorm1d/…   *spatial                yes       (C,)               if asked for
    FilterResponse…    *spatial                no        (C,)               nothing
    EvoNormS0          C/groups, *spatial      no        (C,)               nothing
    GroupNorm          C/groups, *spatial      yes       (C,)               nothing
    LayerNorm          the last k              yes       normalized_shape   nothing
    RMSNorm            the last k              no        normalized_shape   nothing
    ScaleNorm          the last k              no        (1,)               nothing
    LocalResponseNorm  some channels about c   no        nothing            nothing
    ConditionalBatch…  N, *spatial             yes       (classes, C)       mean, variance
    AdaIN              *spatial                yes       from a style       nothing
    FiLM, AdaptiveNorm none; those of its norm           from a condition   what its norm does
    DyT                none: no normalization  no        normalized_shape   nothing

A file a norm, its function above, its layer below. Beside them: ``algebra.py``, what they are made
of (``ops.normalize`` and ``ops.moments``, whose formulas and gradient stand in
``backend/reference.py``); ``running.py``, running statistics; ``checks.py``, of inputs;
``norm.py``, ``channel.py`` and ``lazy.py``, the bases of the layers; ``shards.py``, a batch in
several places.
"""

from typing import TYPE_CHECKING

from ... import public
from .adaptive import AdaIN, AdaptiveNorm, FiLM
from .batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .batch_renorm import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d, renorm_ramp
from .conditional import (
    ConditionalBatchNorm1d,
    ConditionalBatchNorm2d,
    ConditionalBatchNorm3d,
)
from .dyt import DyT
from .evonorm import EvoNormB0, EvoNormS0
from .filter_response import (
    TLU,
    FilterResponseNorm1d,
    FilterResponseNorm2d,
    FilterResponseNorm3d,
)
from .ghost import GhostBatchNorm
from .group import GroupNorm
from .instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .iter_norm import IterNorm
from .layer import LayerNorm
from .lazy import (
    LazyBatchNorm1d,
    LazyBatchNorm2d,
    LazyBatchNorm3d,
    LazyInstanceNorm1d,
    LazyInstanceNorm2d,
    LazyInstanceNorm3d,
)
from .local_response import LocalResponseNorm
from .rms import RMSNorm
from .scale_norm import ScaleNorm
from .switchable import SwitchableNorm1d, SwitchableNorm2d, SwitchableNorm3d
from .sync import SyncBatchNorm, run_on_shards

__all__ = [
    "TLU",
    "AdaIN", "AdaptiveNorm",
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
    "BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d",
    "ConditionalBatchNorm1d", "ConditionalBatchNorm2d", "ConditionalBatchNorm3d",
    "DyT",
    "EvoNormB0",
    "EvoNormS0",
    "FiLM",
    "FilterResponseNorm1d", "FilterResponseNorm2d", "FilterResponseNorm3d",
    "GhostBatchNorm",
    "GroupNorm",
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
    "IterNorm",
    "LayerNorm",
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d",
    "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d",
    "LocalResponseNorm",
    "RMSNorm",
    "ScaleNorm",
    "SwitchableNorm1d", "SwitchableNorm2d", "SwitchableNorm3d",
    "SyncBatchNorm",
    "diagnose",
    "equivalences",
    "recalibrate",
    "renorm_ramp",
    "run_on_shards",
    "swap",
]  # fmt: skip

if TYPE_CHECKING:
    from ...proof.equivalence import equivalences
    from ..care.diagnosis import diagnose
    from ..care.recalibration import recalibrate
    from ..care.swap import swap

LATER = {"diagnose": "..care.diagnosis", "equivalences": "...proof.equivalence",
         "recalibrate": "..care.recalibration", "swap": "..care.swap"}
"""Functions that are rarely used, and the files that are imported when they are asked for."""

public.publish(globals(), LATER)
