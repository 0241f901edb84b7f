"""Other norms in a model's places."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...errors import ShapeError, UninitializedError
from ...tensors.tensor import Parameter
from ..lazy import LazyModuleMixin
from ..module import Module
from ..normalization.batch import BatchNorm
from ..normalization.batch_renorm import BatchRenorm
from .find import check_model, is_unset

BATCH = (BatchNorm, BatchRenorm)
Old = type[Module] | tuple[type[Module], ...] | Callable[[Module], bool]
New = type[Module] | Callable[[Any], Module]


def swap(model: Module, old: Old, new: New) -> dict[str, Module]:
    """Put other layers in the places of a model's norms, all of them or none.

    A class as ``new`` is made with the old layer's number of features, eps, affine and bias, and
    with its momentum if both are batch norms. A function decides itself. Either way the new layer
    has the old one's dtype, device and mode, is frozen as it was, and takes over its weight and
    bias (the parameters themselves), where they have one shape and the function gave no values of
    its own. Between BatchNorm and BatchRenorm the running statistics are carried over too:
    std = √(var + eps). What the new layer has no place for is left out, and so are hooks.

    An optimizer made before knows the parameters that were taken over, not those that are new:
    make it afterwards.

    Args:
        model: changed in place.
        old: a class, a tuple of classes, or a function that says of a layer whether it is meant.
        new: a class, or a function from the old layer to the new one.

    Returns:
        The new layers by name; one that stands in several places once, by its first name. A model
        that is such a layer itself cannot be replaced in place: its successor has the name "".

    Raises:
        TypeError: ``old`` or ``new`` of another kind, or a class that needs more than is known.
        ValueError: a layer whose features cannot be those of the new class, or not yet known.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(3, 4), tn.nn.BatchNorm1d(4))
    >>> tn.nn.normalization.swap(net, tn.nn.BatchNorm1d, lambda bn: tn.nn.GroupNorm(2, 4))
    {'1': GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)}
    """
    check_model("swap", model)
    matches = _matcher(old)
    if not callable(new):
        raise TypeError(f"swap: expected new to be a class or a function, got "
                        f"{type(new).__name__}")
    found: dict[int, tuple[str, Module]] = {}
    inside: set[int] = set()
    for name, module in model.named_modules():
        if id(module) not in inside and matches(module):
            found[id(module)] = name, module
            inside.update(map(id, module.modules()))
    made = {key: _successor(f"swap: {type(layer).__name__} {name!r}", layer, new)
            for key, (name, layer) in found.items()}
    for parent in [m for m in model.modules() if id(m) not in inside]:
        for name, child in parent._entries().items():
            if id(child) in made:
                setattr(parent, name, made[id(child)])
    return {name: made[key] for key, (name, _) in found.items()}


def _matcher(old: Any) -> Callable[[Module], bool]:
    kinds = old if isinstance(old, tuple) else (old,)
    if all(isinstance(kind, type) and issubclass(kind, Module) for kind in kinds):
        return lambda module: isinstance(module, kinds)
    if callable(old) and not isinstance(old, type):
        return old
    raise TypeError(f"swap: expected old to be a class of layers, a tuple of them or a function, "
                    f"got {old!r}")


def _successor(who: str, old: Module, new: New) -> Module:
    if isinstance(old, LazyModuleMixin):
        raise UninitializedError(f"{who}: expected a layer that knows its size; call the model on "
                                 "a batch first, or load a state dict")
    result = _made(who, old, new) if isinstance(new, type) else new(old)
    if not isinstance(result, Module):
        raise TypeError(f"{who}: expected new to give a Module, got {type(result).__name__}")
    if result is old:
        return result
    for held in (*old.parameters(), *old.buffers()):
        if held.is_floating_point():
            result.to(device=held.device, dtype=held.dtype)
            break
    for name, initial in (("weight", 1), ("bias", 0)):
        one, other = getattr(old, name, None), getattr(result, name, None)
        if (isinstance(one, Parameter) and isinstance(other, Parameter)
                and one.shape == other.shape and not (other.array != initial).any().item()):
            setattr(result, name, one)
    _carry_statistics(old, result)
    if old._frozen:
        result._frozen = True
    return result.train(old.training)


def _made(who: str, old: Any, new: type[Module]) -> Module:
    """A layer of the class, with the settings of the old one that its constructor names."""
    weight, bias = getattr(old, "weight", None), getattr(old, "bias", None)
    known: dict[str, Any] = {"affine": weight is not None, "elementwise_affine": weight is not None}
    if weight is not None:
        known["bias"] = bias is not None
    features = _features(old)
    if features:
        known["normalized_shape"] = features
        if len(features) == 1:
            known["num_features"] = known["num_channels"] = features[0]
    if getattr(old, "eps", None) is not None:
        known["eps"] = old.eps
    if hasattr(old, "num_groups"):
        known["num_groups"] = old.num_groups
    if isinstance(old, BatchNorm) and issubclass(new, BatchNorm):
        known |= {"momentum": old.momentum, "track_running_stats": old.track_running_stats}
    settings = {}
    for name, parameter in inspect.signature(new).parameters.items():
        if name in known:
            settings[name] = known[name]
        elif parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{who}: {new.__name__} needs {name}, which is not known of the old "
                            f"layer; pass a function: lambda old: {new.__name__}(...)")
    dims = getattr(old, "dims", (2,))
    if "normalized_shape" in settings and 2 not in dims:
        raise ShapeError(f"{who}: {new.__name__} normalizes the last axes, but here the channels "
                         "are axis 1; pass a function: lambda old: GroupNorm(1, old.num_features)")
    return new(**settings)


def _features(old: Any) -> tuple[int, ...]:
    for name in ("num_features", "num_channels"):
        if hasattr(old, name):
            return (getattr(old, name),)
    return tuple(getattr(old, "normalized_shape", ()))


def _carry_statistics(old: Any, new: Any) -> None:
    """Between norms over the batch; BatchRenorm keeps √(var + eps), BatchNorm var."""
    if not (isinstance(old, BATCH) and isinstance(new, BATCH)):
        return
    mean, own = old.running_mean, new.running_mean
    if mean is None or own is None or mean.shape != own.shape or is_unset(old):
        return
    spread = getattr(old, old.spread).detach()
    if old.spread != new.spread:
        wide = spread.double()
        spread = ((wide + old.eps).sqrt() if new.spread == "running_std"
                  else (wide.square() - old.eps).clamp(min=0))
    own.copy_(mean)
    getattr(new, new.spread).copy_(spread)
    if old.num_batches_tracked is not None and new.num_batches_tracked is not None:
        new.num_batches_tracked.copy_(old.num_batches_tracked)
