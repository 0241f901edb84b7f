"""Tensor methods as functions: ``tn.exp(x)`` is ``x.exp()``."""

import functools as _functools
from collections.abc import Callable as _Callable
from typing import Any as _Any
from typing import TypeVar as _TypeVar

from .kinds import retold as _retold
from .tensors.arithmetic import where as _where
from .tensors.tensor import Tensor

_Method = _TypeVar("_Method", bound=_Callable[..., _Any])


def _of(method: _Method) -> _Method:
    """The method with its tensor named ``input``, as in PyTorch."""

    method = getattr(method, "__wrapped__", method)

    @_functools.wraps(method)
    def function(input: _Any, *args: _Any, **settings: _Any) -> _Any:
        if not isinstance(input, Tensor):
            raise TypeError(f"{method.__name__}: expected a Tensor, got {type(input).__name__}; "
                            "tensor(...) makes one")
        try:
            return method(input, *args, **settings)
        except Exception as error:
            raise _retold(method, method.__name__, error, (input, *args), settings)  # noqa: B904

    return function  # type: ignore[return-value]


add = _of(Tensor.add)
sub = _of(Tensor.sub)
mul = _of(Tensor.mul)
div = _of(Tensor.div)
fmod = _of(Tensor.fmod)
bitwise_left_shift = _of(Tensor.bitwise_left_shift)
bitwise_right_shift = _of(Tensor.bitwise_right_shift)
neg = _of(Tensor.neg)
abs = _of(Tensor.abs)
sign = _of(Tensor.sign)
exp = _of(Tensor.exp)
expm1 = _of(Tensor.expm1)
log = _of(Tensor.log)
log1p = _of(Tensor.log1p)
sqrt = _of(Tensor.sqrt)
rsqrt = _of(Tensor.rsqrt)
square = _of(Tensor.square)
reciprocal = _of(Tensor.reciprocal)
sin = _of(Tensor.sin)
cos = _of(Tensor.cos)
tanh = _of(Tensor.tanh)
sigmoid = _of(Tensor.sigmoid)
erf = _of(Tensor.erf)
relu = _of(Tensor.relu)
clamp = _of(Tensor.clamp)
maximum = _of(Tensor.maximum)
minimum = _of(Tensor.minimum)
eq = _of(Tensor.eq)
ne = _of(Tensor.ne)
lt = _of(Tensor.lt)
le = _of(Tensor.le)
gt = _of(Tensor.gt)
ge = _of(Tensor.ge)
logical_not = _of(Tensor.logical_not)
logical_and = _of(Tensor.logical_and)
logical_or = _of(Tensor.logical_or)
isnan = _of(Tensor.isnan)
isfinite = _of(Tensor.isfinite)
sum = _of(Tensor.sum)
mean = _of(Tensor.mean)
var = _of(Tensor.var)
std = _of(Tensor.std)
var_mean = _of(Tensor.var_mean)
amax = _of(Tensor.amax)
amin = _of(Tensor.amin)
max = _of(Tensor.max)
min = _of(Tensor.min)
argmax = _of(Tensor.argmax)
argmin = _of(Tensor.argmin)
argsort = _of(Tensor.argsort)
prod = _of(Tensor.prod)
cumsum = _of(Tensor.cumsum)
all = _of(Tensor.all)
any = _of(Tensor.any)
logsumexp = _of(Tensor.logsumexp)
softmax = _of(Tensor.softmax)
log_softmax = _of(Tensor.log_softmax)
reshape = _of(Tensor.reshape)
permute = _of(Tensor.permute)
transpose = _of(Tensor.transpose)
t = _of(Tensor.t)
unsqueeze = _of(Tensor.unsqueeze)
squeeze = _of(Tensor.squeeze)
flatten = _of(Tensor.flatten)
broadcast_to = _of(Tensor.broadcast_to)
flip = _of(Tensor.flip)
gather = _of(Tensor.gather)
chunk = _of(Tensor.chunk)
split = _of(Tensor.split)
unbind = _of(Tensor.unbind)
matmul = _of(Tensor.matmul)
mm = _of(Tensor.mm)
bmm = _of(Tensor.bmm)
dot = _of(Tensor.dot)
clone = _of(Tensor.clone)


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """input to the power of ``exponent``; one of the two may be a number."""
    return input**exponent


def floor_divide(input: _Any, other: _Any) -> Tensor:
    """⌊input / other⌋; one of the two may be a number."""
    return input // other


def remainder(input: _Any, other: _Any) -> Tensor:
    """input - other ⌊input / other⌋; one of the two may be a number."""
    return input % other


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
