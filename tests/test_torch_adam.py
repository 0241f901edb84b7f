"""Adam and AdamW against PyTorch's, in float64 to 1e-10."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
from test_torch_optim import SHAPES, converted, step

import tinygrad_norm as tn
from tinygrad_norm import optim

torch = pytest.importorskip("torch")

ALIKE = {"rtol": 1e-10, "atol": 1e-10}
GRID = [
    dict(zip(("betas", "eps", "weight_decay", "amsgrad", "maximize"), v, strict=True))
    for v in itertools.product(((0.9, 0.999), (0.0, 0.5)), (1e-8, 0.1), (0, 0.1), (False, True),
                               (False, True))
]


def groups(params: list[Any]) -> list[dict[str, Any]]:
    return [{"params": params[:2]}, {"params": params[2:3], "lr": 0.5, "weight_decay": 0.2},
            {"params": params[3:], "betas": (0.5, 0.9)}]


def pair(name: str, options: dict[str, Any]) -> tuple[list[tn.Tensor], Any, list[Any], Any]:
    """The same parameters with our optimizer and PyTorch's."""
    random = np.random.default_rng(0)
    starts = [np.asarray(random.normal(size=shape)) for shape in SHAPES]
    ours = [tn.tensor(v, requires_grad=True) for v in starts]
    theirs = [torch.tensor(v, requires_grad=True) for v in starts]
    return (ours, getattr(optim, name)(groups(ours), lr=0.1, **options),
            theirs, getattr(torch.optim, name)(groups(theirs), lr=0.1, **options))


def equal(ours: list[tn.Tensor], theirs: list[Any]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **ALIKE)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("options", GRID, ids=lambda o: "-".join(map(str, o.values())))
def test_twenty_steps(name: str, options: dict[str, Any]) -> None:
    ours, optimizer, theirs, reference = pair(name, options)
    for seed in range(20):
        if seed == 10:
            state = optimizer.state_dict()
            optimizer = getattr(optim, name)(groups(ours), lr=3)
            optimizer.load_state_dict(state)
            state = reference.state_dict()
            reference = getattr(torch.optim, name)(groups(theirs), lr=3)
            reference.load_state_dict(state)
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
        equal(ours, theirs)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_many_small_parameters(name: str, amsgrad: bool) -> None:
    """They are updated as one array; one of them has a gradient every third time only."""
    results = []
    for library in (tn, torch):
        params = [library.ones(3, i % 2 + 1, dtype=library.float64, requires_grad=True)
                  for i in range(8)]
        optimizer = getattr(library.optim, name)(params, lr=0.1, amsgrad=amsgrad, weight_decay=0.1)
        for seed in range(20):
            random = np.random.default_rng(seed)
            for i, p in enumerate(params):
                gradient = library.from_numpy(random.normal(size=tuple(p.shape)))
                p.grad = gradient if i != 2 or seed % 3 == 0 else None
            optimizer.step()
        results.append((params, optimizer))
    equal(results[0][0], results[1][0])
    held, expected = (o.state_dict()["state"] for _, o in results)
    for number, values in expected.items():
        assert list(held[number]) == list(values)
        for key, value in values.items():
            np.testing.assert_allclose(held[number][key].numpy(), value.numpy(), **ALIKE)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_narrow_dtypes(dtype: str) -> None:
    """Where PyTorch's float16 has digits enough: gradients near 1 and an eps that it can hold."""
    results = []
    for library in (tn, torch):
        random = np.random.default_rng(0)
        p = library.from_numpy(random.normal(size=(4, 5)).astype(dtype)).requires_grad_()
        optimizer = library.optim.AdamW([p], lr=0.05, eps=1e-3)
        for _ in range(20):
            p.grad = library.from_numpy(random.normal(size=(4, 5)).astype(dtype))
            optimizer.step()
        results.append(p.detach().numpy().astype("float64"))
    near = {"float32": 2e-6, "float16": 2e-2}[dtype]
    np.testing.assert_allclose(*results, rtol=0, atol=near)


@pytest.mark.parametrize(("saved", "loaded"), [
    ("Adam", "Adam"), ("AdamW", "AdamW"), ("Adam", "AdamW"), ("AdamW", "Adam")])
def test_a_state_dict_of_pytorch_can_be_loaded(saved: str, loaded: str) -> None:
    ours, _, theirs, reference = pair(saved, {"amsgrad": True})
    for seed in range(3):
        step(theirs, reference, seed)
    for a, b in zip(ours, theirs, strict=True):
        a.data = tn.tensor(b.detach().numpy())
    state = reference.state_dict()
    optimizer = getattr(optim, loaded)(groups(ours))
    optimizer.load_state_dict(converted(state))
    expected = getattr(torch.optim, loaded)(groups(theirs))
    expected.load_state_dict(state)
    assert list(optimizer.state_dict()["state"]) == list(state["state"])
    for seed in range(3, 8):
        step(ours, optimizer, seed)
        step(theirs, expected, seed)
    equal(ours, theirs)


def returned(value: Any) -> Any:
    """Our tensors in a state dict as PyTorch's."""
    if isinstance(value, tn.Tensor):
        return torch.tensor(value.detach().numpy())
    if isinstance(value, dict):
        return {key: returned(item) for key, item in value.items()}
    return [returned(item) for item in value] if isinstance(value, list) else value


def test_pytorch_loads_our_state_dict() -> None:
    ours, optimizer, theirs, _ = pair("AdamW", {"amsgrad": True})
    for seed in range(3):
        step(ours, optimizer, seed)
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            b.copy_(torch.tensor(a.detach().numpy()))
    reference = torch.optim.AdamW(groups(theirs))
    reference.load_state_dict(returned(optimizer.state_dict()))
    for seed in range(3, 8):
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
    equal(ours, theirs)


def test_the_keys_of_a_group_are_pytorchs() -> None:
    for name in ("Adam", "AdamW"):
        _, optimizer, _, reference = pair(name, {})
        for held, expected in zip(optimizer.state_dict()["param_groups"],
                                  reference.state_dict()["param_groups"], strict=True):
            assert held == expected


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("options", [
    {"lr": -1}, {"eps": -1}, {"weight_decay": -1}, {"betas": (1.0, 0.9)}, {"betas": (0.9, 1.0)},
    {"betas": (-0.1, 0.9)},
], ids=str)
def test_what_pytorch_refuses_is_refused_as_the_same_class(
    name: str, options: dict[str, Any]
) -> None:
    for library in (tn, torch):
        with pytest.raises(ValueError):
            getattr(library.optim, name)([library.ones(2)], **options)


@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_one_cycle_moves_the_first_beta(cycle: bool, anneal: str) -> None:
    ours, optimizer, theirs, reference = pair("Adam", {})
    both = [module.lr_scheduler.OneCycleLR(
        o, [0.3, 0.2, 0.1], total_steps=20, cycle_momentum=cycle, anneal_strategy=anneal)
        for module, o in ((optim, optimizer), (torch.optim, reference))]
    for seed in range(19):
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
        equal(ours, theirs)
        for one in both:
            one.step()
        for a, b in zip(optimizer.param_groups, reference.param_groups, strict=True):
            np.testing.assert_allclose((a["lr"], *a["betas"]), (b["lr"], *b["betas"]), 1e-12)


@pytest.mark.parametrize(("name", "args"), [
    ("StepLR", (3,)), ("ExponentialLR", (0.9,)), ("CosineAnnealingLR", (5,)),
    ("LambdaLR", (lambda epoch: 1 / (1 + epoch),)),
])
def test_schedules_of_the_learning_rate(name: str, args: tuple[Any, ...]) -> None:
    ours, optimizer, theirs, reference = pair("AdamW", {})
    both = [getattr(module.lr_scheduler, name)(o, *args)
            for module, o in ((optim, optimizer), (torch.optim, reference))]
    for seed in range(12):
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
        for one in both:
            one.step()
    equal(ours, theirs)


def test_pytorchs_arguments_and_defaults() -> None:
    for name in ("Adam", "AdamW"):
        ours, theirs = ([(p.name, p.default, p.kind) for p in inspect.signature(
            getattr(module, name).__init__).parameters.values()] for module in (optim, torch.optim))
        assert ours == theirs
