"""``tn.study.trace``: a layer or a function, and the walk through it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.graph import Value, wrap
from ...autograd.mode import ANOMALY, GRAD, UNHOOKED, Mode, statistics_enabled
from ...errors import DtypeError
from ...nn.lazy import LazyModuleMixin
from ...nn.module import Module
from ...tensors.random import get_rng_state, set_rng_state
from ...tensors.tensor import Tensor
from . import recorded
from .arrangement import kind_of
from .jacobians import ENTRIES, jacobians
from .limits import given, outward
from .norms import engine, walk
from .study import Study
from .truth import apart, decomposition, identities, truth, wrong


class studied(Mode):
    """All is recorded, NaN is no error, and no hook on a gradient is called."""

    on = GRAD | UNHOOKED
    off = ANOMALY


def trace(layer: Callable[..., Any], *inputs: Any, grad_output: Any = None) -> Study:
    """Walk forward and then backward through ``layer``, one formula at a time.

    Args:
        layer: a norm layer (BatchNorm, BatchRenorm, LayerNorm, InstanceNorm, GroupNorm, RMSNorm),
            which is opened into stages with the names of Kratzert's walk through BatchNorm, in its
            mode, training or eval; or any other module, or a function of tensors that returns one,
            which is walked as the engine recorded it. A layer is copied, and all of it computed in
            float64: yours, its statistics and gradients and the random state stay as they were.
            Hooks on gradients are not called.
        inputs: tensors or arrays of at most 512 values.
        grad_output: the gradient of the result; by default 1 for a single value, else normal
            numbers of a fixed seed (of a gradient of ones BatchNorm would make dx = 0).

    Returns:
        Plain data: see :mod:`tinygrad_norm.study.walk.study`. Printed, it is a text.

    Raises:
        TypeError: no layer or function, no tensors. ValueError: too much to look at.

    >>> import tinygrad_norm as tn
    >>> study = tn.study.trace(lambda x, w: (x @ w).relu().sum(), tn.randn(2, 3), tn.randn(3, 2))
    >>> [node.formula.text for node in study.forward if node.formula]
    ['v1 = x @ w', 'v2 = max(v1, 0)', 'out = Σ v2']
    """
    if isinstance(layer, type) or not callable(layer):
        raise TypeError(f"trace: expected a layer or a function of tensors, got {layer!r}; of a "
                        "class make a layer first")
    if not inputs:
        raise TypeError("trace: expected inputs after the layer, got none")
    arrays = given(inputs)
    first = inputs[0]
    dtype = (first.array if isinstance(first, Value) else first).dtype
    before = get_rng_state()
    try:
        with studied(), np.errstate(all="ignore"):
            if isinstance(layer, Module):
                layer = copy.deepcopy(layer)
                if isinstance(layer, LazyModuleMixin):
                    layer.initialize_parameters(wrap(Tensor, arrays[0]))
            kind = kind_of(layer) if len(inputs) == 1 else ""
            found = _norm(layer, kind, arrays[0], dtype, grad_output) if kind else (
                recorded.study(layer, arrays, grad_output))
    finally:
        set_rng_state(before)
    found.dtype = str(dtype)
    return found


def _norm(layer: Any, kind: str, x: np.ndarray, dtype: np.dtype, grad_output: Any) -> Study:
    if x.dtype.kind != "f":
        raise DtypeError(f"trace: expected a floating point input, got {x.dtype}; call .float()")
    title = repr(layer)
    if kind == "rms_norm" and layer.eps is None:  # that of the dtype which the layer computes in
        layer.eps = float(np.finfo(np.promote_types(dtype, np.float32)).eps)
    layer.to(device="cpu", dtype=np.float64)
    dy = outward(grad_output, x.shape)
    fused = engine(layer, x, dy)
    found = walk(layer, kind, x, dy)
    steps = [node.name for node in found.forward if node.step]
    mode = "" if found.norm.mean is None else "train" if layer.training else "eval"
    return Study(
        title, kind, mode, "", found.norm.arrangement, found.forward, found.backward, found.forks,
        steps + [g.name for g in found.backward], found.output, truth(found, dy, fused),
        decomposition(found), wrong(found), identities(found, dy), jacobians(layer, found),
        _notes(found, fused, x))


def _notes(found: Any, fused: Any, x: np.ndarray) -> list[str]:
    """What is worth a sentence, each of it measured."""
    notes = []
    output = found.values[found.output].reshape(x.shape)
    notes.append(f"The staged output and the layer's are {_apart(output, fused.y)}.")
    if not np.isfinite(x).all():
        notes.append(f"x holds {int((~np.isfinite(x)).sum())} NaN or infinite values.")
    elif np.isfinite(fused.y).all():
        notes += [f"{node.name} is too large for float64; the layer divides x by a power of two "
                  "first." for node in found.forward if not node.finite][:1]
    if found.norm.own and found.norm.arrangement.n**2 > ENTRIES:
        notes.append(f"The Jacobian of {found.norm.arrangement.n} values is left out: it would be "
                     "too much to look at.")
    if not found.norm.own:
        notes.append("The statistics are given: no gradient flows into them, no cell of x sees "
                     "another.")
    if "r" in found.values:
        notes.append(_renormalized(found.values))
    for name, buffer in fused.buffers.items():
        new = found.values.get(f"new_{name}")
        if new is not None and statistics_enabled():
            notes.append(f"new_{name} and what the layer makes of {name} are "
                         f"{_apart(new.reshape(buffer.shape), buffer)}."
                         if np.isfinite(new).all() else
                         f"The layer does not take this batch into {name}.")
    return notes


def _renormalized(values: Any) -> str:
    """Of BatchRenorm: whether x̂ is what the running statistics alone would give."""
    wide, off = values["sqrtvar"], values["mu"] - values["running_mean"]
    bounded = int((values["r"] != wide / values["running_std"]).sum()
                  + (values["d"] != off / values["running_std"]).sum())
    usual = (values["x"] - values["running_mean"]) / values["running_std"]
    return (f"At their bounds are {bounded} of {2 * wide.size} values of r and d; xhat and "
            f"(x - running_mean) / running_std are {_apart(values['xhat'], usual)}.")


def _apart(a: np.ndarray, b: np.ndarray) -> str:
    size = apart(a, b)
    return ("not the same" if size is None else
            f"{size:.1e} apart at most" if size else "the same to the last bit")
