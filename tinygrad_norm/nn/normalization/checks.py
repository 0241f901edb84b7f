"""What is checked of a norm's input. What a layer is made with is checked by ``nn/checks.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...backend.array import check_device
from ...errors import DimError, DtypeError, ShapeError, not_a_tensor
from ...ops.rounding import FLOAT16, FLOAT32
from ...tensors.tensor import Tensor
from ..checks import LAST, another_size

if TYPE_CHECKING:
    from .channel import ChannelNorm

FORMS = {2: "(N, {c})", 3: "(N, {c}, L)", 4: "(N, {c}, H, W)", 5: "(N, {c}, D, H, W)"}


def check_input(
    who: str, x: Any, eps: float, *vectors: Tensor | None, shape: tuple[int, ...] | None = None
) -> None:
    """x must be a floating tensor, and running_mean, running_…, weight, bias fit it.

    The vectors, which are named from the last, have x's dtype; beside float16 they may be float32,
    in which the work is done anyway.

    Args:
        x: (N, C, *spatial), or with ``shape`` (*, *shape).
        vectors: (C,) each, or of ``shape``, or None.

    Raises:
        TypeError, DimError, DtypeError, ShapeError, DeviceError: naming what does not fit.
        ValueError: eps < 0.
    """
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    array = x.array
    dtype = array.dtype
    if shape is None:
        shape = array.shape[1:2]
        if not shape:
            raise DimError(f"{who}: expected input (N, C, *spatial), got {array.shape}")
    elif not shape or array.shape[-len(shape):] != shape:
        raise wrong_last_axes(who, shape, array.shape)
    elif 0 in shape:
        raise ShapeError(f"{who}: expected at least one value to normalize over, got "
                         f"normalized_shape={list(shape)}")
    if dtype.kind != "f":
        raise DtypeError(f"{who}: expected a floating point input, got {dtype}; call .float()")
    if not eps >= 0:  # NaN too
        raise ValueError(f"{who}: expected eps >= 0, got {eps}; 1e-5 is the usual one")
    for i, vector in enumerate(vectors):
        if vector is None:
            continue
        other = vector.array
        if other.shape == shape and other.dtype is dtype and type(other) is type(array):
            continue
        name = ("running_mean", "the running spread", "weight", "bias")[i - len(vectors)]
        check_vector(who, name, array, other, shape)


def check_vector(who: str, name: str, x: Any, vector: Any, shape: tuple[int, ...]) -> None:
    """``vector`` must have ``shape`` and the device and dtype of x (beside float16 also float32).

    Raises:
        ShapeError, DeviceError, DtypeError: what does not fit.
    """
    if vector.shape != shape:
        raise ShapeError(f"{who}: expected {name} of shape {shape} for an input of shape "
                         f"{x.shape}, got {vector.shape}")
    check_device(who, "the input", x, name, vector)
    if vector.dtype != x.dtype and (x.dtype, vector.dtype) != (FLOAT16, FLOAT32):
        raise DtypeError(f"{who}: the input is {x.dtype}, {name} {vector.dtype}; "
                         "bring them to one dtype with .to(dtype)")


def no_places(who: str, shape: tuple[int, ...]) -> ShapeError:
    """The error for an input without a spatial axis."""
    return ShapeError(f"{who}: expected input (N, C, *spatial), got {shape}")


def not_positive(who: str, eps: float, when: str = " when training") -> ValueError:
    """The error for eps = 0, at which a constant input has no derivative."""
    return ValueError(f"{who}: expected eps > 0{when}, got {eps}")


# -- how many values -----------------------------------------------------------------------------

BATCH = ("use a larger batch (DataLoader(drop_last=True)), eval() with running statistics, or a "
         "norm that does not depend on the batch: GroupNorm, LayerNorm")
"""What to do where the batch was too small."""


def too_few(who: str, x: Tensor, n: int, what: str, cure: str = BATCH) -> ValueError:
    """The error for statistics of fewer than two values, in training or in eval, by any norm.

    The spread of one value is 0 and its result the bias, whatever it was. Eval with running
    statistics takes none, so there one value will do. Norms whose count does not depend on the
    input are free: LayerNorm(1) gives its bias, as PyTorch's.
    """
    when = " when training or without running statistics" if cure is BATCH else ""
    return ValueError(f"{who}: Expected more than 1 {what}{when}, got input size "
                      f"{x.array.shape}, which has {n}; {cure}")


# -- the shape -----------------------------------------------------------------------------------


def as_normalized_shape(who: str, shape: Any) -> tuple[int, ...]:
    """``normalized_shape`` of a function as a tuple.

    Raises:
        TypeError: neither a tuple nor a list.
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{who}: expected normalized_shape to be a tuple or list of ints, got "
                        f"{shape!r}; write (n,) for the last axis alone")
    return tuple(shape)


def wrong_last_axes(who: str, shape: tuple[int, ...], got: tuple[int, ...]) -> ShapeError:
    """The error for an input that does not end in the normalized shape."""
    fit = list(got[-max(len(shape), 1):])
    take = f"take normalized_shape={fit}, its last axes, or " if fit and min(fit) > 0 else ""
    expected = f"input (*, {', '.join(map(str, shape))})" if shape else "at least one axis"
    return ShapeError(f"{who}: Given normalized_shape={list(shape)}, expected {expected}, got "
                      f"{got}; {take}check the layer before it")


def check_channels(norm: ChannelNorm, x: Any) -> None:
    """The input of a layer must have the right number of dimensions and channels."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(type(norm).__name__, x)
    shape, dims = x.array.shape, norm.dims
    if len(shape) in dims and shape[1] == norm.num_features:
        return
    single = norm.takes_one_sample and len(shape) == dims[0] - 1
    if not (single and shape[0] == norm.num_features):
        raise wrong_channels(norm, shape)


def wrong_channels(norm: ChannelNorm, shape: tuple[int, ...]) -> ShapeError:
    """The error for an input of that shape."""
    forms = [FORMS[n].format(c=norm.num_features or "C") for n in norm.dims]
    ranks = norm.dims
    if norm.takes_one_sample:
        ranks = (*norm.dims, norm.dims[0] - 1)
        forms.append(forms[0].replace("N, ", ""))
    name = type(norm).__name__
    if len(shape) not in ranks:
        other = f"{name[:-2]}{max(len(shape) - 2, 1)}d"
        known = name[-1] == "d" and 2 <= len(shape) <= 5 and other != name
        cure = f"; use {other}, or reshape the input" if known else "; reshape the input"
    elif shape[-1] == norm.num_features:
        cure = LAST
    else:
        size = shape[1] if len(shape) in norm.dims else shape[0]
        cure = another_size("num_features", size)
    return ShapeError(f"{name}: expected input {' or '.join(forms)}, got {shape}{cure}")
