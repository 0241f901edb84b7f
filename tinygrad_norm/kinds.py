"""What kind of argument a function wants, read from its annotations when a call has failed.

A call that succeeds pays nothing for it: a ``try`` costs nothing until something is raised.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import re
import reprlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from .errors import not_a_tensor

PACKAGE = __name__.partition(".")[0]

WORDS = {"int": "an int", "float": "a number", "NoneType": "None", "Value": "a Tensor"}
"""Kinds in words; a class is otherwise named."""

PLAIN = (TypeError, ValueError, IndexError)
"""Errors that Python and NumPy raise, without saying who called."""

FIRST = 8
"""So many values of a list or a tuple are looked at."""

NAMED = re.compile(r"(?!dtype:|device:)[\w.]+(\(.*\))?:")
"""The beginning of an error that says who."""


def telling(function: Callable[..., Any], module: str) -> Any:
    """The function, whose errors about a kind of argument say who, which one and what it got."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise retold(function, function.__name__, error, args, kwargs)  # noqa: B904

    call.__module__ = module  # where a pickle finds it
    return call


def checking(init: Callable[..., None]) -> Any:
    """The ``__init__`` of a class, which also refuses what would only fail later."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except Exception as error:
            raise retold(init, type(self).__name__, error, (self, *args), kwargs)  # noqa: B904
        wrong = mismatch(init, type(self).__name__, (self, *args), kwargs, made=True)
        if wrong is not None:
            try:
                raise wrong
            finally:
                del wrong  # the traceback holds this frame

    return __init__


def retold(function: Callable[..., Any], who: str, error: Exception, args: tuple[Any, ...],
           kwargs: dict[str, Any]) -> Exception:
    """What a call of ``function`` raised, in the caller's words where it was about a kind."""
    if str(error).lower().startswith(f"{who}: expected ".lower()):
        return error
    wrong: Exception | None = mismatch(function, who, args, kwargs)
    if wrong is not None:
        wrong.__cause__ = error
        return wrong
    head, _, rest = str(error).partition(": expected ")
    if rest and head in described(function)[1]:  # dtype, device: what many functions have
        error.args = (f"{who}: expected {head} to be {rest}",)
    elif NAMED.match(str(error)) or not is_ours(error):
        return error
    elif isinstance(error, ArithmeticError):  # overflow, or a division by zero
        extreme = [f", got {name}={value}" for name, value, _ in given(function, args, kwargs)
                   if isinstance(value, int | float) and not 0 < abs(value) < 2**31]
        wrong = ValueError(f"{who}: {error}{''.join(extreme)}")
        wrong.__cause__ = error
        return wrong
    elif isinstance(error, PLAIN):
        error.args = (f"{who}: {error}",)
    return error


def is_ours(error: Exception) -> bool:
    """Whether it arose in this package or in NumPy, not in a function that a caller gave."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and is_inside(trace.tb_frame)


def outside() -> int:
    """How far up the stack the caller of this package is, for a warning."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and is_inside(frame):
        frame, level = frame.f_back, level + 1
    return level


def is_inside(frame: types.FrameType) -> bool:
    """Whether it runs this package's code, or NumPy's."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in (PACKAGE, "numpy")


def mismatch(function: Callable[..., Any], who: str, args: tuple[Any, ...],
             kwargs: dict[str, Any], made: bool = False) -> TypeError | None:
    """The error for the first argument that is not what its annotation says, if there is one.

    Args:
        made: all went well with them, so that None for a bool is a way to say False.
    """
    for name, value, hint in given(function, args, kwargs):
        if not fits(value, hint) and not (made and value is None and hint is bool):
            wanted = words(hint)
            if "a Tensor" in wanted:
                return not_a_tensor(who, value, name, wanted)
            return TypeError(f"{who}: expected {name} to be {wanted}, got {shown(value)}")
    return None


def given(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
          ) -> Iterator[tuple[str, Any, Any]]:
    """The arguments of a call, those of ``*args`` one by one: name, value, and what is wanted."""
    signature, hints = described(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # too many, or too few: Python has said so
        return
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        many = value if kind is inspect.Parameter.VAR_POSITIONAL else (value,)
        if kind is not inspect.Parameter.VAR_KEYWORD:
            yield from ((name, one, hints[name]) for one in many)


@functools.cache
def described(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """The signature, and what each annotation means: Any where it says nothing."""
    signature = inspect.signature(function)
    known = inspect.unwrap(function).__globals__
    return signature, {name: meaning(parameter.annotation, known)
                       for name, parameter in signature.parameters.items()}


def meaning(annotation: Any, known: dict[str, Any]) -> Any:
    """An annotation's value; a class imported for type checkers alone is the package's own."""
    extra: dict[str, Any] = {}
    while isinstance(annotation, str):
        try:
            annotation = eval(annotation, known, extra)
        except NameError as error:
            extra[str(error.name)] = vars(sys.modules[PACKAGE]).get(str(error.name), Any)
    return Any if annotation is inspect.Parameter.empty else annotation


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation names."""
    if isinstance(hint, TypeVar):
        hint = hint.__bound__ or Any
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Any or origin is object:
        return True
    if origin is Union or origin is types.UnionType:
        return any(fits(value, one) for one in inner)
    if origin is None or origin is type(None):
        return value is None
    if origin is Literal:
        return value in inner
    truth = isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's too
    if origin is bool:
        return truth or (isinstance(value, int) and value in (0, 1))
    if origin is int:
        return is_index(value) and not truth
    if origin is float:  # on a device, an array of one number is one
        return (isinstance(value, Real) or (hasattr(value, "ndim") and hasattr(value, "__float__")
                and not value.ndim and not hasattr(value, "tracked"))) and not truth
    if isinstance(value, str | bytes) and origin is not str:
        return False
    if not isinstance(origin, type) or not is_checked(origin):
        return True
    if not isinstance(value, origin):
        return False
    parts: Any = value
    if origin is tuple and inner and inner[-1] is not ...:
        return len(inner) == len(parts) and all(map(fits, parts, inner))
    if inner and issubclass(origin, Iterable) and can_be_read(parts):
        return all(fits(one, inner[0]) for one in itertools.islice(parts, FIRST))
    return True


def can_be_read(value: Any) -> bool:
    """Whether it can be gone through twice, and nothing is computed then."""
    return isinstance(value, tuple | list | set | range) or getattr(value, "ndim", 0) > 0


def is_checked(kind: type) -> bool:
    """Whether isinstance can tell: of a protocol it may not."""
    return getattr(kind, "_is_runtime_protocol", not getattr(kind, "_is_protocol", False))


def is_index(value: Any) -> bool:
    """Whether it counts as an int: NumPy's, and a tensor of one int, do."""
    try:
        operator.index(value)
    except Exception:
        return False
    return getattr(value, "dtype", None) != "bool"


def words(hint: Any, many: bool = False) -> str:
    """A kind in words: ``an int, a tuple of ints or None``."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Union or origin is types.UnionType:
        *first, last = [words(one, many) for one in inner]
        return f"{', '.join(first)} or {last}"
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is None:
        return "None"
    name = getattr(origin, "__name__", str(origin))
    name = WORDS.get(name) or f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
    if not getattr(origin, "__module__", "").startswith(PACKAGE) and origin is not type(None):
        name = name.lower()
    if many:
        name = name.partition(" ")[2] + "s"
    of = [words(one, True) for one in inner if one is not ... and one is not Any]
    listed = isinstance(origin, type) and issubclass(origin, Iterable) and of
    return f"{name} of {' and '.join(dict.fromkeys(of))}" if listed else name


def shown(value: Any) -> str:
    """What came: a plain value as it is, else its class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = value is None or isinstance(value, Real | complex | str | bytes | list | tuple | dict)
    return reprlib.repr(value) if plain else type(value).__name__
