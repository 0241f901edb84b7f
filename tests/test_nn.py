"""Activations, linear layers, dropout, containers, initial values, clipping."""

from __future__ import annotations

import inspect
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import grad, gradcheck, gradgradcheck
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn import functional as F
from tinygrad_norm.nn.utils import clip_grad_norm_, clip_grad_value_

random = np.random.default_rng(11)
X = random.uniform(0.2, 2.5, (3, 4)) * random.choice([-1, 1], (3, 4))
FAR = np.array([-1e4, -800.0, -30.0, -1e-8, 0.0, 1e-8, 30.0, 800.0, 1e4])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def phi(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


# -- activations -----------------------------------------------------------------------------------

ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any], Any]] = {
    "ReLU": (lambda: nn.ReLU(), F.relu, lambda x: np.maximum(x, 0)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.1), lambda x: F.leaky_relu(x, 0.1),
                  lambda x: np.where(x > 0, x, 0.1 * x)),
    "ELU": (lambda: nn.ELU(0.7), lambda x: F.elu(x, 0.7),
            lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1))),
    "GELU": (lambda: nn.GELU(), F.gelu, lambda x: x * phi(x)),
    "GELU tanh": (lambda: nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"),
                  lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "SiLU": (lambda: nn.SiLU(), F.silu, lambda x: x * sigmoid(x)),
    "Softplus": (lambda: nn.Softplus(), F.softplus, lambda x: np.log(1 + np.exp(x))),
    "Softplus beta": (lambda: nn.Softplus(2, 3), lambda x: F.softplus(x, 2, 3),
                      lambda x: np.where(2 * x > 3, x, np.log(1 + np.exp(2 * x)) / 2)),
    "Tanh": (lambda: nn.Tanh(), F.tanh, np.tanh),
    "Sigmoid": (lambda: nn.Sigmoid(), F.sigmoid, sigmoid),
    "Softmax": (lambda: nn.Softmax(1), lambda x: F.softmax(x, 1), softmax),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), lambda x: F.log_softmax(x, dim=1),
                   lambda x: np.log(softmax(x))),
    "Identity": (lambda: nn.Identity(3, any="thing"), lambda x: x, lambda x: x),
}
SMOOTH = [n for n in ACTIVATIONS if n not in ("ReLU", "LeakyReLU", "Identity")]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_its_formula(name: str, device: str) -> None:
    layer, function, formula = ACTIVATIONS[name]
    x = tn.tensor(X, device=device)
    before = strict.traffic["out"], strict.traffic["item"]
    ys = layer()(x), function(x)
    assert (strict.traffic["out"], strict.traffic["item"]) == before
    for y in ys:
        assert y.device == x.device
        np.testing.assert_allclose(to_numpy(y.array), formula(X), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(to_numpy(x.array), X)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_the_dtype(name: str, dtype: str) -> None:
    layer, _, formula = ACTIVATIONS[name]
    x = tn.tensor(X, dtype=dtype, requires_grad=True)
    y = layer()(x)
    y.sum().backward()
    assert str(y.dtype) == str(x.grad.dtype) == dtype
    np.testing.assert_allclose(y.detach().numpy(), formula(X), rtol=2e-3 if dtype == "float16"
                               else 1e-5, atol=1e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_derivatives_of_order_1_and_2(name: str) -> None:
    layer = ACTIVATIONS[name][0]()
    x = tn.tensor(X[:2, :3].copy(), requires_grad=True)
    assert gradcheck(layer, x, atol=1e-7, rtol=1e-7)
    assert gradgradcheck(layer, x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_activation_derivative_of_order_3(name: str) -> None:
    layer = ACTIVATIONS[name][0]()
    v = tn.tensor(np.cos(np.arange(6.0)).reshape(2, 3))

    @tn.enable_grad
    def second(x: tn.Tensor) -> tn.Tensor:
        y = (layer(x) ** 2).sum()
        for _ in range(2):
            y = (grad(y, x, create_graph=True)[0] * v).sum()
        return y

    assert gradcheck(second, tn.tensor(X[:2, :3].copy(), requires_grad=True), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_finite_far_out_and_at_zero_to_order_3(name: str) -> None:
    x = tn.tensor(FAR[None] if "oft" in name else FAR, requires_grad=True)
    y = ACTIVATIONS[name][0]()(x)
    for order in range(4):
        assert np.isfinite(y.detach().numpy()).all(), f"order {order}"
        if not y.requires_grad:
            break
        (y,) = grad(y.sum(), x, create_graph=True)


def test_gradients_at_the_kink_are_pytorchs() -> None:
    for layer, expected in ((nn.ReLU(), 0), (nn.LeakyReLU(0.1), 0.1), (nn.ELU(0.7), 0.7)):
        x = tn.tensor(0.0, requires_grad=True)
        layer(x).backward()
        assert x.grad.item() == pytest.approx(expected)


def test_relu_is_one_operation() -> None:
    x = tn.ones(2, requires_grad=True)
    assert nn.ReLU()(x).grad_fn.next_functions[0][0] is x


def test_inplace_is_accepted_and_leaves_the_input() -> None:
    x = tn.tensor([-1.0, 1.0])
    for layer in (nn.ReLU(inplace=True), nn.LeakyReLU(0.1, True), nn.ELU(1.0, True),
                  nn.SiLU(True), nn.Dropout(0.5, True)):
        layer(x)
        assert x.tolist() == [-1, 1]
    for function in (F.relu, F.leaky_relu, F.elu, F.silu, F.dropout):
        function(x, inplace=True)
        assert x.tolist() == [-1, 1]


def test_relu_of_ints_stays_int_and_others_become_float() -> None:
    x = tn.tensor([-1, 2])
    assert F.relu(x).dtype == tn.int64
    assert F.gelu(x).dtype == tn.float32


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_options(function: Any) -> None:
    x = tn.tensor(X).half()
    assert function(x, 1, dtype=tn.float64).dtype == tn.float64
    with pytest.warns(UserWarning, match="dim was left out and 1 is taken for 2 dim") as caught:
        implicit = function(x)
    assert implicit.tolist() == function(x, 1).tolist()
    assert caught[0].filename == __file__


# -- linear ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool, device: str) -> None:
    layer = nn.Linear(4, 2, bias=bias, device=device, dtype=tn.float64)
    data = random.standard_normal(shape)
    x = tn.tensor(data, device=device, requires_grad=True)
    y = layer(x)
    w = to_numpy(layer.weight.array)
    b = to_numpy(layer.bias.array) if bias else 0
    np.testing.assert_allclose(to_numpy(y.array), data @ w.T + b, rtol=1e-12)
    y.sum().backward()
    np.testing.assert_allclose(to_numpy(x.grad.array), np.broadcast_to(w.sum(0), shape))
    flat = data.reshape(-1, 4)
    np.testing.assert_allclose(to_numpy(layer.weight.grad.array), [flat.sum(0)] * 2, atol=1e-12)
    if bias:
        assert to_numpy(layer.bias.grad.array).tolist() == [len(flat)] * 2
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + bias]


def test_linear_derivatives() -> None:
    x, w, b = (tn.tensor(random.standard_normal(s), requires_grad=True)
               for s in ((2, 3), (2, 3), (2,)))
    assert gradcheck(F.linear, (x, w, b))
    assert gradgradcheck(F.linear, (x, w, b))
    row = tn.tensor(random.standard_normal(3), requires_grad=True)
    assert gradcheck(F.linear, (x, row))
    assert F.linear(x, row, tn.tensor(1.0)).shape == (2,)


def test_linear_starts_within_its_bound() -> None:
    layer = nn.Linear(100, 50)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= 0.1
        assert values.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.3)
    before = layer.weight.tolist()
    layer.reset_parameters()
    assert layer.weight.tolist() != before
    tn.manual_seed(1)
    a = nn.Linear(3, 3).weight.tolist()
    tn.manual_seed(1)
    assert nn.Linear(3, 3).weight.tolist() == a
    assert nn.Linear(0, 2)(tn.zeros(3, 0)).tolist() == [[0, 0]] * 3


def test_flatten() -> None:
    x = tn.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 2)(x).shape == (24, 5)
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"


# -- dropout -------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_masks_the_gradient(device: str) -> None:
    x = tn.ones(200, 100, device=device, requires_grad=True)
    y = nn.Dropout(0.3)(x)
    y.sum().backward()
    values = to_numpy(y.array)
    assert set(np.unique(values)) == {0.0, np.float32(1 / 0.7)}
    assert (values == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert values.mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(to_numpy(x.grad.array), values)


def test_dropout_is_the_same_on_each_device_for_a_seed(device: str) -> None:
    results = []
    for place in ("cpu", device, device):
        tn.manual_seed(5)
        y = F.dropout(tn.ones(50, device=place), 0.5)
        results.append(to_numpy(y.array).tolist())
    assert results[0] == results[1] == results[2]
    assert to_numpy(F.dropout(tn.ones(50, device=device)).array).tolist() != results[0]


def test_dropout_in_eval_and_at_the_ends() -> None:
    x = tn.ones(5, requires_grad=True)
    layer = nn.Dropout()
    assert layer.eval()(x) is x
    assert F.dropout(x, training=False) is x
    assert F.dropout(x, 0.0).tolist() == [1] * 5
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0] * 5
    assert F.dropout(tn.ones(()), 0.5).shape == ()
    assert F.dropout(tn.ones(3).half()).dtype == tn.float16
    assert F.dropout(tn.ones(3, dtype="int64")).dtype == tn.float32
    assert repr(layer) == "Dropout(p=0.5)"


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_dropout_checks_p(p: float) -> None:
    for call in (lambda: nn.Dropout(p), lambda: F.dropout(tn.ones(1), p)):
        with pytest.raises(ValueError, match="expected a probability p between 0 and 1, got"):
            call()


# -- containers --------------------------------------------------------------------------------------


def three() -> list[nn.Module]:
    return [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]


def names(module: nn.Module) -> list[str]:
    return [n for n, _ in module.named_children()]


def test_sequential_runs_its_modules_in_order() -> None:
    a, b, c = three()
    net = nn.Sequential(a, b, c)
    x = tn.ones(4, 2)
    assert net(x).tolist() == c(b(a(x))).tolist()
    assert nn.Sequential()(x) is x
    assert names(net) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", [OrderedDict, dict])
def test_sequential_of_named_modules(kind: Any) -> None:
    a, b, c = three()
    net = nn.Sequential(kind([("in", a), ("act", b), ("out", c)]))
    assert names(net) == ["in", "act", "out"]
    assert net.act is b
    assert net[2] is c
    assert names(net[1:]) == ["act", "out"]
    assert list(net.state_dict()) == ["in.weight", "in.bias", "out.weight", "out.bias"]


@pytest.mark.parametrize("kind", [lambda modules: nn.Sequential(*modules), nn.ModuleList])
def test_containers_are_lists(kind: Any) -> None:
    modules = three()
    box = kind(modules)
    assert len(box) == 3
    assert list(box) == modules
    assert (box[0], box[-1]) == (modules[0], modules[2])
    part = box[1:]
    assert type(part) is type(box)
    assert list(part) == modules[1:]
    assert list(box[::-1]) == modules[::-1]
    assert modules[1] in box
    assert nn.ReLU() not in box

    extra = nn.Tanh()
    assert box.append(extra) is box
    assert names(box) == ["0", "1", "2", "3"]
    assert box.extend([nn.SiLU()]) is box
    box.insert(0, first := nn.Identity())
    assert box[0] is first
    assert names(box) == [str(i) for i in range(6)]
    changed = nn.Linear(2, 3)
    box[1] = changed
    assert list(box)[1] is changed
    del box[0]
    assert list(box)[:3] == [changed, *modules[1:]]
    del box[-2:]
    assert names(box) == ["0", "1", "2"]
    assert box.pop() is modules[2]
    box += [modules[2]]
    both = box + [extra]
    assert (len(box), len(both)) == (3, 4)
    assert type(both) is type(box)


def test_extending_a_container_by_itself_ends() -> None:
    box = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    assert len(box.extend(box)) == 4


def test_sequential_part_shares_its_modules() -> None:
    net = nn.Sequential(*three())
    assert net[2:][0].weight is net[2].weight


def test_module_dict() -> None:
    box = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Linear(1, 1)})
    assert list(box) == list(box.keys()) == ["b", "a"]
    assert len(box) == 2
    assert "a" in box
    assert "weight" not in box
    box["c"] = last = nn.Tanh()
    assert list(box.values())[-1] is last
    assert dict(box.items())["c"] is box["c"]
    assert list(box.state_dict()) == ["a.weight", "a.bias"]
    assert box.pop("c") is last
    del box["b"]
    box.update([("d", nn.ReLU())])
    assert list(box) == ["a", "d"]
    box.clear()
    assert len(box) == 0
    assert len(nn.ModuleDict()) == 0
    assert len(nn.ModuleDict([("x", nn.ReLU())])) == 1


def test_a_subclass_of_sequential_slices_and_holds_more() -> None:
    class Net(nn.Sequential):
        pass

    net = Net(*three())
    assert type(net[:1]) is Net
    net.training_steps = 3  # an attribute that is no module is not run
    assert net(tn.ones(1, 2)).shape == (1, 1)


# -- initial values ------------------------------------------------------------------------------------


def test_truncated_normals_stay_inside_also_far_out() -> None:
    for a, b in ((-2.0, 2.0), (0.5, 0.6), (5.0, math.inf), (-9.0, -6.0), (30.0, 1e9)):
        values = nn.init.trunc_normal_(tn.empty(2000, dtype=tn.float64), a=a, b=b).numpy()
        assert ((values >= a) & (values <= b)).all()
    far = nn.init.trunc_normal_(tn.empty(20000), a=5.0, b=9.0).numpy()
    assert far.mean() == pytest.approx(5.1865, abs=0.01)  # φ(5)/(1 - Φ(5))


def test_init_writes_are_noticed_and_reach_every_device(device: str) -> None:
    layer = nn.Linear(3, 2, device=device)
    y = layer(tn.ones(1, 3, device=device, requires_grad=True)).sum()
    nn.init.ones_(layer.weight)
    assert to_numpy(layer.weight.array).tolist() == [[1] * 3] * 2
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()
    results = []
    for place in ("cpu", device):
        w = tn.zeros(2, 3, device=place)
        nn.init.kaiming_normal_(w, generator=tn.Generator().manual_seed(1))
        results.append(to_numpy(w.array).tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = nn.init.orthogonal_(tn.zeros(*shape), gain=2.0).numpy().reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)


# -- clipping ----------------------------------------------------------------------------------------


def with_gradients(*gradients: Any, device: str = "cpu", dtype: str = "float32") -> list[Any]:
    parameters = []
    for values in gradients:
        g = None if values is None else tn.tensor(values, device=device, dtype=dtype)
        shape = (1,) if g is None else g.shape
        p = nn.Parameter(tn.zeros(*shape, device=device, dtype=dtype))
        p.grad = g
        parameters.append(p)
    return parameters


def gradients(parameters: list[Any]) -> list[Any]:
    return [to_numpy(p.grad.array).tolist() for p in parameters if p.grad is not None]


def test_clip_grad_norm(device: str) -> None:
    ps = with_gradients([3.0], None, [[0.0, 4.0]], device=device)
    held = ps[0].grad
    before = strict.traffic["out"], strict.traffic["item"]
    total = clip_grad_norm_(ps, 1.0)
    assert (strict.traffic["out"], strict.traffic["item"]) == before  # nothing waits
    assert (total.item(), total.shape, total.device) == (5.0, (), ps[0].device)
    assert ps[0].grad is held
    np.testing.assert_allclose(to_numpy(held.array), [0.6], rtol=1e-6)
    np.testing.assert_allclose(to_numpy(ps[2].grad.array), [[0, 0.8]], rtol=1e-6)
    assert clip_grad_norm_((p for p in ps), 2.0).item() == pytest.approx(1)
    np.testing.assert_allclose(to_numpy(held.array), [0.6], rtol=1e-6)


def test_clip_grad_norm_of_the_largest_value_and_of_one_tensor(device: str) -> None:
    (p,) = with_gradients([3.0, -6.0], device=device)
    assert clip_grad_norm_(p, 3, norm_type=math.inf).item() == 6
    np.testing.assert_allclose(to_numpy(p.grad.array), [1.5, -3], rtol=1e-6)
    assert clip_grad_norm_(p, 9.0, "inf").item() == pytest.approx(3)
    assert clip_grad_norm_(p, 9.0, norm_type=1).item() == pytest.approx(4.5)


def test_clip_grad_norm_without_gradients() -> None:
    assert clip_grad_norm_(with_gradients(None), 1.0).item() == 0
    assert clip_grad_norm_([], 1.0).shape == ()
    (p,) = with_gradients(np.zeros((0, 3)))
    assert clip_grad_norm_(p, 1.0, math.inf).item() == 0


def test_clip_grad_norm_in_float16_does_not_overflow() -> None:
    ps = with_gradients([200.0] * 10, [200.0] * 10, dtype="float16")
    total = clip_grad_norm_(ps, 1.0)
    assert total.dtype == tn.float16
    assert total.item() == pytest.approx(200 * math.sqrt(20), rel=1e-3)
    assert gradients(ps)[0][0] == pytest.approx(1 / math.sqrt(20), rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clip_grad_norm_of_what_is_not_finite(bad: float, device: str) -> None:
    ps = with_gradients([1.0], [bad], device=device)
    with pytest.raises(RuntimeError, match=r"clip_grad_norm_: the total norm of order 2.0 is "
                                           r"(nan|inf), so gradients cannot be clipped"):
        clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert gradients(ps)[0] == [1.0]
    clip_grad_norm_(with_gradients([1.0], [math.nan], device=device), 1.0)


def test_clip_grad_value(device: str) -> None:
    ps = with_gradients([3.0, -0.2], None, [-4.0], device=device)
    held = ps[0].grad
    assert clip_grad_value_(ps, 0.5) is None
    assert ps[0].grad is held
    np.testing.assert_allclose(to_numpy(held.array), [0.5, -0.2], rtol=1e-6)
    assert gradients(ps)[1] == [-0.5]


@pytest.mark.parametrize("clip", [lambda p: clip_grad_norm_(p, 0.1),
                                  lambda p: clip_grad_value_(p, 0.1)])
def test_clipping_is_noticed_by_a_graph_that_holds_the_gradient(clip: Callable[..., Any]) -> None:
    (p,) = with_gradients([3.0])
    x = tn.ones(1, requires_grad=True)
    y = (x * p.grad).sum()
    clip(p)
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()


# -- errors ----------------------------------------------------------------------------------------

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.gelu(tn.ones(1), approximate="fast"), RuntimeError,
     "gelu: expected approximate none or tanh, got 'fast'"),
    (lambda: nn.GELU("fast"), RuntimeError, "GELU: expected approximate none or tanh, got 'fast'"),
    (lambda: nn.Softplus(0), ValueError, "Softplus: expected beta other than 0; it divides"),
    (lambda: F.softmax(tn.ones(2, 2), 3), IndexError, "softmax: "),
    (lambda: F.softmax(tn.ones(2, 2).long(), 1), TypeError,
     "softmax: expected a floating point tensor, got int64"),
    (lambda: nn.Linear(3, 2)(tn.ones(2, 4)), ValueError,
     "Linear: expected input (*, 3), got (2, 4)"),
    (lambda: nn.Linear(3, 2)(tn.ones(())), ValueError, "Linear: expected input (*, 3), got ()"),
    (lambda: F.linear(tn.ones(2, 4), tn.ones(2, 3)), ValueError,
     "linear: expected input (*, in) and weight (out, in), got (2, 4) and (2, 3)"),
    (lambda: F.linear(tn.ones(2, 3), tn.ones(2, 3), tn.ones(3)), ValueError,
     "linear: expected bias (2,) for weight (2, 3), got (3,)"),
    (lambda: nn.Sequential(nn.ReLU(), 3), TypeError, "Sequential: expected a Module, got int"),
    (lambda: nn.Sequential({"a": 3}), TypeError, "Sequential: expected a Module, got int"),
    (lambda: nn.ModuleList([tn.ones(1)]), TypeError, "ModuleList: expected a Module, got Tensor"),
    (lambda: nn.ModuleList().append("x"), TypeError, "ModuleList: expected a Module, got str"),
    (lambda: nn.Sequential(nn.ReLU())[1], IndexError,
     "Sequential: index 1 is out of range for 1 modules"),
    (lambda: nn.ModuleList([nn.ReLU()]).insert(3, nn.ReLU()), IndexError,
     "ModuleList: index 3 is out of range for 1 modules"),
    (lambda: nn.ModuleList().__delitem__(0), IndexError, "index 0 is out of range for 0 modules"),
    (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "attribute 'keys' already exists"),
    (lambda: nn.ModuleDict({1: nn.ReLU()}), TypeError, "name: expected a string, got int"),
    (lambda: nn.ModuleDict({"a": 1}), TypeError, "ModuleDict: expected a Module, got int"),
    (lambda: nn.ModuleDict()["a"], KeyError, "a"),
    (lambda: nn.init.calculate_gain("swish"), ValueError, "calculate_gain: expected one of"),
    (lambda: nn.init.xavier_normal_(tn.ones(2)), ValueError,
     "init: fan in and fan out need at least 2 dimensions, got (2,)"),
    (lambda: nn.init.kaiming_normal_(tn.ones(2, 2), mode="fan"), ValueError,
     "kaiming: expected mode fan_in or fan_out, got 'fan'"),
    (lambda: nn.init.orthogonal_(tn.ones(2)), ValueError, "orthogonal_: expected at least 2"),
    (lambda: nn.init.eye_(tn.ones(2)), ValueError, "eye_: expected 2 dimensions, got (2,)"),
    (lambda: nn.init.trunc_normal_(tn.ones(2), a=1, b=1), ValueError,
     "trunc_normal_: expected a < b, got 1 and 1"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[m[:50] for _, _, m in ERRORS])
def test_error(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_reprs_show_the_arguments() -> None:
    assert [repr(m) for m in (nn.ReLU(), nn.LeakyReLU(0.1), nn.GELU(), nn.Softplus(), nn.Softmax(1),
                              nn.Identity(), nn.ELU())] == [
        "ReLU()", "LeakyReLU(negative_slope=0.1)", "GELU(approximate='none')",
        "Softplus(beta=1.0, threshold=20.0)", "Softmax(dim=1)", "Identity()", "ELU(alpha=1.0)"]


def test_the_tables_of_contents_are_complete() -> None:
    for module in (nn, F):
        for name in module.__all__:
            assert getattr(module, name) is not None
        shown = {n for n, v in vars(module).items()
                 if n[0] != "_" and (inspect.isclass(v) or inspect.isfunction(v))}
        assert shown <= set(module.__all__)
