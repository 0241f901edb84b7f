"""Tensor methods as functions: ``tn.exp(x)`` is ``x.exp()``."""

from .tensors.arithmetic import where as _where
from .tensors.tensor import Tensor

add, sub, mul, div, pow = Tensor.add, Tensor.sub, Tensor.mul, Tensor.div, Tensor.pow
neg, abs, sign = Tensor.neg, Tensor.abs, Tensor.sign
exp, expm1, log, log1p = Tensor.exp, Tensor.expm1, Tensor.log, Tensor.log1p
sqrt, rsqrt, square, reciprocal = Tensor.sqrt, Tensor.rsqrt, Tensor.square, Tensor.reciprocal
sin, cos, tanh, sigmoid, erf, relu = (
    Tensor.sin, Tensor.cos, Tensor.tanh, Tensor.sigmoid, Tensor.erf, Tensor.relu)
clamp, maximum, minimum = Tensor.clamp, Tensor.maximum, Tensor.minimum
eq, ne, lt, le, gt, ge = Tensor.eq, Tensor.ne, Tensor.lt, Tensor.le, Tensor.gt, Tensor.ge
logical_not, logical_and, logical_or = Tensor.logical_not, Tensor.logical_and, Tensor.logical_or
isnan, isfinite = Tensor.isnan, Tensor.isfinite

sum, mean, var, std, var_mean = Tensor.sum, Tensor.mean, Tensor.var, Tensor.std, Tensor.var_mean
amax, amin, max, min = Tensor.amax, Tensor.amin, Tensor.max, Tensor.min
argmax, argmin, argsort = Tensor.argmax, Tensor.argmin, Tensor.argsort
prod, cumsum, all, any = Tensor.prod, Tensor.cumsum, Tensor.all, Tensor.any
logsumexp, softmax, log_softmax = Tensor.logsumexp, Tensor.softmax, Tensor.log_softmax

reshape, permute, transpose, t = Tensor.reshape, Tensor.permute, Tensor.transpose, Tensor.t
unsqueeze, squeeze, flatten = Tensor.unsqueeze, Tensor.squeeze, Tensor.flatten
broadcast_to, flip, gather = Tensor.broadcast_to, Tensor.flip, Tensor.gather
chunk, split = Tensor.chunk, Tensor.split
matmul, mm, bmm, dot = Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.dot
clone = Tensor.clone


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    same = input == other  # infinities of one sign too, whose difference is NaN
    input, other = _where(same, 0, input), _where(same, 0, other)
    close = (input - other).abs() <= atol + rtol * other.abs()
    if equal_nan:
        close = close | (input.isnan() & other.isnan())
    return bool(close.all())


def is_tensor(obj: object) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


__all__ = [name for name in dir() if not name.startswith("_") and name != "Tensor"]
