"""Rules on large arrays in a recorded walk: one operation each, by loops, right at every order."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn, ops
from tinygrad_norm.autograd.op import Primitive
from tinygrad_norm.backend import large
from tinygrad_norm.compiler import machine
from tinygrad_norm.viz.reverse import Walk

if not machine.available():
    pytest.skip("llvmlite makes the loops", allow_module_level=True)

F = nn.functional
SHAPE = (64, 160)
LABELS = np.arange(64) % 160

CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...], set[str]]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(160), SHAPE, {"normalize_gradient"}),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (8, 4, 20, 20), {"normalize_gradient"}),
    "BatchNorm, not affine": (lambda: nn.BatchNorm1d(160, affine=False), SHAPE,
                              {"normalize_gradient"}),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(8, affine=True), (8, 8, 15, 15),
                       {"normalize_gradient"}),
    "GroupNorm": (lambda: nn.GroupNorm(2, 8), (8, 8, 15, 15), {"normalize_gradient"}),
    "LayerNorm": (lambda: nn.LayerNorm(160), SHAPE, {"normalize_gradient"}),
    "LayerNorm, not affine": (lambda: nn.LayerNorm(160, elementwise_affine=False), SHAPE,
                              {"normalize_gradient"}),
    "RMSNorm": (lambda: nn.RMSNorm(160), SHAPE, {"normalize_gradient"}),
    "moments": (lambda: lambda x: ops.normalize.moments(x, axes=(1,), centred=True)[0] ** 3, SHAPE,
                {"moments_gradient"}),
    "leaky_relu": (lambda: F.leaky_relu, SHAPE, {"leaky_relu_dx"}),
    "elu": (lambda: F.elu, SHAPE, {"elu_dx"}),
    "silu": (lambda: F.silu, SHAPE, {"silu_dx"}),
    "gelu": (lambda: F.gelu, SHAPE, {"gelu_dx"}),
    "gelu_slope": (lambda: ops.activation.gelu_slope, SHAPE, {"gelu_slope_dx"}),
    "gelu_curvature": (lambda: ops.activation.gelu_curvature, SHAPE, {"gelu_curvature_dx"}),
    "gelu_tanh": (lambda: lambda x: F.gelu(x, approximate="tanh"), SHAPE, {"gelu_tanh_dx"}),
    "softmax": (lambda: lambda x: F.softmax(x, -1), SHAPE, {"softmax_dx"}),
    "log_softmax": (lambda: lambda x: F.log_softmax(x, 0), SHAPE, {"log_softmax_dx"}),
    "logsumexp": (lambda: lambda x: tn.logsumexp(x, -1), SHAPE, {"logsumexp_dx"}),
    "cross_entropy": (lambda: lambda x: F.cross_entropy(x, tn.tensor(LABELS)), SHAPE,
                      {"cross_entropy_dx"}),
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Turns loops off and on again."""
    loops = large.run
    return lambda on: monkeypatch.setattr(large, "run", loops if on else None)


def derivatives(f: Any, x: np.ndarray, orders: int) -> list[np.ndarray]:
    """Those of a weighted sum of f, with respect to x and the parameters; of each order those of
    the weighted squares of the order before."""
    rng = np.random.default_rng(1)

    def weighted(t: Any) -> Any:
        return (t * tn.tensor(rng.standard_normal(t.shape).astype(x.dtype))).sum()

    leaf = tn.tensor(x).requires_grad_()
    leaves = [leaf]
    if isinstance(f, nn.Module):
        leaves += f.to(leaf.dtype).parameters()
    value, found = weighted(f(leaf)), []
    for _ in range(orders):
        grads = [g for g in tn.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
                 if g is not None]
        found += [g.detach().numpy() for g in grads]
        value = weighted(grads[0] * grads[0] * leaf) + sum(map(weighted, grads[1:]))
    return found


@pytest.mark.parametrize("name", CASES)
def test_as_step_by_step_at_orders_1_to_3(name: str, steps: Callable[[bool], None]) -> None:
    make, shape, _ = CASES[name]
    x = np.random.default_rng(0).standard_normal(shape)
    for dtype, bound in (("float64", 1e-12), ("float32", 2e-6)):
        steps(False)
        expected = derivatives(make(), x.astype(dtype), 3)
        steps(True)
        found = derivatives(make(), x.astype(dtype), 3)
        for ours, theirs in zip(found, expected, strict=True):
            assert abs(ours - theirs).max() <= bound * abs(theirs).max()


def operations(tensor: Any) -> set[str]:
    """The names of all operations that led to it."""
    names, stack = set(), [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if hasattr(node, "op"):
            names.add(node.op.name)
            stack += [to for to, _ in node.next_functions if to is not None]
    return names


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_one_operation(name: str) -> None:
    make, shape, rules = CASES[name]
    x = tn.randn(*shape, requires_grad=True)
    y = make()(x)
    g, = tn.autograd.grad(y, x, tn.randn(*y.shape), create_graph=True)
    assert rules <= operations(g)


def test_every_looped_rule_is_tested() -> None:
    modules = (ops.activation, ops.loss, ops.normalize, ops.reduction)
    rules = {rule.__name__ for module in modules for op in vars(module).values()
             if isinstance(op, Primitive) for _, rule in op.rules
             if hasattr(rule, "__wrapped__") and rule.__code__.co_qualname.startswith("looped")}
    assert rules == set().union(*(names for _, _, names in CASES.values()))


def gradient(x: Any, dy: Any, layer: Any = None) -> Any:
    layer = layer or nn.LayerNorm(160)
    return tn.autograd.grad(layer(x), x, dy, create_graph=True)[0]


def test_small_arrays_are_recorded_step_by_step() -> None:
    g = gradient(tn.randn(4, 160, requires_grad=True), tn.randn(4, 160))
    assert "normalize_gradient" not in operations(g)
    assert "mul" in operations(g)


def test_only_what_is_tracked_gets_a_gradient() -> None:
    x, dy = tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE)
    node = gradient(x, dy).grad_fn
    assert node.edges[0] is None
    assert node.constants[0].shape == SHAPE
    pulled = node.op.pull(node, [dy.numpy(), None, None], False)
    assert [one is not None for one in pulled] == [edge is not None for edge in node.edges]


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_any_layout(order: str, steps: Callable[[bool], None]) -> None:
    x = np.random.default_rng(0).standard_normal((128, 160))[::2]
    x = x if order == "strided" else np.array(x, order=order)  # type: ignore[call-overload]
    steps(False)
    expected = derivatives(nn.LayerNorm(160), x, 2)
    steps(True)
    for ours, theirs in zip(derivatives(nn.LayerNorm(160), x, 2), expected, strict=True):
        assert abs(ours - theirs).max() <= 1e-12 * abs(theirs).max()


def test_what_was_changed_or_freed_is_an_error() -> None:
    x, dy = tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE, requires_grad=True)
    g = gradient(x, dy)
    with tn.no_grad():
        dy += 1
    with pytest.raises(RuntimeError, match="normalize_gradient: a tensor that its gradient needs"):
        g.sum().backward()
    g = gradient(x, dy)
    (g * g).sum().backward()
    with pytest.raises(RuntimeError, match=r"backward through .* a second time"):
        (g * g).sum().backward()
    g = gradient(x, dy)
    first, second = (tn.autograd.grad((g * g).sum(), x, retain_graph=True)[0] for _ in range(2))
    assert (first == second).all()


def test_hooks_are_called_once_each() -> None:
    x, dy, calls = tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE), []
    g = gradient(x, dy)
    g.register_hook(lambda d: calls.append("g") or d * 2)
    doubled, = tn.autograd.grad(g, x, dy)
    plain, = tn.autograd.grad(gradient(x, dy), x, dy)
    assert calls == ["g"]
    assert np.allclose(doubled.numpy(), 2 * plain.numpy(), atol=1e-5)


def test_nan_flows_and_is_named() -> None:
    x, dy = tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE)
    dy[3, 4] = float("nan")
    g = gradient(x, dy)
    assert g.isnan().any(1).sum() == 1
    assert g[3].isnan().all()
    dx, = tn.autograd.grad(g, x, tn.ones(*SHAPE))
    assert dx[3].isnan().all()
    assert not dx[:3].isnan().any()
    z = tn.full(SHAPE, 1e30, requires_grad=True)
    y = ops.activation.gelu_curvature(z)
    with tn.autograd.detect_anomaly(), np.errstate(all="ignore"), \
            pytest.raises(RuntimeError, match="gelu_curvature_dx made a NaN"):
        tn.autograd.grad(y, z, tn.ones(*SHAPE), create_graph=True)


def test_a_drawing_of_the_way_back_shows_its_steps() -> None:
    large, small = (Walk(F.softmax(tn.randn(*shape, requires_grad=True), -1))
                    for shape in (SHAPE, (4, 4)))
    names = [[operations(g) for g in walked.gradients.values()] for walked in (large, small)]
    assert names[0] == names[1]
    twice = Walk((gradient(tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE)) ** 2).sum())
    assert "aside" in set().union(*map(operations, twice.gradients.values()))


def test_memory_stays() -> None:
    x, dy, layer = tn.randn(*SHAPE, requires_grad=True), tn.randn(*SHAPE), nn.LayerNorm(160)

    def run(times: int) -> None:
        for _ in range(times):
            g = gradient(x, dy, layer)
            tn.autograd.grad((g * g).sum(), [x, *layer.parameters()], allow_unused=True)

    run(5)
    tracemalloc.start()
    try:
        run(3)
        gc.collect()  # empties the lists of free tuples
        before = tracemalloc.get_traced_memory()[0]
        run(100)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_four_threads() -> None:
    xs = [np.random.default_rng(i).standard_normal((64 + i, 160)) for i in range(4)]
    expected = [derivatives(nn.LayerNorm(160), x, 2) for x in xs]
    found: dict[int, list[Any]] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found.setdefault(i, []).append(derivatives(nn.LayerNorm(160), xs[i], 2))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, runs in found.items():
        assert len(runs) == 5
        for run in runs:
            assert all((a == b).all() for a, b in zip(run, expected[i], strict=True))
