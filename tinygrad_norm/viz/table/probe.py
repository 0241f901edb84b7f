"""A run of a model that changes nothing: which module is called with what, and what it gives."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autograd.graph import Value
from ...autograd.mode import keep_statistics, no_grad
from ...backend.array import is_array
from ...errors import ShapeError
from ...nn.lazy import is_lazy
from ...nn.module import Module
from ...tensors.conversion import as_dtype
from ...tensors.creation import zeros
from ...tensors.random import Generator, get_rng_state, rand, set_rng_state
from ...tensors.tensor import Tensor
from ..recording.choices import tensors

Shapes = tuple[tuple[int, ...], ...]


@dataclass
class Call:
    """What a call was given and gave."""

    inputs: Shapes
    outputs: Shapes = ()
    nbytes: int = 0


def drawn(model: Module, input_size: Any, dtypes: Any) -> tuple[Tensor, ...]:
    """Inputs of these shapes, where the model is.

    Raises:
        TypeError: no shape. ValueError: a negative size, not as many dtypes as shapes.
    """
    if isinstance(input_size, Value) or is_array(input_size):
        raise TypeError("summary: expected input_size to be a shape, got "
                        f"{type(input_size).__name__} of shape {tuple(input_size.shape)}; give an "
                        "input itself as input_data")
    sizes = list(input_size) if isinstance(input_size, list | tuple) else [input_size]
    if not any(isinstance(size, list | tuple) for size in sizes):
        sizes = [sizes]
    for size in sizes:
        if not isinstance(size, list | tuple) or not all(hasattr(n, "__index__") for n in size):
            raise TypeError(f"summary: expected input_size to be a shape as (32, 64) or a list of "
                            f"shapes, got {input_size!r}")
        if any(n < 0 for n in size):
            raise ShapeError(f"summary: expected input_size without negative numbers, got "
                             f"{input_size!r}; give a number of samples, as 2, for -1")
    floats = [p for p in model.parameters() if p.is_floating_point()]
    kind = floats[0].dtype if floats else np.dtype("float32")
    kinds = list(dtypes) if isinstance(dtypes, list | tuple) else [dtypes] * len(sizes)
    if len(kinds) != len(sizes):
        raise ValueError(f"summary: expected {len(sizes)} dtypes, one for each input, got "
                         f"{len(kinds)}")
    device = next((p.device for p in (*model.parameters(), *model.buffers())), None)
    random = Generator().manual_seed(0)
    found = []
    for size, wanted in zip(sizes, kinds, strict=True):
        dtype = kind if wanted is None else as_dtype(wanted)
        made = (rand(size=tuple(size), generator=random, dtype=dtype) if dtype.kind == "f" else
                zeros(tuple(size), dtype=dtype))
        found.append(made.to(device=device))
    return tuple(found)


def given(data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by position and by name."""
    if isinstance(data, Mapping):
        return (), dict(data)
    return tuple(data) if isinstance(data, list | tuple) else (data,), {}


def copied(model: Module) -> Module:
    """A copy in inference mode that shares the parameters, but for those of lazy layers.

    Raises:
        RuntimeError: something in the model cannot be copied.
    """
    shared: dict[int, Any] = {id(p): p for p in model.parameters() if not is_lazy(p)}
    for module in model.modules():  # results that a module has kept cannot be copied
        shared.update((id(v), v) for v in vars(module).values()
                      if isinstance(v, Value) and v.edge is not None)
    try:
        return copy.deepcopy(model, shared).eval()
    except (TypeError, RuntimeError) as error:
        raise RuntimeError(f"summary: expected a model that can be copied, since the copy is what "
                           f"runs, got {type(model).__name__} ({error}); leave the input out"
                           ) from error


@np.errstate(all="ignore")
def watched(
    model: Module, args: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Module, dict[str, list[Call]]]:
    """A copy of the model that has run, and the calls of its modules by name."""
    seen = copied(model)
    calls: dict[str, list[Call]] = {}
    running: list[tuple[str, Call]] = []
    names = {id(module): name for name, module in seen.named_modules()}

    def before(module: Module, args: tuple[Any, ...]) -> None:
        name, call = names[id(module)], Call(shapes(args))
        running.append((name, call))
        calls.setdefault(name, []).append(call)

    def after(module: Module, args: tuple[Any, ...], output: Any) -> None:
        name, call = running.pop()
        while name != names[id(module)]:  # it raised, and the model went on
            name, call = running.pop()
        call.outputs = shapes(output)
        call.nbytes = sum(one.array.nbytes for one in tensors_in(output))

    for module in seen.modules():
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
    state = get_rng_state()
    try:
        with warnings.catch_warnings(), no_grad(), keep_statistics():
            warnings.simplefilter("ignore")  # of values that mean nothing
            seen(*args, **named)
    except Exception as error:
        where = f"layer {running[-1][0]!r}" if running and running[-1][0] else "the model"
        sizes = ", ".join(map(str, shapes((args, named)))) or "no tensors"
        error.add_note(f"summary: raised in {where}, when the model ran on {sizes}")
        raise
    finally:
        set_rng_state(state)
    return seen, calls


def tensors_in(value: Any) -> Iterator[Value]:
    """The tensors in a result of tuples, lists and dicts."""
    return (tensor for _, tensor in tensors(value))


def shapes(value: Any) -> Shapes:
    """Of the tensors in a result."""
    return tuple(one.array.shape for one in tensors_in(value))
