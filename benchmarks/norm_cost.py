"""What exact statistics cost, and what PyTorch takes: forward and backward of norms and others.

    python benchmarks/norm_cost.py [--rounds 3] [--only LayerNorm]

Four contenders, float32, gradients of the input, the weight and the bias:

    ours    the layer
    naive   the same layer and engine, with the operation of naive_norm.py in the place of its own:
            the sums of x and x² in a single pass, as few passes after it as can be
    numpy   the calls of naive_norm.py alone: no engine, no layer, no checks, no running statistics
    torch   PyTorch's layer

The bound on ours / naive is on what the statistics cost: all else is the same there. Functions of a
million values, and a step of Adam, have PyTorch's for their only rival.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import naive_norm
import numpy as np
from contest import contest, has, median_step, options, ratio, spread

BOUND = 1.5
CASES = {  # layer, its arguments, the shape of the input, the bound on ours / torch
    "BatchNorm1d 32x64": ("BatchNorm1d", (64,), (32, 64), None),
    "BatchNorm1d 64x128": ("BatchNorm1d", (128,), (64, 128), 0.5),
    "BatchNorm1d 4096x1024": ("BatchNorm1d", (1024,), (4096, 1024), 0.75),
    "BatchNorm2d 32x64x56x56": ("BatchNorm2d", (64,), (32, 64, 56, 56), 0.6),
    "LayerNorm 128x64": ("LayerNorm", (64,), (128, 64), 0.7),
    "LayerNorm 8192x768": ("LayerNorm", (768,), (8192, 768), 0.65),
    "GroupNorm(32) 32x64x56x56": ("GroupNorm", (32, 64), (32, 64, 56, 56), 0.6),
    "InstanceNorm2d 32x64x56x56": ("InstanceNorm2d", (64,), (32, 64, 56, 56), 0.55),
    "gelu 1000x1000": ("gelu", (), (1000, 1000), 1.0),
    "silu 1000x1000": ("silu", (), (1000, 1000), 1.0),
    "softmax 1000x1000": ("softmax", (-1,), (1000, 1000), 1.0),
    "cross_entropy 1000x1000": ("cross_entropy", (), (1000, 1000), 1.0),
    "Adam 784-2048-2048-10": ("Adam", (), (784, 2048, 2048, 10), 1.0),
}
HOLD = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""For every contender: glibc keeps what is freed. Else each array of 25 MB is given back to the
system and faulted in anew, which costs time and varies; most for ours, which makes more of them."""
SECONDS = 0.5
"""Of measuring, for each contender in each round."""


def data(shape: tuple[int, ...]) -> list[np.ndarray]:
    """x and dy."""
    random = np.random.default_rng(0)
    return [random.standard_normal(shape, dtype=np.float32) for _ in range(2)]


def prepared(library: Any, case: str) -> Callable[[], object]:
    """The same lines for both libraries: the names are PyTorch's."""
    name = CASES[case][0]
    return (layer_step if "Norm" in name else adam_step if name == "Adam" else function_step)(
        library, case)


def function_step(library: Any, case: str) -> Callable[[], object]:
    name, arguments, shape, _ = CASES[case]
    x, dy = map(library.from_numpy, data(shape))
    function = getattr(library.nn.functional, name)
    x.requires_grad_()
    if name == "cross_entropy":
        labels = library.from_numpy(np.arange(shape[0]) % shape[1])
        return lambda: library.autograd.grad(function(x, labels), x)
    return lambda: library.autograd.grad(function(x, *arguments), x, dy)


def adam_step(library: Any, case: str) -> Callable[[], object]:
    """Of the parameters of linear layers and BatchNorm between such widths."""
    random, parameters = np.random.default_rng(0), []
    for a, b in itertools.pairwise(CASES[case][2]):
        for shape in ((b, a), (b,), (b,), (b,)):
            p = library.nn.Parameter(library.from_numpy(random.random(shape, np.float32)))
            p.grad = library.from_numpy(random.random(shape, np.float32))
            parameters.append(p)
    return library.optim.Adam(parameters).step


def layer_step(library: Any, case: str) -> Callable[[], object]:
    name, arguments, shape, _ = CASES[case]
    settings = {"affine": True} if name.startswith("Instance") else {}
    layer = getattr(library.nn, name)(*arguments, **settings)
    x, dy = map(library.from_numpy, data(shape))
    leaves = [x.requires_grad_(), *layer.parameters()]
    return lambda: library.autograd.grad(layer(x), leaves, dy)


def ours(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return prepared(tinygrad_norm, case)


def naive(case: str) -> Callable[[], object]:
    import tinygrad_norm
    from tinygrad_norm.backend.reference import flat, grouped
    from tinygrad_norm.ops.normalize import normalize

    def forward(
        x: Any, weight: Any, bias: Any, *, beside: Any = None, groups: Any = None, **settings: Any
    ) -> Any:
        seen = x if groups is None else x.reshape(grouped(x.shape, groups))
        weight, bias = (v if beside is None else v.reshape(beside) for v in (weight, bias))
        y, *others = naive_norm.forward(seen, weight, bias, **settings)
        return y.reshape(x.shape), *others

    def backward(
        dy: Any, x: Any, mean: Any, var: Any, weight: Any, *, beside: Any = None,
        groups: Any = None, **settings: Any,
    ) -> Any:
        seen, given = (v if groups is None else v.reshape(grouped(x.shape, groups))
                       for v in (x, dy))
        weight = weight if beside is None else weight.reshape(beside)
        dx, *others = naive_norm.backward(given, seen, mean, var, weight, **settings)
        return dx.reshape(x.shape), *(v if beside is None else flat(v, beside) for v in others)

    normalize.function, normalize.rules = forward, []  # what every layer calls
    normalize.gradient_of("x", "weight", "bias")(backward)
    normalize.plans.clear()
    step = layer_step(tinygrad_norm, case)
    step()
    assert normalize.plans, f"{case}: the layer does not call ops.normalize"
    return step


def numpy(case: str) -> Callable[[], object]:
    name, arguments, shape, _ = CASES[case]
    x, dy = data(shape)
    kept = (arguments[-1], *(1 for _ in shape[2:]))
    if name == "GroupNorm":
        kept = (arguments[0], arguments[1] // arguments[0], *kept[1:])
        x, dy = (a.reshape(len(x), *kept[:2], *shape[2:]) for a in (x, dy))
    axes = {"B": (0, *range(2, x.ndim)), "L": (-1,)}.get(name[0], tuple(range(2, x.ndim)))
    weight, bias = np.ones(kept, np.float32), np.zeros(kept, np.float32)
    settings: dict[str, Any] = {"axes": axes, "eps": 1e-5, "centred": True}

    def step() -> object:
        y, _, mean, var = naive_norm.forward(x, weight, bias, **settings)
        return y, naive_norm.backward(dy, x, mean, var, weight, **settings)

    return step


def torch(case: str) -> Callable[[], object]:
    import torch as library

    return prepared(library, case)


def main() -> None:
    chosen = options(__doc__, 3)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case), SECONDS)))
        return
    rivals = ["torch"] if has("torch") else []
    if not rivals:
        print("PyTorch is not installed: one rival less", file=sys.stderr)
    for case, (kind, _, _, bound) in CASES.items():
        if chosen.only not in case:
            continue
        names = ["ours", *["naive", "numpy"] * ("Norm" in kind), *rivals]
        figures = contest(__file__, case, names, chosen.rounds, dict.fromkeys(names, HOLD))
        print(f"{case}  (microseconds, forward and backward: median, smallest to largest)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        wanted = {"naive": BOUND, "torch": bound}
        for name in names[1:]:
            limit = f"   (wanted ≤ {wanted[name]})" if wanted.get(name) else ""
            print(f"  ours / {name} {ratio(figures, 'ours', name):.2f}{limit}", flush=True)


if __name__ == "__main__":
    main()
