"""Compiled steps: what a step reaches, when it is recorded again, and how it is run.

    step.py     a compiled step: calls, fall back, what ``print`` tells
    model.py    a compiled model: the same, for a forward pass and the walk back from its output
    attempt.py  one recording, on copies of the state      stage.py    the state, lent to it
    reach.py    what a function can reach                  numbers.py  the numbers given to each run
    key.py      when a recording holds                     entry.py    a recording and its program
    check.py    compiled beside eager                      results.py  what a step returns
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..nn.module import Module
from .model import Model
from .step import Step


def compile(function: Callable[..., Any] | None = None, *, fullgraph: bool = False, check: int = 0,
            grads: bool = False) -> Any:
    """A function that does the same as ``function``, a step of training or of inference, faster.

    It is recorded when it is called first, and then for each new kind of calls: other shapes or
    dtypes, train or eval, another number among what it reaches. Between, what was recorded is run.
    What Python does beside tensors, such as printing, happens while recording only. Results have no
    history; ``.grad`` of parameters is None after a step that drops gradients at its start.

    What cannot be recorded, such as a branch on a value or ``.item()``, runs as it is, with a
    warning that says why. ``step.program()`` is what was made of it, ``print(step)`` says how often
    it ran.

    Of a model, forward and the backward of its output are compiled, inside a loop that is not: the
    result has a history, of one operation, which cannot be differentiated twice.

    Args:
        function: the step, or a Module; left out, ``compile(...)`` is a decorator.
        fullgraph: raise an error where it cannot be recorded.
        check: run each call of that number beside the step as it is, and raise where they differ.
        grads: leave the gradients in ``.grad``.
    """
    if function is None:
        return functools.partial(compile, fullgraph=fullgraph, check=check, grads=grads)
    kind = Model if isinstance(function, Module) else Step
    return kind(function, fullgraph, check, grads)
