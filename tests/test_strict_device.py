"""No code path leaves the array's own module: shown on an array type that refuses to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from strict import StrictArray

import tinygrad_norm as tn
from tinygrad_norm.errors import DeviceError


def crossings() -> tuple[int, int]:
    return strict.traffic["out"], strict.traffic["item"]

# -- tensors on it -------------------------------------------------------------------------------

def test_there_and_back() -> None:
    x = tn.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.to("strict")
    assert y.device == tn.device("strict", 0)
    assert str(y.device) == "strict:0"
    assert y.to("strict") is y
    assert not y.is_cuda
    back = (y * y).to("cpu")
    back.sum().backward()
    assert x.grad.device == tn.device("cpu")
    assert x.grad.tolist() == [[2, 4], [6, 8]]
    z = x.detach().to("strict", tn.float64)
    assert z.dtype == tn.float64
    assert x.detach().to(z).device == z.device
    assert z.tolist() == x.tolist()
    assert "device=strict:0" in repr(z)


def test_new_tensors_are_made_there() -> None:
    x = tn.zeros(2, 3, device="strict", requires_grad=True)
    for y in (tn.ones_like(x), tn.rand_like(x), tn.randn(2, device="strict"),
              tn.eye(2, device="strict"), tn.arange(3, device="strict"),
              tn.full((2,), 1, device="strict"),
              tn.linspace(0, 1, 3, device="strict"), tn.randperm(3, device="strict"),
              tn.randint(3, (2,), device="strict"), tn.tensor([1, 2], device="strict"),
              tn.tensor(x), tn.as_tensor(np.ones(2), device="strict"), x.clone(), x.detach(),
              tn.full_like(x, 2), tn.tensor(x.array)):
        assert isinstance(y.array, StrictArray)
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert tn.zeros(1, device="strict").item() == 0
    assert bool(tn.ones(1, device="strict"))


@pytest.mark.parametrize("mix", [
    lambda x, y: x + y, lambda x, y: y * x, lambda x, y: x / y, lambda x, y: y**x,
    lambda x, y: x @ y, lambda x, y: y @ x, lambda x, y: tn.maximum(x, y), lambda x, y: x < y,
    lambda x, y: x == y, lambda x, y: tn.where(x > 0, x, y), lambda x, y: tn.where(y > 0, x, x),
    lambda x, y: tn.cat([x, y]), lambda x, y: tn.stack([y, x]), lambda x, y: x + y.numpy(),
    lambda x, y: y.numpy() + x, lambda x, y: tn.einsum("ij,jk->ik", x, y),
    lambda x, y: x[y > 0], lambda x, y: y[x > 0], lambda x, y: x[y.numpy() > 0],
    lambda x, y: x.__setitem__(0, y[0]), lambda x, y: y.__setitem__(0, x[0]),
    lambda x, y: x.add_(y), lambda x, y: y.add_(x), lambda x, y: x.copy_(y),
    lambda x, y: x.gather(0, y.long()), lambda x, y: x.masked_fill(y > 0, 0),
    lambda x, y: x.clamp(y), lambda x, y: (x.requires_grad_() * 1).backward(y),
    lambda x, y: setattr(x, "grad", y), lambda x, y: tn.nn.functional.linear(x, y),
])
def test_mixing_devices_says_which_is_where(mix: Callable[[Any, Any], Any]) -> None:
    x, y = tn.ones(2, 2, device="strict"), tn.ones(2, 2)
    before = crossings()
    with pytest.raises(DeviceError) as error:
        mix(x, y)
    assert "strict:0" in str(error.value)
    assert "cpu" in str(error.value)
    assert isinstance(error.value, RuntimeError)
    assert crossings() == before, "an array crossed on the way to the error"


def test_the_message() -> None:
    with pytest.raises(DeviceError, match=(
            r"^add: input 0 of shape \(2,\) is on cpu, input 1 of shape \(3,\) is on strict:0; "
            r"move one with \.to\(device\)$")):
        tn.ones(2) + tn.ones(3, device="strict")


def test_nothing_crosses_by_itself() -> None:
    x = tn.ones(2, 2, device="strict")
    with pytest.raises(TypeError, match=r"tensor on strict:0; use \.cpu\(\) to copy it first"):
        x.numpy()
    with pytest.raises(TypeError, match=r"use \.cpu\(\)"):
        np.asarray(x)
    with pytest.raises(TypeError):
        np.ones((2, 2)).__setitem__(..., x)
    assert x.cpu().numpy().tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(("name", "message"), [
    ("strict:1", "there is one"), ("nowhere", "expected 'cpu', 'cuda' or 'cuda:N'"),
    ("cpu:1", "there is one cpu"), ("CPU", "expected 'cpu'"), (object(), "expected 'cpu'"),
])
def test_a_device_that_is_not_there(name: Any, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        tn.ones(2).to(device=name)


def test_no_gpu_says_what_to_do() -> None:
    if tn.cuda.is_available():
        assert tn.ones(2).cuda().is_cuda
        return
    for move in (lambda: tn.ones(2).cuda(), lambda: tn.ones(2).to("cuda:0"),
                 lambda: tn.zeros(2, device="cuda"), lambda: tn.ones(2).to(0)):
        with pytest.raises(DeviceError, match=r"pip install|nvidia-smi"):
            move()

# -- a training step -----------------------------------------------------------------------------

def mlp(device: str) -> tuple[list[tn.nn.Linear], tn.Tensor, tn.Tensor]:
    tn.manual_seed(1)
    layers = [tn.nn.Linear(4, 8), tn.nn.Linear(8, 3)]
    for layer in layers:
        layer.to(device)
    random = np.random.default_rng(0)
    x = tn.tensor(random.normal(size=(16, 4)), dtype=tn.float32, device=device)
    target = tn.tensor(random.normal(size=(16, 3)), dtype=tn.float32, device=device)
    return layers, x, target


def train(device: str, steps: int = 5) -> tuple[list[Any], tuple[int, int]]:
    layers, x, target = mlp(device)
    parameters = [p for layer in layers for p in layer.parameters()]
    before = crossings()
    for _ in range(steps):
        hidden = layers[0](x).relu()
        loss = ((layers[1](hidden) - target) ** 2).mean()
        for p in parameters:
            p.grad = None
        loss.backward()
        with tn.no_grad():
            for p in parameters:
                p -= 0.1 * p.grad
    crossed = tuple(b - a for a, b in zip(before, crossings(), strict=True))
    return [loss, *parameters], crossed


def test_training_stays_on_the_device_and_equals_numpys() -> None:
    there, crossed = train("strict")
    here, _ = train("cpu")
    assert crossed == (0, 0), "a training step copied from the device or waited for it"
    for a, b in zip(there, here, strict=True):
        assert isinstance(a.array, StrictArray)
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-5,
                                   atol=1e-7)


NN = tn.nn
LAYERS: list[tuple[Callable[[], Any], tuple[int, ...]]] = [
    (lambda: NN.Linear(4, 3), (5, 4)), (lambda: NN.Flatten(), (3, 2, 2)),
    (lambda: NN.BatchNorm1d(4), (8, 4)), (lambda: NN.BatchNorm1d(4, momentum=None), (8, 4, 3)),
    (lambda: NN.BatchNorm2d(4, affine=False), (3, 4, 2, 2)),
    (lambda: NN.BatchNorm3d(2, track_running_stats=False), (3, 2, 2, 2, 2)),
    (lambda: NN.BatchRenorm1d(4), (8, 4)), (lambda: NN.LayerNorm((3, 4)), (5, 3, 4)),
    (lambda: NN.InstanceNorm2d(4, affine=True, track_running_stats=True), (2, 4, 3, 3)),
    (lambda: NN.GroupNorm(2, 4), (3, 4, 5)), (lambda: NN.RMSNorm(4), (3, 4)),
    (lambda: NN.GELU(), (3, 4)), (lambda: NN.GELU(approximate="tanh"), (3, 4)),
    (lambda: NN.SiLU(), (3, 4)), (lambda: NN.ELU(), (3, 4)), (lambda: NN.Softplus(), (3, 4)),
    (lambda: NN.LeakyReLU(), (3, 4)), (lambda: NN.Softmax(1), (3, 4)),
    (lambda: NN.LogSoftmax(1), (3, 4)), (lambda: NN.Dropout(0.5), (3, 4)),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[repr(m()) for m, _ in LAYERS])
def test_layers_stay_on_the_device(
    make: Callable[[], Any], shape: tuple[int, ...], training: bool
) -> None:
    """Forward, backward, and backward again."""
    layer = make()
    layer.load_state_dict(layer.state_dict())  # as if trained: eval does not warn
    layer.to("strict").train(training)
    x = tn.randn(*shape, device="strict", requires_grad=True)
    before = crossings()
    y = layer(x)
    first = tn.autograd.grad((y * y).sum(), [x, *layer.parameters()], create_graph=True)
    sum((g * g).sum() for g in first).backward()
    assert isinstance(x.grad.array, StrictArray)
    assert crossings() == before


@pytest.mark.parametrize("loss", [
    lambda x, y, i: NN.functional.cross_entropy(x, i),
    lambda x, y, i: NN.functional.cross_entropy(
        x, i, weight=y[0], ignore_index=2, label_smoothing=0.1),
    lambda x, y, i: NN.functional.cross_entropy(x, y.softmax(1)),
    lambda x, y, i: NN.functional.nll_loss(x.log_softmax(1), i),
    lambda x, y, i: NN.functional.mse_loss(x, y), lambda x, y, i: NN.functional.l1_loss(x, y),
    lambda x, y, i: NN.functional.smooth_l1_loss(x, y),
    lambda x, y, i: NN.functional.huber_loss(x, y),
    lambda x, y, i: NN.functional.binary_cross_entropy(x.sigmoid(), y),
    lambda x, y, i: NN.functional.binary_cross_entropy_with_logits(x, y),
])
def test_losses_stay_on_the_device(loss: Callable[[Any, Any, Any], Any]) -> None:
    x = tn.randn(3, 4, device="strict", requires_grad=True)
    y, i = tn.rand(3, 4, device="strict"), tn.tensor([0, 2, 1], device="strict")
    before = crossings()
    loss(x, y, i).backward()
    assert isinstance(x.grad.array, StrictArray)
    assert crossings() == before


def test_the_optimizer_stays_on_the_device() -> None:
    layer = NN.Linear(4, 3).to("strict")
    optimizer = tn.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, nesterov=True,
                             weight_decay=0.1)
    x = tn.ones(2, 4, device="strict")
    before = crossings()
    for _ in range(3):
        optimizer.zero_grad()
        (layer(x) ** 2).mean().backward()
        NN.utils.clip_grad_norm_(layer.parameters(), 1.0)
        NN.utils.clip_grad_value_(layer.parameters(), 0.5)
        optimizer.step()
    assert crossings() == before


def test_moving_a_module_keeps_its_parameters() -> None:
    layer = tn.nn.Linear(2, 3)
    weight, values = layer.weight, layer.weight.tolist()
    layer(tn.ones(1, 2)).sum().backward()
    assert layer.to("strict") is layer
    assert layer.weight is weight
    assert weight.device.type == weight.grad.device.type == "strict"
    layer.cpu()
    assert weight.tolist() == values
    assert isinstance(weight.array, np.ndarray)


def test_the_tools_work_there_too() -> None:
    x = tn.randn(3, dtype=tn.float64, device="strict", requires_grad=True)
    assert tn.autograd.gradcheck(lambda x: (x.exp() * x).sum(0, keepdim=True), (x,))
    assert tn.autograd.gradgradcheck(lambda x: x**3, (x,))
    assert tn.autograd.functional.jacobian(lambda x: x**2, x).device == x.device
    assert tn.autograd.functional.hvp(lambda x: (x**3).sum(), x, x.detach())[1].device == x.device
    with tn.autograd.detect_anomaly():
        (x * x).sum().backward()
    assert x.grad.device == x.device
    assert tn.allclose(x.grad, 2 * x.detach())


def test_a_user_functions_gradient_elsewhere_is_refused() -> None:
    class Away(tn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return tn.ones(2)

    x = tn.ones(2, device="strict", requires_grad=True)
    with pytest.raises(DeviceError, match=(
            r"^Away.backward: expected a gradient on strict:0 for argument 0, got cpu; return "
            r"\.to\(device\)$")):
        Away.apply(x).sum().backward()


def test_user_functions_work_there_too() -> None:
    class Double(tn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, da: Any, db: Any) -> Any:
            return da * 2 + db * 3

    for create_graph in (False, True):
        x = tn.ones(2, device="strict", requires_grad=True)
        first, _ = Double.apply(x)
        (gradient,) = tn.autograd.grad(first.sum(), x, create_graph=create_graph)
        assert isinstance(gradient.array, StrictArray)
        assert gradient.tolist() == [2, 2]
