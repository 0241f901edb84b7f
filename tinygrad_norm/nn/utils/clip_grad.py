"""Gradients limited in place, by the norm of all of them or value by value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ...autograd.graph import Value, tick, wrap
from ...backend.array import Array, array_module, device_of, to_device, to_numpy
from ...backend.choose import expect
from ...tensors.creation import tensor
from ...tensors.tensor import Tensor

Parameters = Tensor | Iterable[Tensor]


def _gradients(who: str, parameters: Parameters) -> list[Value]:
    """The gradients there are; a parameter without one is passed over."""
    if isinstance(parameters, Value):
        parameters = [parameters]
    try:
        return [p._grad for p in parameters if p._grad is not None]
    except AttributeError as error:
        raise TypeError(f"{who}: expected parameters to be tensors; pass model.parameters()"
                        ) from error


def _norm(x: Array, norm_type: float, wide: bool) -> Array:
    """The norm of one array, without dimensions; in float32 at least, squares overflow float16."""
    if not x.size:
        return array_module(x).zeros((), dtype=x.dtype)
    if wide or x.dtype.itemsize < 4:
        x = x.astype("float64" if wide else "float32")
    if norm_type == math.inf:
        return abs(x).max()
    if norm_type == -math.inf:
        return abs(x).min()
    if norm_type == 2:
        flat = x.reshape(-1)
        return array_module(x).sqrt(flat.dot(flat))
    if norm_type == 0:
        return (x != 0).sum().astype(x.dtype)
    return (abs(x) ** norm_type).sum() ** (1 / norm_type)


@np.errstate(over="ignore")
def _total(arrays: Sequence[Array], norm_type: float, wide: bool = False) -> Array:
    """The norm of all values together, which is the norm of the norms.

    In float64 where powers might leave the range of float32, or all vanish.
    """
    ask = expect(type(arrays[0]))
    powers = 0 < abs(norm_type) < math.inf
    wide = wide or (powers and ask is None)
    norms = [_norm(x, norm_type, wide) for x in arrays]
    module, home = array_module(norms[0]), device_of(arrays[0])
    total = _norm(module.stack([to_device(n, home) for n in norms]), norm_type, wide)
    if wide or not powers:
        return total
    reach = 2.0 ** (MODERATE / abs(norm_type))
    moderate = ask is not None and ask(total < reach) and ask(total > 1 / reach)
    return total if moderate else _total(arrays, norm_type, True)


MODERATE = 100
"""So many of the 126 exponents of float32 a sum of powers may use."""


def clip_grad_norm_(
    parameters: Parameters, max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor, so that their norm together is at most ``max_norm``.

    The norm stays on the device: nothing waits for a GPU, but ``error_if_nonfinite`` once.

    Args:
        parameters: tensors, or one; their ``.grad`` is changed in place.
        norm_type: p of the p-norm; inf is the largest absolute value.
        error_if_nonfinite: raise instead of scaling by NaN or 0.
        foreach: accepted, without effect.

    Returns:
        The norm before scaling, without dimensions.

    Raises:
        RuntimeError: the norm is NaN or infinite, if ``error_if_nonfinite``.
    """
    gradients = _gradients("clip_grad_norm_", parameters)
    if not gradients:
        return tensor(0.0)
    total = _total([g.array for g in gradients], float(norm_type))
    module, asked = array_module(total), expect(type(total)) or to_numpy
    if error_if_nonfinite and not asked(module.isfinite(total)):
        raise RuntimeError(f"clip_grad_norm_: the total norm of order {norm_type} is "
                           f"{total.item()}, so gradients cannot be clipped; find its origin with "
                           "detect_anomaly(), or pass error_if_nonfinite=False")
    factor = module.minimum(max_norm / (total + 1e-6), 1.0)
    for gradient in gradients:
        array = gradient.array
        near = to_device(module.asarray(factor), device_of(array))
        # float16 might not have the factor: the product is rounded, not it
        array *= near.astype("float32" if array.dtype.itemsize == 2 else array.dtype)
        gradient.written[0] = tick()
    dtype = gradients[0].array.dtype
    return wrap(Tensor, module.asarray(total).astype(dtype))


def clip_grad_value_(
    parameters: Parameters, clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every gradient to [-clip_value, clip_value], in place; ``foreach`` has no effect."""
    limit = float(clip_value)
    for gradient in _gradients("clip_grad_value_", parameters):
        array = gradient.array
        array_module(array).clip(array, -limit, limit, out=array)
        gradient.written[0] = tick()
