"""Everything public called with everything: what is wrong is said, and nothing else is hurt."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import random
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from public_calls import CALLED, Call, calls, matching

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm import nn

WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None, "{}": dict, "[]": list, "()": tuple, "''": str, "'text'": lambda: "text",
    "True": lambda: True, "0": lambda: 0, "3": lambda: 3, "-1": lambda: -1, "2.5": lambda: 2.5,
    "nan": lambda: math.nan, "inf": lambda: math.inf, "2**62": lambda: 2**62,
    "-2**70": lambda: -(2**70), "1j": lambda: 1j, "b'a'": lambda: b"a", "object()": object,
    "[1.5, 2]": lambda: [1.5, 2], "['a']": lambda: ["a"], "{1}": lambda: {1},
    "slice": lambda: slice(None), "range": lambda: range(2), "iterator": lambda: iter([1]),
    "class": lambda: nn.Linear, "int": lambda: int, "layer": lambda: nn.Linear(3, 2),
    "function": lambda: len, "array": lambda: np.ones((4, 3)), "objects": lambda: np.array([None]),
    "ints": lambda: tn.arange(3), "bool tensor": lambda: tn.tensor(True), "dtype": lambda: tn.int32,
    "number tensor": lambda: tn.tensor(0.5), "no values": lambda: tn.zeros(0),
}
"""What is given in the place of each argument."""

FAST = 16
"""One call in so many is made by ``make test``; all of them by ``make test-all``."""

NOT_WRONG = {
    ("T", "2**62"), ("output_size", "2**62"),  # as long as it was asked for
    ("copy", "array"),  # whose truth NumPy refuses to tell
    *(("process_group", name) for name in ("ints", "bool tensor", "number tensor", "no values")),
}
"""Arguments that say how much is to be computed; and tensors have a method ``gather``."""

RAW = re.compile(
    r"object has no attribute|unsupported operand type|cannot be interpreted|not supported between|"
    r"must be (a )?real|has no len|argument must be|not subscriptable|'NoneType' object|"
    r"not callable|not iterable|ufunc|truth value of an array")
"""Words of an inner line, which say neither who nor what was expected."""

OTHER = {"datasets", "dtype", "device", "setitem", "less", "less_equal", "greater",
         "greater_equal", "equal", "not_equal"}
"""Names of operations behind operators, and of what every function takes."""


def bare(name: str) -> str:
    """The name of a callable without its place."""
    return name.split(".")[-1].rstrip("()").rstrip("_")


@functools.cache
def public_calls() -> list[Call]:
    return list(calls())


@functools.cache
def names() -> set[str]:
    """What an error may begin with: whoever is public."""
    return {bare(call.name) for call in public_calls()} | OTHER


def complaint(error: BaseException, late: bool) -> str:
    """What is wrong with an error, or nothing."""
    if traceback.extract_tb(error.__traceback__)[-1].filename == __file__.replace(
            "test_wrong_kinds", "public_calls") or isinstance(error, MemoryError | BufferError):
        return ""  # of the user's function; of Python's own words
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    who = re.match(r"[\w]+", text)
    if RAW.search(text) or not who or who[0].rstrip("_") not in names():
        return f"{type(error).__name__}: {text[:150]}"
    if not isinstance(error, TypeError | ValueError | RuntimeError | IndexError | KeyError):
        return f"of class {type(error).__name__}: {text[:150]}"
    return f"not when it was made: {text[:150]}" if late and isinstance(error, TypeError) else ""


@contextmanager
def in_time() -> Iterator[None]:
    """A call that does not come back is stopped."""
    def stop(*_: object) -> None:
        raise AssertionError("it did not come back within 5 seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def state(value: Any) -> Any:
    """What can be seen of an argument that must not change."""
    if isinstance(value, tn.Tensor):
        return value.array.tobytes(), value.shape, value.requires_grad, value.grad is None
    if isinstance(value, list | tuple):
        return [state(one) for one in value]
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return repr(value) if isinstance(value, dict | set | range) else None


def states(bound: inspect.BoundArguments) -> list[Any]:
    """Of all arguments but running statistics, which are there to be changed."""
    return [state(value) for name, value in bound.arguments.items() if name[:8] != "running_"]


def wrong_call(call: Call, argument: str, make: Callable[[], Any]) -> str:
    """Make it, and say what is wrong with what came of it.

    What ends in ``_`` changes its tensor, and ``embedding`` with max_norm its weight.
    """
    kind = call.signature.parameters[argument].kind
    function, bound = call.prepared()
    value = make()
    bound.arguments[argument] = (value,) if kind is inspect.Parameter.VAR_POSITIONAL else value
    before = states(bound)
    late = False
    try:
        with in_time():
            made = function(*bound.args, **bound.kwargs)
            text = matching(CALLED, bare(call.name)) if isinstance(made, nn.Module) else None
            if text and call.make is None and isinstance(call.function, type):
                late = True
                _, right = Call(call.name, call.function, text, call.text).prepared()
                made(*right.args, **right.kwargs)
    except Exception as error:
        return complaint(error, late)
    if not call.name.endswith("_") and call.name != "F.embedding" and before != states(bound):
        return "an argument was changed"
    return ""


def takes_functions(call: Call, argument: str) -> bool:
    return "Callable" in str(call.signature.parameters[argument].annotation) or (
        call.signature.parameters[argument].annotation in ("Bound", "Old", "New"))


def all_wrong_calls() -> Iterator[tuple[Call, str, str]]:
    for call in public_calls():
        for argument, parameter in call.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or (
                    argument == "self" and call.name.startswith("Tensor.")):
                continue
            for name in WRONG:
                if (argument, name) in NOT_WRONG or (
                        name in ("class", "int", "layer", "function")
                        and takes_functions(call, argument)):
                    continue
                yield call, argument, name


def found(share: int) -> list[str]:
    """The complaints about one call in ``share``, drawn with a fixed seed."""
    draw = random.Random(0)
    tn.data.datasets.digits()  # what it needs is imported
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [f"{call.name}({argument}={name}): {wrong}"
                for call, argument, name in all_wrong_calls() if not draw.randrange(share)
                if (wrong := wrong_call(call, argument, WRONG[name]))]


def test_right_calls_are_right() -> None:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in public_calls():
            function, bound = call.prepared()
            function(*bound.args, **bound.kwargs)
    assert len(public_calls()) > 450


def test_wrong_kinds() -> None:
    wrong = found(FAST)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_all_wrong_kinds() -> None:
    wrong = found(1)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: F.softmax(None), "softmax: expected input to be a Tensor, got NoneType; wrap it"),
    (lambda x: nn.init.zeros_(3), "zeros_: expected tensor to be a Tensor, got int; wrap it with"),
    (lambda x: F.batch_norm(x, 1, None), "batch_norm: expected running_mean to be a Tensor or"),
    (lambda x: F.dropout([1.0]), "dropout: expected input to be a Tensor, got list; wrap it with"),
    (lambda x: x.logical_or(True), "logical_or: expected other to be a Tensor, got bool; wrap it"),
    (lambda x: x.sum(dim={}), "sum: expected dim to be an int, a tuple of ints, a list of ints or "
                              "None, got {}"),
    (lambda x: x.squeeze({}), "squeeze: expected dim to be an int, a tuple of ints, a list of "),
    (lambda x: x.reshape(None), "reshape: expected lengths to be an int, a tuple of ints or a"),
    (lambda x: tn.eye(None), "eye: expected n to be an int, got None"),
    (lambda x: tn.zeros(2, dtype="x"), "zeros: expected dtype to be one of float16, float32, "),
    (lambda x: tn.ones(2, device="x"), "ones: expected device to be 'cpu', 'cuda' or 'cuda:N'"),
    (lambda x: nn.ELU(None), "ELU: expected alpha to be a number, got None"),
    (lambda x: nn.Dropout("a"), "Dropout: expected p to be a number, got 'a'"),
    (lambda x: nn.Linear(3, None), "Linear: expected out_features to be an int, got None"),
    (lambda x: nn.Linear(3, 2)([x]), "Linear: expected input to be a Tensor, got list; wrap it"),
    (lambda x: nn.AvgPool2d("a"), "AvgPool2d: expected kernel_size to be an int, a tuple of ints"),
    (lambda x: nn.AdaptiveNorm(nn.Linear, 2), "AdaptiveNorm: expected norm to be a Module, got "
                                              "the class Linear"),
    (lambda x: tn.optim.Adam([nn.Parameter(x)], betas=0.9), "Adam: expected betas to be a pair"),
    (lambda x: tn.data.Subset(3, [0]), "Subset: expected dataset to be a Dataset, got 3"),
    (lambda x: x + None, "add: expected tensors, arrays and real numbers, got float32, NoneType"),
    (lambda x: x + "a", "add: unsupported operand: expected tensors, arrays and real numbers, got"),
    (lambda x: x @ 3, "matmul: expected tensors or arrays, got float32, int"),
])
def test_messages(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
        call(tn.ones(2, 3))


def test_an_error_of_the_users_own_function_stays_as_it_is() -> None:
    def broken(x: Any) -> Any:
        return x.no_such_attribute

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return self.no_such_layer(x)

    for call in (lambda: tn.autograd.functional.jacobian(broken, tn.ones(2)),
                 lambda: nn.Sequential(Model())(tn.ones(2)), lambda: Model()("text")):
        with pytest.raises(AttributeError, match="no attribute 'no_such_"):
            call()


def test_an_error_leaves_nothing_to_the_garbage_collector(no_garbage: Callable[[], int]) -> None:
    for _ in range(3):
        for call in (lambda: F.softmax(None), lambda: nn.ELU(None), lambda: tn.eye(None)):
            with contextlib.suppress(TypeError):
                call()
    assert no_garbage() == 0
