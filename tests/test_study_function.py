"""The walk through any small function, as the engine recorded it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd.mode import watch
from tinygrad_norm.study.walk import Study
from tinygrad_norm.study.walk.op_formulas import RULES

F = nn.functional
SAME = {"rtol": 1e-12, "atol": 1e-12}


EARLIER = tn.ones(2, dtype=tn.float64, requires_grad=True) * 2


def matrix(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def array(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def last(v: np.ndarray) -> np.ndarray:
    return v.sum(-1, keepdims=True)


def thrice(x: tn.Tensor) -> Any:
    """The derivatives of GELU, of order 1 to 3."""
    ys = [F.gelu(x)]
    for _ in range(3):
        ys += tn.autograd.grad(ys[-1].sum(), x, create_graph=True)
    return sum(ys[1:])


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Callable[..., Any] | None]] = {
    "mlp": (lambda x, w: (x @ w).relu().sum(), (matrix(2, 3), matrix(3, 2)), np.sum),
    "broadcast": (lambda x, b: x * b + b, (matrix(3, 2), matrix(2)), None),
    "numbers": (lambda x: 2.5 - (-x.clone() * -3 + 1) / 4, (matrix(2, 2),), np.sum),
    "twice": (lambda x: x * x + x.exp() * x, (matrix(3),), np.sum),
    "powers": (lambda x: x**3 + (x.abs() + 1)**-0.5 + 2**x, (matrix(3),), np.sum),
    "roots": (lambda x: (x.square() + 1).sqrt() + (x.square() + 2).rsqrt()
              + (x.square() + 1).reciprocal(), (matrix(3),), np.sum),
    "waves": (lambda x: x.sin() * x.cos() + x.tanh() - x.sigmoid(), (matrix(2, 3),), np.sum),
    "logs": (lambda x: x.exp().log() + x.square().log1p() + x.expm1(), (matrix(4),), np.sum),
    "erf": (lambda x: x.erf() + F.softplus(x), (matrix(4),), np.sum),
    "choices": (lambda x, y: tn.maximum(x, y) + tn.minimum(x, 2 * y) + x.clamp(-0.5, 0.5)
                + tn.where(x > y, x, y * 3), (matrix(5), matrix(5, seed=1)), np.sum),
    "bent": (lambda x: F.leaky_relu(x, 0.1) + F.elu(x), (matrix(6),), np.sum),
    "gelu": (lambda x: F.gelu(x) + F.gelu(x, "tanh") + F.silu(x) + F.huber_loss(x, x * 0),
             (matrix(3),), np.sum),
    "gelu again": (lambda x: thrice(x), (matrix(4),), np.sum),
    "binary entropy": (lambda x: F.binary_cross_entropy(x.sigmoid(), x.detach() > 0),
                       (matrix(3),), None),
    "means": (lambda x: x.mean() + x.mean(0).sum(), (matrix(2, 3),), None),
    "rows": (lambda x: x.sum(1) * x.mean(1), (matrix(2, 3),), None),
    "kept": (lambda x: x - x.sum(1, keepdim=True) / 3, (matrix(2, 3),), None),
    "softmax": (lambda x: x.softmax(-1), (matrix(2, 3),), last),
    "log_softmax": (lambda x: x.log_softmax(-1), (matrix(2, 3),), last),
    "logsumexp": (lambda x: x.logsumexp(-1, keepdim=True), (matrix(2, 3),), last),
    "extremes": (lambda x: x.amax(1) - x.amin(1), (matrix(2, 3),), None),
    "shapes": (lambda x: x.reshape(3, 2).T.flip((0,)) * 2, (matrix(2, 3),), None),
    "parts": (lambda x: x[0] * x[1:, [0, 2, 1]], (matrix(3, 3),), None),
    "joined": (lambda x, y: tn.cat([x, y * 2]).cumsum(0) + tn.stack([x[0], y[0], x[1]]),
               (matrix(2, 3), matrix(1, 3)), None),
    "expanded": (lambda x: x.expand(3, 2) * 1.0, (matrix(2),), None),
    "batches": (lambda a, b: a @ b, (matrix(2, 2, 3), matrix(2, 3, 2)), None),
    "vectors": (lambda a, b: (a @ b) * (b @ a), (matrix(3), matrix(3)), None),
    "rows of rows": (F.linear, (matrix(2, 2, 3), matrix(4, 3)), None),
    "a square": (lambda x: x @ x, (matrix(3, 3),), None),
    "linear": (F.linear, (matrix(2, 3), matrix(4, 3), matrix(4)), None),
    "no bias": (F.linear, (matrix(2, 3), matrix(4, 3)), None),
    "einsum": (lambda a, b: tn.einsum("ij,jk->ik", a, b), (matrix(2, 3), matrix(3, 2)), None),
    "entropy": (lambda x, t: F.cross_entropy(x, t), (matrix(3, 4), np.array([0, 3, 1])), None),
    "two results": (lambda x: sum(tn.var_mean(x, 1)), (matrix(2, 3),), None),
    "inplace": (lambda x: (x * 1).mul_(x).add_(2).div_(3), (matrix(3),), np.sum),
    "layer norm": (lambda x: F.layer_norm(x, (3,)), (matrix(2, 3),), None),
    "dropped": (lambda x: (tn.manual_seed(0), F.dropout(x, 0.4))[1], (matrix(6),), np.sum),
    "zero dims": (lambda x: x * 2, (np.array(3.0),), np.sum),
}


def walked(name: str) -> Study:
    function, inputs, _ = CASES[name]
    return tn.study.trace(function, *inputs)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_the_engines(name: str) -> None:
    function, inputs, _ = CASES[name]
    study = walked(name)
    leaves = [tn.tensor(v) for v in inputs]
    for leaf in leaves:
        leaf.requires_grad_(leaf.dtype.kind == "f")
    y = function(*leaves)
    np.testing.assert_allclose(study.node("out").value, y.array, **SAME)
    y.backward(tn.tensor(array(study.gradient("dout").value)))
    inputs_ = [n for n in study.forward if n.role == "input"]
    assert len(inputs_) == len(leaves)
    for node, leaf in zip(inputs_, leaves, strict=True):
        assert (node.gradient is None) == (leaf.grad is None)
        if leaf.grad is not None:
            np.testing.assert_allclose(node.gradient, leaf.grad.array, **SAME)
    assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}
    ways = {c.name for c in study.truth.columns}
    assert ways == {"walk", "engine", "finite differences"}
    assert json.loads(study.json())["kind"] == "function"
    assert max(map(len, str(study).splitlines())) <= 100
    for fork in study.forks:
        total = sum(array(study.gradient(part).value) for part in fork.parts)
        np.testing.assert_allclose(total, study.gradient(fork.sum).value, rtol=1e-15)


FUNCTIONS: dict[str, Any] = {
    "max": np.maximum, "min": np.minimum, "where": np.where, "abs": np.abs, "sign": np.sign,
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "erf": np.vectorize(math.erf), "ones": np.ones_like,
    "cdf": np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2),
    "density": lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi)}


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2]])
def test_each_formula_gives_its_value(name: str) -> None:
    """Read as Python; those that are shown by name alone are left out."""
    study, total = walked(name), CASES[name][2]
    values = {one.name: array(one.value) for one in (*study.forward, *study.backward)}
    known = {**FUNCTIONS, "sum": total, "total": np.sum}
    checked = 0
    for one in (*study.forward, *study.backward):
        text = one.formula.expression if one.formula else "x_back("
        if any(f"{f}(" in text for f in ("_back", "gelu_tanh", "huber", "clamp")):
            continue
        checked += 1
        got = eval(text, known, dict(values))
        np.testing.assert_allclose(np.broadcast_to(got, values[one.name].shape),
                                   values[one.name], err_msg=f"{one.name} = {text}", **SAME)
    assert checked


def test_every_formula_is_seen() -> None:
    """No operation of the table is without a case."""
    seen = {node.op for name in CASES for node in walked(name).forward}
    assert set(RULES) - seen <= {"cast"}  # in a walk all is float64 already


@pytest.mark.parametrize("name", CASES)
def test_reads_hold_all_that_matters(name: str) -> None:
    """Each cell of an input, moved, moves only cells of the nodes that say so."""
    function, inputs, _ = CASES[name]
    study = walked(name)
    readers: dict[str, Any] = {n.name: n for n in study.forward}
    first = next(n for n in study.forward if n.role == "input")
    for cell in range(array(first.value).size):
        moved = [np.array(v) for v in inputs]
        moved[0].reshape(-1)[cell] += 1e-3
        other = tn.study.trace(function, *moved)
        reached = {first.name: {cell}}
        for node in study.forward:
            if node.step:
                reached[node.name] = set().union(*(
                    dependents(readers[r.name], node, r.cells, reached.get(r.name, set()))
                    for r in node.reads), set())
                changed = np.flatnonzero(array(other.node(node.name).value).reshape(-1)
                                         != array(node.value).reshape(-1))
                assert set(changed.tolist()) <= reached[node.name], node.name


@pytest.mark.parametrize("name", ["mlp", "a square", "linear", "softmax", "twice", "broadcast"])
def test_gradients_read_what_their_formulas_read(name: str) -> None:
    study, total = walked(name), CASES[name][2] or np.sum
    known = {**FUNCTIONS, "sum": total, "total": lambda v: v.sum(0) if v.ndim else v}
    sources = {one.name: one for one in (*study.forward, *study.backward)}
    values = {name: array(one.value) for name, one in sources.items()}
    for one in study.backward:
        for read in one.reads:
            assert one.formula
            for cell in range(values[read.name].size):
                moved = {**values, read.name: values[read.name].copy()}
                moved[read.name].reshape(-1)[cell] += 1e-3
                before, after = (np.broadcast_to(eval(one.formula.expression, known, dict(v)),
                                                 one.shape) for v in (values, moved))
                changed = np.flatnonzero((before != after).reshape(-1))
                reached = dependents(sources[read.name], one, read.cells, {cell})
                assert set(changed.tolist()) <= reached, f"{one.formula.text}: {read.name}"


def dependents(source: Any, node: Any, cells: Any, moved: set[int]) -> set[int]:
    """The cells of ``node`` that read one of those that moved."""
    size = array(node.value).size
    if cells == "all":
        return set(range(size)) if moved else set()
    if isinstance(cells, list):
        return {i for i, found in enumerate(cells) if moved & set(found)}
    result = set()
    for k in range(size):
        place = np.unravel_index(k, node.shape) if node.shape else ()
        for cell in moved:
            other = np.unravel_index(cell, source.shape) if source.shape else ()
            if all(i == j or n == 1 or m == 1 for i, j, n, m in zip(
                    place[::-1], other[::-1], node.shape[::-1], source.shape[::-1],
                    strict=False)):
                result.add(k)
    return result


# -- names -----------------------------------------------------------------------------------------


def test_names_and_formulas() -> None:
    study = walked("twice")
    assert [n.name for n in study.forward] == ["x", "v1", "v2", "v3", "out"]
    assert [n.formula.text for n in study.forward[1:] if n.formula] == [
        "v1 = x · x", "v2 = exp(x)", "v3 = v2 · x", "out = v1 + v3"]
    assert [g.name for g in study.backward] == ["dout", "dv1", "dv3", "dv2", "dx1", "dx2", "dx3",
                                                "dx4", "dx"]
    assert study.forks[0].parts == ["dx1", "dx2", "dx3", "dx4"]
    assert {g.through for g in study.backward if g.of == "x"} == {"v1", "v2", "v3", ""}
    assert study.steps == ["v1", "v2", "v3", "out", *(g.name for g in study.backward)]
    assert study.title == "<lambda>"


def test_names_do_not_clash() -> None:
    def clash(x: Any, dx: Any, v1: Any) -> Any:
        return x * dx + v1

    study = tn.study.trace(clash, matrix(2), matrix(2), matrix(2))
    found = [n.name for n in study.forward]
    assert found == ["x", "dx_", "v1", "v1_", "out"]
    gradients = [g.name for g in study.backward]
    assert len({*found, *gradients}) == len(found) + len(gradients)


def test_sums_say_their_axes() -> None:
    assert walked("rows").node("v1").formula.text == "v1 = Σ_1 x"  # type: ignore[union-attr]
    assert walked("rows").node("v1").reads[0].cells == [[0, 1, 2], [3, 4, 5]]
    assert "Σ dv1" in next(g for g in walked("broadcast").backward  # type: ignore[union-attr]
                           if g.of == "b" and g.through == "v1").formula.text


def test_modules_are_copied_and_their_parameters_named() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    before = {name: value.array.copy() for name, value in model.state_dict().items()}
    study = tn.study.trace(model, tn.randn(5, 3))
    roles = {n.name: n.role for n in study.forward if not n.step}
    assert roles == {"input": "input", "m0_weight": "parameter", "m0_bias": "parameter",
                     "m1_weight": "parameter", "m1_bias": "parameter"}
    assert study.title == "Sequential(…)"
    assert study.dtype == "float32"
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])
    assert all(p.grad is None for p in model.parameters())
    assert set(study.truth.columns[-1].gradients) == {f"d{name}" for name in roles}


def test_what_a_function_closes_over() -> None:
    """A learned tensor is a parameter, whose gradient is shown and left alone; others constants."""
    weight = tn.randn(3, dtype=tn.float64, requires_grad=True)
    mask = tn.tensor([1.0, 0.0, 1.0], dtype=tn.float64)
    norm = nn.BatchNorm1d(3, dtype=np.float64)
    study = tn.study.trace(lambda x: norm(x * weight) * mask, matrix(4, 3))
    roles = [n.role for n in study.forward if not n.step]
    assert sorted(roles) == ["constant", "input", "parameter", "parameter", "parameter"]
    constant = next(n for n in study.forward if n.role == "constant")
    assert (constant.value, constant.gradient) == ([1.0, 0.0, 1.0], None)
    assert weight.grad is None
    assert norm.num_batches_tracked.item() == 0  # type: ignore[union-attr]
    assert list(study.truth.columns[-1].gradients) == ["dx"]  # the others are not ours to move


def test_hooks_on_gradients_are_not_called() -> None:
    """Neither those of a tensor that the function closes over, nor those that it sets itself."""
    weight = tn.randn(3, dtype=tn.float64, requires_grad=True)
    called = []
    weight.register_hook(lambda gradient: called.append(1) or gradient * 2)

    def function(x: Any) -> Any:
        y = x * weight
        y.register_hook(lambda gradient: called.append(2) or gradient * 3)
        return y.sum()

    study = tn.study.trace(function, matrix(3))
    assert {badge.verdict for badge in study.truth.badges} <= {"exact", "≈"}
    np.testing.assert_array_equal(study.node("p1").gradient, matrix(3))
    assert not called
    function(tn.tensor(matrix(3))).backward()
    assert called == [2, 1]  # the engine has not forgotten them
    np.testing.assert_array_equal(weight.grad.array, 6 * matrix(3))  # type: ignore[union-attr]


def test_a_gradient_taken_inside() -> None:
    def penalty(x: Any) -> Any:
        (dx,) = tn.autograd.grad((x**3).sum(), x, create_graph=True)
        return (dx * dx).sum()

    study = tn.study.trace(penalty, matrix(3))
    np.testing.assert_allclose(study.gradient("dx").value, 36 * matrix(3)**3, **SAME)
    assert {badge.verdict for badge in study.truth.badges} <= {"exact", "≈"}


def test_looking_for_nan_stays_outside() -> None:
    with tn.autograd.detect_anomaly():
        study = tn.study.trace(lambda x: x.log().sum(), np.array([-1.0, 1.0]))
        assert not study.node("out").finite
        x = tn.tensor([-1.0], requires_grad=True)
        with np.errstate(all="ignore"), pytest.raises(
                RuntimeError, match="detect_anomaly: the forward of log made a NaN"):
            x.log()


@pytest.mark.parametrize("keepdim", [False, True])
def test_the_largest_of_many_is_not_written_as_that_of_one(keepdim: bool) -> None:
    text = str(tn.study.trace(lambda x: x.amax(0, keepdim=keepdim) * 2, matrix(3)))
    assert "v1 = largest(x)" in text
    assert "largest(0" not in text
    assert "out[0] =" in text or not keepdim


def test_what_an_unwritten_gradient_reads_is_all_that_it_reads() -> None:
    study = tn.study.trace(lambda x: x.amax(-1, keepdim=True) * 2, matrix(2, 3))
    (own,) = [read.cells for read in study.gradient("dx").reads if read.name == "x"]
    assert own == [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3
    assert "amax_back(" in str(study)
    assert "amax_back((" not in str(study)  # as if it were computed from a single x


def test_axes_are_counted_from_the_first() -> None:
    study = tn.study.trace(lambda x: x.sum(0) * x.softmax(-1), tn.tensor(3.0))  # it has none
    assert study.node("out").value == 3
    study = tn.study.trace(lambda x: x.sum(-1).sum(), matrix(2, 3))
    assert study.node("v1").formula.text == "v1 = Σ_1 x"  # type: ignore[union-attr]


def test_random_numbers_are_the_same_each_time() -> None:
    before = str(tn.get_rng_state())
    study = tn.study.trace(lambda x: F.dropout(x, 0.5) * 2, matrix(4, 4))
    assert str(tn.get_rng_state()) == before
    assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}


def test_operations_of_the_users_own() -> None:
    class Cube(tn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            (x,) = ctx.saved_tensors
            return dy * 3 * x**2

    class add(Cube):  # the engine has another of that name
        pass

    out = tn.study.trace(add.apply, matrix(3)).node("out")
    assert out.formula
    assert out.formula.text == "out = add(x1)"
    study = tn.study.trace(lambda x: Cube.apply(x) * 2, matrix(3))
    assert [n.formula.text for n in study.forward if n.formula] == ["v1 = Cube(x)", "out = v1 · 2"]
    assert study.gradient("dx").formula.text == "dx = Cube_back(dv1, x)"  # type: ignore[union-attr]
    np.testing.assert_allclose(study.gradient("dx").value,
                               array(study.gradient("dout").value) * 6 * matrix(3)**2, **SAME)


def test_values_that_are_not_finite() -> None:
    study = tn.study.trace(lambda x: x.log().sum(), np.array([0.0, -1.0, 1.0]))
    assert not study.node("v1").finite
    assert study.node("x").finite
    assert json.loads(study.json())["forward"][1]["value"][:2] == ["-Infinity", "NaN"]
    assert "! NaN or Inf" in str(study)


def test_watch_sees_each_recorded_operation() -> None:
    seen: list[tuple[str, int]] = []
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    with watch(lambda node, inputs: seen.append((node.op.name, len(inputs)))):
        (x * 2 + tn.ones(2).exp()).sum()
    x * 2
    assert seen == [("mul", 2), ("add", 2), ("sum", 1)]


@pytest.mark.parametrize(("function", "inputs", "error", "message"), [
    (lambda x: (x, x), (matrix(2),), TypeError, "return a Tensor, got tuple; of several results"),
    (lambda x: x.detach() * 2, (matrix(2),), RuntimeError, "nothing was recorded"),
    (lambda x: x, (matrix(2),), RuntimeError, "nothing was recorded"),
    (lambda x: x.expand(600, 2) * 2, (matrix(2),), ValueError, "at most 512 values in the result"),
    (lambda x: (x.expand(600, 2) * 2).sum(), (matrix(2),), ValueError, "512 values in v"),
    (lambda x: sum((x * i for i in range(200)), x), (matrix(2),), ValueError,
     "at most 100 operations, got 400"),
    (lambda x: x * 2, (matrix(30, 30),), ValueError, "at most 512 values in x"),
    (lambda x, y: x * y, (matrix(2), matrix(30, 30)), ValueError, "512 values in input 1"),
    (lambda x: nn.Linear(2, 2)(x), (matrix(3, 2),), TypeError, "in float64, and so must be what"),
    (lambda x: x * EARLIER, (matrix(2),), RuntimeError,
     r"uses a result of mul that was computed before it was called; detach\(\) it, give it as an"),
    (lambda x: x * 2, (matrix(2) + 0j,), TypeError, "x to hold real numbers, got complex128"),
    (lambda x: x * 2, (np.array(["a"]),), TypeError, "x to hold real numbers, got <U1"),
    (lambda x: x * 2, (np.zeros((0, 2)),), ValueError, "at least one value in x, got"),
    (lambda x: 3.0, (matrix(2),), TypeError, "return a Tensor, got float"),
    (lambda x: x.add_(1), (matrix(2),), RuntimeError, "a leaf tensor that requires grad"),
    (lambda x: (x > 0).double(), (matrix(2),), RuntimeError, "nothing was recorded"),
    (3, (matrix(2),), TypeError, "a layer or a function of tensors, got 3"),
])
def test_refused(function: Any, inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tn.study.trace(function, *inputs)


def test_names_that_are_no_python() -> None:
    layer = nn.Sequential()
    layer.add_module('a"b\n<i>', nn.Linear(3, 2, dtype=tn.float64))
    layer.add_module("a'b <i>", nn.Linear(2, 2, dtype=tn.float64))
    study = tn.study.trace(layer, matrix(4, 3))
    names = [node.name for node in study.forward if node.role == "parameter"]
    assert len(set(names)) == 4
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize(("gradient", "error", "message"), [
    (np.ones(3), ValueError, r"grad_output of the output's shape \(2,\), got \(3,\)"),
    ([1.0, 2.0], TypeError, "grad_output to be a tensor or an array, got list"),
    (np.ones(2) + 0j, TypeError, "grad_output to hold real numbers, got complex128"),
    (np.array(["a", "b"]), TypeError, "grad_output to hold real numbers, got <U1")])
def test_gradients_that_are_refused(gradient: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tn.study.trace(lambda x: x * 2, matrix(2), grad_output=gradient)


class Two(tn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a * b, a + b

    @staticmethod
    def backward(ctx: Any, dproduct: Any, dsum: Any) -> Any:
        a, b = ctx.saved_tensors
        return dproduct * b + dsum, dproduct * a + dsum


def test_a_users_function_of_several_results() -> None:
    def function(x: Any, w: Any) -> Any:
        product, total = Two.apply(x, w)
        return (product * total).sum()

    x, w = matrix(3), matrix(3, seed=1)
    study = tn.study.trace(function, x, w)
    np.testing.assert_allclose(study.gradient("dx").value, w * (x + w) + x * w, **SAME)
    assert {badge.verdict for badge in study.truth.badges} <= {"exact", "≈"}


def test_long_names_stay_apart_in_the_text() -> None:
    layer = nn.Sequential(nn.Linear(3, 2))
    nn.utils.parametrizations.weight_norm(layer[0])
    lines = str(tn.study.trace(layer, matrix(4, 3))).splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.split() == ["dm0_parametrizations_weight_original1"] for line in lines)
