"""A training step of an MLP with BatchNorm: ours, eager and compiled, against PyTorch and JAX.

    python benchmarks/train_step.py [--rounds 5] [--only 32x64]

float32, SGD with momentum 0.9, cross-entropy; the step is zero_grad, forward, backward, step.

    eager, compiled       ours; the second is tn.compile(step)
    torch, torch_compile  PyTorch's; the second is torch.compile(step)
    jax                   the same formulas as one function under jax.jit that gives its memory back
    products              the step's matrix products alone, in NumPy, into arrays that are there
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

CASES = {
    # batch × widths: the bound on eager / torch, on compiled / the fastest rival, and, if that is
    # more, on compiled / products
    "32x64-64-64-10": (0.45, 0.12, 0.0),
    "128x64-128-128-10": (0.7, 0.45, 0.0),
    "128x784-512-512-10": (0.8, 0.75, 1.15),
    "1024x784-2048-2048-10": (0.85, 0.9, 1.05),
}
RIVALS = {"torch": "torch", "torch_compile": "torch", "jax": "jax"}
RATE, MOMENTUM, AVERAGED, EPS = 0.01, 0.9, 0.1, 1e-5


def sizes(case: str) -> tuple[int, list[int]]:
    batch, widths = case.split("x")
    return int(batch), [int(w) for w in widths.split("-")]


def data(case: str) -> tuple[np.ndarray, np.ndarray]:
    batch, widths = sizes(case)
    random = np.random.default_rng(0)
    return (random.standard_normal((batch, widths[0]), dtype=np.float32),
            random.integers(0, widths[-1], batch))


def model_step(library: Any, case: str, compile: bool = False) -> Callable[[], object]:
    """The same lines for both libraries: the names are PyTorch's."""
    nn, optim = library.nn, library.optim
    _, widths = sizes(case)
    layers: list[object] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            layers += [nn.BatchNorm1d(b), nn.ReLU()]
    model = nn.Sequential(*layers)
    optimizer = optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    made = library.compile(step) if compile else step
    x, labels = map(library.from_numpy, data(case))
    return lambda: made(x, labels)


def eager(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return model_step(tinygrad_norm, case)


def compiled(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return model_step(tinygrad_norm, case, compile=True)


def torch(case: str) -> Callable[[], object]:
    import torch as library

    return model_step(library, case)


def torch_compile(case: str) -> Callable[[], object]:
    import torch as library

    return model_step(library, case, compile=True)


def jax(case: str) -> Callable[[], object]:
    import jax as library
    from jax import numpy as jnp

    batch, widths = sizes(case)
    random = np.random.default_rng(0)
    parameters: Any = [
        (random.uniform(-1, 1, (a, b)).astype(np.float32) / a**0.5,
         *(np.full(b, value, np.float32) for value in (0, 1, 0)))
        for a, b in itertools.pairwise(widths)]
    parameters[-1] = parameters[-1][:2]  # the last layer has no norm

    def loss(parameters: Any, averages: Any, x: Any, labels: Any) -> Any:
        moved = []
        for i, (weight, bias, *affine) in enumerate(parameters):
            x = x @ weight + bias
            if affine:
                mean, var = x.mean(0), x.var(0)
                x = (x - mean) * library.lax.rsqrt(var + EPS) * affine[0] + affine[1]
                x = library.nn.relu(x)
                moved.append([old + AVERAGED * (new - old) for old, new in zip(
                    averages[i], (mean, var * batch / (batch - 1)), strict=True)])
        return -library.nn.log_softmax(x)[jnp.arange(batch), labels].mean(), moved

    def step(parameters: Any, momenta: Any, averages: Any, x: Any, labels: Any) -> Any:
        (value, averages), gradients = library.value_and_grad(loss, has_aux=True)(
            parameters, averages, x, labels)
        momenta = library.tree.map(lambda m, g: MOMENTUM * m + g, momenta, gradients)
        parameters = library.tree.map(lambda p, m: p - RATE * m, parameters, momenta)
        return (parameters, momenta, averages), value

    made = library.jit(step, donate_argnums=(0, 1, 2))
    state = library.tree.map(jnp.array, (
        parameters, library.tree.map(np.zeros_like, parameters),
        [[np.zeros(w, np.float32), np.ones(w, np.float32)] for w in widths[1:-1]]))
    x, labels = map(jnp.array, data(case))

    def run() -> object:
        nonlocal state
        state, value = made(*state, x, labels)
        return library.block_until_ready((state, value))

    return run


def products(case: str) -> Callable[[], object]:
    """Forward, and backward to weights and, but for the first layer, inputs."""
    batch, widths = sizes(case)
    random = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    weights = [random.standard_normal((b, a), dtype=np.float32) for a, b in pairs]
    values = [random.standard_normal((batch, w), dtype=np.float32) for w in widths]
    calls = []
    for i, w in enumerate(weights):
        calls += [(values[i], w.T), (values[i + 1].T, values[i])]
        calls += [(values[i + 1], w)] * (i > 0)
    prepared = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in calls]

    def step() -> None:
        for a, b, out in prepared:
            np.dot(a, b, out=out)

    return step


def contenders() -> list[str]:
    """Ours and the rivals that are installed."""
    import tinygrad_norm

    own = ["eager", *["compiled"] * callable(getattr(tinygrad_norm, "compile", None))]
    there = [name for name, module in RIVALS.items() if has(module)]
    if len(there) < len(RIVALS):
        missing = {module for module in RIVALS.values() if not has(module)}
        print(f"not installed: {', '.join(sorted(missing))}; so many rivals less", file=sys.stderr)
    return [*own, *there, "products"]


def verdicts(case: str, figures: dict[str, list[float]]) -> list[str]:
    """Each ratio that has a bound, with it."""
    eager, compiled, whole = CASES[case]
    found = []
    if "torch" in figures:
        found.append(f"eager / torch {ratio(figures, 'eager', 'torch'):.2f}   (wanted ≤ {eager})")
    rivals = [name for name in RIVALS if name in figures]
    if "compiled" in figures and rivals:
        fastest = min(rivals, key=lambda name: statistics.median(figures[name]))
        found.append(f"compiled / {fastest}, the fastest, {ratio(figures, 'compiled', fastest):.2f}"
                     f"   (wanted ≤ {compiled})")
    if "compiled" in figures:
        wanted = f"   (or ≤ {whole})" if whole else ""
        found.append(f"compiled / products {ratio(figures, 'compiled', 'products'):.2f}{wanted}")
    return found


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case))))
        return
    names = contenders()
    for case in filter(lambda case: chosen.only in case, CASES):
        figures = contest(__file__, case, names, chosen.rounds)
        print(f"{case}  (microseconds a step: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:14}{spread(values)}")
        for line in verdicts(case, figures):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
