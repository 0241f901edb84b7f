"""What else a learner should see of a norm: cases, and what is said of each.

What is said is measured in the case, and names what its norm reduces.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ...autograd.graph import Value, wrap
from ...nn.lazy import LazyModuleMixin
from ...nn.module import Module
from ...tensors.tensor import Tensor
from .arrangement import arranged, kind_of
from .examples import SHAPES, Example, check_known, example
from .limits import given, outward
from .norms import Walk, norm_of, walk
from .study import Arrangement
from .trace import studied

PAIRS = {"batch_norm": (2, 4), "batch_renorm": (2, 4), "layer_norm": (8, 2),
         "instance_norm": (2, 3, 2), "group_norm": (4, 4), "rms_norm": (8, 2)}
"""Where two values are normalized together."""
TWO = {"N": "batch of 2", "C": "2 features", "L": "2 positions", "K": "groups of 2"}
"""What that is called, by the axis that is reduced."""
SETS = {"N": "sample", "C": "channel", "T": "position", "G": "group"}
"""What is normalized together, by the last axis that is not reduced."""
EPS = (1e-8, 1e-5, 1e-2, 1.0, 100.0)
"""Of the sweep."""


def what_ifs(
    kind: str | Module, x: Any = None, grad_output: Any = None, *, seed: int = 0
) -> list[Example]:
    """Two values to a set, a set that is constant, γ = 0, and a sweep over eps, for a norm.

    Each comes ready for ``trace``: ``[case.trace() for case in what_ifs("batch_norm")]``; and
    ``study.save(path, what_ifs(layer, x))`` shows them beside the study of a layer of your own.
    It has none where its statistics are given: in eval no value sees another.

    Raises:
        TypeError: neither a name nor one of the six norms with its x.
    """
    if isinstance(kind, str):
        check_known(kind)
        case = example(kind, seed=seed)
        two = example(kind, shape=PAIRS[kind], seed=seed)
        return [_few(two, kind), *_others(case, kind)]
    if x is None:
        raise TypeError(f"what_ifs: expected the layer and its x, got {kind!r} alone")
    layer: Any = copy.deepcopy(kind)
    (values,) = given([x])
    if isinstance(layer, LazyModuleMixin):
        layer.initialize_parameters(wrap(Tensor, values))
    own = kind_of(layer) if isinstance(layer, Module) else ""
    if not own:
        raise TypeError(f"what_ifs: expected {', '.join(SHAPES)}, or a layer of these kinds and "
                        f"its x, got {kind!r}")
    if not arranged(layer, own, values.shape).own:
        return []
    if layer.eps is None:  # that of the dtype which the layer computes in
        dtype = x.array.dtype if isinstance(x, Value) else x.dtype
        layer.eps = float(np.finfo(np.promote_types(dtype, np.float32)).eps)
    case = Example(own, "", layer, wrap(Tensor, values),
                   wrap(Tensor, outward(grad_output, values.shape)))
    return [*_first_two(case, own), *_others(case, own)]


def _others(case: Example, kind: str) -> list[Example]:
    found = [_constant(case, kind)]
    if getattr(case.layer, "weight", None) is not None:
        found.append(_zero_gamma(case, kind))
    walked = _walked(case, kind)
    var = float(walked.values["var"].reshape(-1)[0])
    spread = "variance" if walked.norm.arrangement.centred else "mean square"
    for eps in EPS:
        layer: Any = copy.deepcopy(case.layer)
        layer.eps = eps
        found.append(Example(
            f"eps = {eps:g}", f"the larger eps beside the {spread}, the less is normalized, and "
            f"the more is left of a gradient along {_normalized(walked)}: in the first set "
            f"eps / (var + eps) = {eps / (var + eps):.3g} of it", layer, case.x, case.grad_output))
    return found


def _few(case: Example, kind: str) -> Example:
    """The case with its name, and what is left where two values are normalized together."""
    walked = _walked(case, kind)
    found, name = walked.norm.arrangement, _normalized(walked)
    case = replace(case, name=TWO[found.axes[found.reduced[0]]])
    names = ", ".join(found.axes[i] for i in found.reduced)
    along = f"values along {names} are normalized together"
    if found.n > 2:
        return replace(case, says=f"{found.n} {along}")
    sizes = np.sqrt((walked.values[name] ** 2).mean(axis=tuple(found.reduced)))
    off = float(np.abs(sizes - 1).max())
    says = f"the root mean square of {name} is {sizes.min():.2g} to {sizes.max():.2g}"
    if off < 0.1:
        says = (f"only which is the larger is left, {name} = ±1 but for {off:.1e}" if found.centred
                else f"only their direction is left, and their root mean square is 1 but for "
                f"{off:.1e}")
    dx, constant = (norm_of(walked.gradients[one]) for one in (
        "dx", "dxmu1" if found.centred else "dx1"))
    share = 100 * dx / max(constant, 1e-300)
    says += f"; the norm of dx is {share:.2g} % of what it is with constant statistics"
    if "r" in walked.values:
        says += "; xhat = xnorm · r + d, and no gradient flows through r and d"
    return replace(case, says=f"two {along}: {says}")


def _first_two(case: Example, kind: str) -> list[Example]:
    """The first two samples, features or positions, where the norm reduces these alone."""
    x, dy = case.x.array, case.grad_output.array
    layer: Any = copy.deepcopy(case.layer)
    names = arranged(layer, kind, x.shape).arrangement.names
    if not (names in ("C", "L") or names.startswith("N")):
        return []
    cut: Any = slice(2) if names.startswith("N") else (..., slice(2))
    if x[cut].shape == x.shape:
        return []
    if names == "C":
        layer.normalized_shape = (2,)
        for tensor in (layer.weight, getattr(layer, "bias", None)):
            if tensor is not None:
                tensor.data = tensor.data[:2]
    return [_few(replace(case, layer=layer, x=wrap(Tensor, x[cut].copy()),
                         grad_output=wrap(Tensor, dy[cut].copy())), kind)]


def _constant(case: Example, kind: str) -> Example:
    """The first set is a constant."""
    found = arranged(case.layer, kind, case.x.shape).arrangement
    view = np.array(case.x.array).reshape(found.view)
    first = tuple(slice(None) if i in found.reduced else 0 for i in range(view.ndim))
    view[first] = 3.0 if found.centred else 0.0
    case = replace(case, name=f"{'constant' if found.centred else 'zero'} {_set(found)}",
                   x=wrap(Tensor, view.reshape(case.x.shape)))
    walked = _walked(case, kind)
    r, d = (float(walked.values.get(name, np.zeros(1)).reshape(-1)[0]) for name in ("r", "d"))
    factor = float(walked.values["ivar"].reshape(-1)[0])
    says = "all values of the first set are "
    if not found.centred:
        says += f"0: xhat = 0, and its dx is dxhat times 1/√ε = {factor:.4g}"
    elif "r" in walked.values:
        says += (f"3: xnorm = 0 whatever they are, xhat = d = {d:.3g}, and its dx is dxhat less "
                 f"the mean, times r/√ε = {r * factor:.4g}")
    else:
        says += ("3: xhat = 0 whatever they are, and its dx is dxhat less the mean, times 1/√ε = "
                 f"{factor:.4g}")
    return replace(case, says=says)


def _set(found: Arrangement) -> str:
    """What is normalized together, in a word."""
    if found.names == "N":
        return "feature"
    kept = [name for i, name in enumerate(found.axes) if i not in found.reduced]
    return SETS.get(kept[-1], "set") if kept else "set"


def _zero_gamma(case: Example, kind: str) -> Example:
    layer: Any = copy.deepcopy(case.layer)
    layer.weight.array.reshape(-1)[0] = 0.0
    case = replace(case, name="gamma = 0", layer=layer)
    walked = _walked(case, kind)
    zero = np.broadcast_to(walked.values["gamma"] == 0, walked.values["x"].shape)
    how = ("no gradient reaches x" if not walked.gradients["dx"][zero].any() else
           "x gets a gradient by way of the statistics alone")
    return replace(case, says=f"where gamma = 0 {how}, but gamma gets its own: dgamma "
                   f"= {walked.gradients['dgamma'].reshape(-1)[0]:.3g}")


def _walked(case: Example, kind: str) -> Walk:
    with studied(), np.errstate(all="ignore"):
        return walk(case.layer, kind, case.x.array, case.grad_output.array)


def _normalized(walked: Walk) -> str:
    return "xnorm" if "xnorm" in walked.values else "xhat"
