"""The two seams: which implementation computes, and which value may be asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from strict import StrictArray

import tinygrad_norm as tn
from tinygrad_norm.backend import choose, sums
from tinygrad_norm.nn import functional as F

# -- kernel --------------------------------------------------------------------------------------

def test_a_kernel_is_for_exactly_its_class() -> None:
    class Own(np.ndarray):
        pass

    def double(x: Any) -> Any:
        return x + x

    assert choose.kernel(double, np.ndarray) is double  # and kept: what comes later must be found

    @choose.implements(double, np.ndarray)
    def shifted(x: Any) -> Any:
        return x << 1

    assert choose.kernel(double, np.ndarray) is shifted
    assert choose.kernel(double, Own) is choose.kernel(double, StrictArray) is double


def calls(function: Callable[[], Any]) -> list[str]:
    """The names of the Python functions that ran."""
    names: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return names[1:]  # without the function itself


def test_a_kernel_found_before_costs_no_call() -> None:
    choose.kernel(sums.total, np.ndarray)
    assert calls(lambda: choose.kernel(sums.total, np.ndarray)) == []


@pytest.mark.parametrize(("shape", "axes"), [
    ((32, 16), (0,)), ((32, 16), (1,)), ((8, 16, 5, 5), (0, 2, 3)), ((8, 16, 5, 5), (2, 3)),
    ((8, 4, 4, 5, 5), (2, 3, 4))])
@pytest.mark.parametrize("reference", [sums.total, sums.average])
def test_a_sum_is_one_call(
    reference: Callable[..., Any], shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    x, n = np.ones(shape, "float32"), int(np.prod([shape[i] for i in axes]))
    add = choose.kernel(reference, np.ndarray)
    for by in (None, x):
        add(x, axes, n, by)  # what is looked up by shape is kept
        assert calls(lambda by=by: add(x, axes, n, by)) == ["add"]


# -- expect --------------------------------------------------------------------------------------

def there(*values: Any) -> list[tn.Tensor]:
    return [tn.tensor(value, device="strict") for value in values]


ASKED: list[tuple[Callable[[], Any], Callable[[], Any], str]] = [
    (lambda: F.cross_entropy(*there([[0.0, 1.0]], [1])),
     lambda: F.cross_entropy(*there([[0.0, 1.0]], [2])), "Target 2 is out of bounds"),
    (lambda: F.nll_loss(*there([0.0, 1.0], 1), ignore_index=1),
     lambda: F.nll_loss(*there([0.0, 1.0], -1), ignore_index=1), "Target -1 is out of bounds"),
    (lambda: F.cross_entropy(*there([[0.0, 1.0]], [[0.5, 0.5]])),
     lambda: F.cross_entropy(*there([[0.0, 1.0]], [[0.5, np.nan]])), "got NaN in the target"),
    (lambda: F.embedding(*there([0, 1], [[1.0], [2.0]])),
     lambda: F.embedding(*there([0, -1], [[1.0], [2.0]])), "index out of range"),
    (lambda: F.binary_cross_entropy(*there([0.5], [1.0])),
     lambda: F.binary_cross_entropy(*there([1.5], [1.0])), "between 0 and 1"),
]


@pytest.mark.parametrize(("right", "wrong", "text"), ASKED)
def test_what_can_be_asked_is_asked(
    right: Callable[[], Any], wrong: Callable[[], Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a device whose arrays do not answer nothing is asked; one line makes them answer."""
    with np.errstate(invalid="ignore"):
        for call in (right, wrong):
            call()
    answers = []

    def answer(condition: StrictArray) -> bool:
        answers.append(bool(condition.hidden))
        return answers[-1]

    monkeypatch.setitem(choose.ANSWERS, StrictArray, answer)
    right()
    assert answers
    with pytest.raises((RuntimeError, ValueError), match=text):
        wrong()
    assert False in answers or "NaN" in text


@pytest.mark.parametrize("value", [1.0, np.inf])
def test_a_weight_that_is_asked(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a convolution's input: the quick way needs finite weights, and looks."""
    def gradient() -> Any:
        x = tn.ones(1, 1, 4, 4, device="strict", requires_grad=True)
        weight = tn.full((1, 1, 2, 2), value, device="strict")
        F.conv2d(x, weight)[..., :1, :1].sum().backward()
        return x.grad.cpu().numpy()

    expected, answers = gradient(), []

    def answer(condition: StrictArray) -> bool:
        answers.append(bool(condition.hidden))
        return answers[-1]

    monkeypatch.setitem(choose.ANSWERS, StrictArray, answer)
    np.testing.assert_array_equal(gradient(), expected)
    assert answers == [value == 1.0]
