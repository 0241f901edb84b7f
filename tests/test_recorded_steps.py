"""Steps of every norm, loss and optimizer are recorded whole: they ask only what may be asked.

What a recording answers with a guard is known by the file that asks; what else would be asked is an
error with ``fullgraph``. The step that is run again does what the eager one does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn, optim
from tinygrad_norm.compiler.recording import Recording, Where
from tinygrad_norm.proof.catalogue import ENTRIES

F = nn.functional
ASKED = {
    "backend/reference.py": "whether variances are moderate",
    "backend/passes.py": "whether the mean of a few values is near that of all",
    "nn/normalization/running.py": "whether averages stay finite",
    "nn/normalization/conditional.py": "labels", "nn/cross_entropy.py": "labels",
    "nn/normalization/shards.py": "whether units are 1",
    "nn/embedding.py": "indices", "nn/loss.py": "probabilities",
    "nn/utils/clip_grad.py": "whether powers stay in range",
    "ops/convolution.py": "whether what is beside the windows can be multiplied by 0",
}
"""The files with a question that becomes a guard, and what it is."""
PINNED = {"optim/sgd.py", "optim/adam.py"}
"""Where a number has to stay what it was: settings of an optimizer, such as weight_decay."""

Make = Callable[[Any], Any]
SGD: Make = lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9)  # noqa: E731


def guards(recording: Recording) -> list[str]:
    """The files that asked."""
    made = {line.out: line.where for line in recording.lines if not isinstance(line.out, list)}
    return [file(made[slot]) for slot, _ in recording.guards]


def file(where: Where) -> str:
    return Path(where[1][0]).relative_to(Path(tn.__file__).parent).as_posix()


def check(model: nn.Module, loss: Callable[..., Any], batches: Sequence[Sequence[Any]],
          make: Make = SGD, limit: Callable[[Any], Any] | None = None) -> Recording:
    """The model trained for a few batches, compiled and as it is: losses and state agree."""
    ends, losses = [], []
    for compiled in (False, True):
        own = copy.deepcopy(model)
        optimizer = make(own.parameters())

        def step(*batch: Any, own: Any = own, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            value = loss(own, *batch)
            value.backward()
            if limit is not None:
                limit(own.parameters())
            optimizer.step()
            return value

        run = tn.compile(step, fullgraph=True) if compiled else step
        tn.manual_seed(1)
        losses.append([run(*batch).item() for batch in batches])
        state = optimizer.state_dict()["state"]
        ends.append({**own.state_dict(), **{
            f"{i}.{name}": value for i, one in state.items() for name, value in one.items()}})
        ends[-1]["the generator"] = tn.get_rng_state()
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-10)
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name].numpy(), value.numpy(), rtol=1e-9, atol=1e-12,
                                   err_msg=name)
    (entry,) = run._entries
    assert entry.runs >= len(batches) - 2, repr(run)
    assert not entry.eager, repr(run)
    assert {*guards(entry.recording)} <= ASKED.keys()
    assert {file(one.where) for one in entry.recording.arithmetic
            if one.slot is None and not isinstance(one.answer, bool)} <= PINNED
    return entry.recording


def tensors(*shape: int, n: int = 4, dtype: Any = tn.float64) -> list[Any]:
    return [tn.randn(*shape, dtype=dtype) for _ in range(n)]


class Scaled(nn.Module):
    """A norm whose input has a gradient too."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.gain = layer, nn.Parameter(tn.tensor(1.5, dtype=tn.float64))

    def forward(self, x: Any, *others: Any) -> Any:
        return self.layer(x * self.gain, *others)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_norms(entry: Any, training: bool) -> None:
    layer = entry.make(True, dtype=tn.float64)
    layer.load_state_dict(layer.state_dict())
    random = np.random.default_rng(0)
    batches = [[tn.from_numpy(value) for value in entry.inputs(random)] for _ in range(4)]
    shape = layer(*batches[0]).shape
    weight = tn.randn(*shape, dtype=tn.float64)
    model = Scaled(layer).train(training)
    check(model, lambda own, *x: (own(*x) * weight).square().mean(), batches)


def classified(*norms: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *norms, nn.ReLU(), nn.Linear(8, 5)).double()


def labelled(n: int = 4, samples: int = 12) -> list[list[Any]]:
    return [[x, tn.randint(5, (samples,))] for x in tensors(samples, 6, n=n)]


def cross_entropy(own: Any, x: Any, labels: Any) -> Any:
    return F.cross_entropy(own(x), labels)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "momentum=None": lambda: nn.BatchNorm1d(8, momentum=None),
    "no affine": lambda: nn.BatchNorm1d(8, affine=False),
    "renorm": lambda: nn.BatchRenorm1d(8),
    "dropout": lambda: nn.Dropout(0.3), "gelu": nn.GELU, "gelu tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
    "elu": nn.ELU, "leaky relu": nn.LeakyReLU, "softmax": lambda: nn.Softmax(1),
    "log softmax": lambda: nn.LogSoftmax(1), "dyt": lambda: nn.DyT(8),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
    "standardized": lambda: nn.utils.parametrizations.weight_standardization(nn.Linear(8, 8)),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers(make: Callable[[], nn.Module]) -> None:
    check(classified(make()), cross_entropy, labelled())


OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, maximize=True),
    "adam": lambda p: optim.Adam(p, weight_decay=0.1),
    "amsgrad": lambda p: optim.Adam(p, amsgrad=True), "adamw": optim.AdamW,
}
LIMITS: dict[str, Callable[[Any], Any]] = {
    "norm": lambda p: nn.utils.clip_grad_norm_(p, 0.1),
    "finite norm": lambda p: nn.utils.clip_grad_norm_(p, 0.1, error_if_nonfinite=True),
    "largest": lambda p: nn.utils.clip_grad_norm_(p, 0.1, norm_type=float("inf")),
    "absolute": lambda p: nn.utils.clip_grad_norm_(p, 0.1, norm_type=1),
    "values": lambda p: nn.utils.clip_grad_value_(p, 0.01),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers(make: Make) -> None:
    check(classified(nn.LayerNorm(8)), cross_entropy, labelled(), make)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_limited_gradients(limit: Callable[[Any], Any]) -> None:
    check(classified(nn.LayerNorm(8)), cross_entropy, labelled(), limit=limit)


WEIGHT = tn.tensor([1.0, 2.0, 0.5, 1.0, 3.0], dtype=tn.float64)
LOSSES: dict[str, Callable[..., Any]] = {
    "sum": lambda y, t, _: F.cross_entropy(y, t, reduction="sum"),
    "smoothed": lambda y, t, _: F.cross_entropy(y, t, label_smoothing=0.1),
    "weighted": lambda y, t, _: F.cross_entropy(y, t, weight=WEIGHT),
    "ignored": lambda y, t, _: F.cross_entropy(y, t, ignore_index=3),
    "each": lambda y, t, _: F.cross_entropy(y, t, reduction="none").mean(),
    "probabilities": lambda y, _, q: F.cross_entropy(y, q),
    "nll": lambda y, t, _: F.nll_loss(F.log_softmax(y, 1), t),
    "mse": lambda y, _, q: F.mse_loss(y, q), "l1": lambda y, _, q: F.l1_loss(y, q),
    "huber": lambda y, _, q: F.huber_loss(y, q),
    "smooth l1": lambda y, _, q: F.smooth_l1_loss(y, q),
    "binary": lambda y, _, q: F.binary_cross_entropy(y.sigmoid(), q),
    "logits": lambda y, _, q: F.binary_cross_entropy_with_logits(y, q),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses(loss: Callable[..., Any]) -> None:
    batches = [[x, t, tn.rand(12, 5, dtype=tn.float64)] for x, t in labelled()]
    check(classified(), lambda own, x, t, q: loss(own(x), t, q), batches)


class Attends(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.layer(x, src_mask=tn.arange(4)[:, None] < tn.arange(4))


def test_attention_convolution_and_embedding() -> None:
    check(Attends().double(), lambda own, x: own(x).square().mean(),
          [[x] for x in tensors(3, 4, 6)])
    images = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                           nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 5))
    check(images.double(), cross_entropy,
          [[x, tn.randint(5, (3,))] for x in tensors(3, 2, 4, 4)])
    words = nn.Sequential(nn.Embedding(9, 6), nn.RMSNorm(6), nn.Linear(6, 5)).double()
    check(words, cross_entropy, [[tn.randint(9, (7,)), tn.randint(5, (7,))] for _ in range(4)])


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(8), nn.LayerNorm(8), nn.GroupNorm(2, 8)],
                         ids=lambda norm: type(norm).__name__)
def test_a_gradient_penalty(norm: nn.Module) -> None:
    def loss(own: Any, x: Any, labels: Any) -> Any:
        x = x.detach().requires_grad_()
        value = cross_entropy(own, x, labels)
        (dx,) = tn.autograd.grad(value, x, create_graph=True)
        return value + dx.square().sum()

    check(classified(norm), loss, labelled())


def test_old_and_new_values_are_both_read() -> None:
    """Each sum needs what the state was and what another has become."""
    def one() -> Callable[[Any], Any]:
        a, b = (tn.arange(5).double() + i for i in range(2))

        def step(x: Any) -> Any:
            before = a.clone(), b.clone()
            a.add_(x)
            b.mul_(x)
            return (before[0] * b).sum() + (before[1].sum() - a).square().sum() + (
                (a - before[0]) * before[0]).sum()

        return step

    plain, compiled = one(), tn.compile(one(), fullgraph=True)
    for x in tensors(5):
        np.testing.assert_allclose(compiled(x).item(), plain(x).item(), rtol=1e-12)


def test_guards_are_few() -> None:
    """One of a norm in training and one of its averages, one of the labels; one of many values."""
    def asked(norm: nn.Module, samples: int) -> list[str]:
        return sorted(guards(check(classified(norm), cross_entropy, labelled(3, samples))))

    norm, averages, labels = (
        "backend/reference.py", "nn/normalization/running.py", "nn/cross_entropy.py")
    assert asked(nn.LayerNorm(8), 12) == [norm, labels]
    assert asked(nn.BatchNorm1d(8), 12) == [norm, labels, averages]
    assert asked(nn.BatchNorm1d(8), 2000) == ["backend/passes.py", norm, labels, averages]
