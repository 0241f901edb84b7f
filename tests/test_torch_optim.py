"""SGD and the schedules against PyTorch's, in float64 to 1e-12."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import optim

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (4,), (2, 1, 3), ()]
GRID = [
    dict(zip(("momentum", "dampening", "weight_decay", "nesterov", "maximize"), v, strict=True))
    for v in itertools.product((0, 0.9), (0, 0.3), (0, 0.1), (False, True), (False, True))
    if not v[3] or (v[0] and not v[1])
]


def groups(params: list[Any]) -> list[dict[str, Any]]:
    return [{"params": params[:2]}, {"params": params[2:3], "lr": 0.5, "weight_decay": 0.2},
            {"params": params[3:], "momentum": 0.5}]


def pair(options: dict[str, Any]) -> tuple[list[tn.Tensor], Any, list[Any], Any]:
    """The same parameters with our optimizer and PyTorch's."""
    random = np.random.default_rng(0)
    starts = [np.asarray(random.normal(size=shape)) for shape in SHAPES]
    ours = [tn.tensor(v, requires_grad=True) for v in starts]
    theirs = [torch.tensor(v, requires_grad=True) for v in starts]
    return (ours, optim.SGD(groups(ours), lr=0.1, **options),
            theirs, torch.optim.SGD(groups(theirs), lr=0.1, **options))


def step(params: list[Any], optimizer: Any, seed: int) -> None:
    """One step; the second parameter gets a gradient every other time only."""
    random = np.random.default_rng(seed)
    tensor = tn.tensor if isinstance(params[0], tn.Tensor) else torch.tensor
    optimizer.zero_grad()
    for i, p in enumerate(params):
        gradient = np.asarray(random.normal(size=SHAPES[i]))
        if i != 1 or seed % 2:
            p.grad = tensor(gradient)
    optimizer.step()


def equal(ours: list[tn.Tensor], theirs: list[Any]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", GRID, ids=lambda o: "-".join(map(str, o.values())))
def test_sgd(options: dict[str, Any]) -> None:
    ours, optimizer, theirs, reference = pair(options)
    for seed in range(10):
        if seed == 5:
            state = optimizer.state_dict()
            optimizer = optim.SGD(groups(ours), lr=3, momentum=0.1)
            optimizer.load_state_dict(state)
            state = reference.state_dict()
            reference = torch.optim.SGD(groups(theirs), lr=3, momentum=0.1)
            reference.load_state_dict(state)
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
        equal(ours, theirs)


def converted(value: Any) -> Any:
    """PyTorch's tensors in a state dict as ours."""
    if isinstance(value, torch.Tensor):
        return tn.tensor(value.numpy())
    if isinstance(value, dict):
        return {key: converted(item) for key, item in value.items()}
    return [converted(item) for item in value] if isinstance(value, list) else value


def test_a_state_dict_of_pytorch_can_be_loaded() -> None:
    ours, optimizer, theirs, reference = pair({"momentum": 0.9, "nesterov": True})
    for seed in range(3):
        step(theirs, reference, seed)
    for a, b in zip(ours, theirs, strict=True):
        a.data = tn.tensor(b.detach().numpy())
    optimizer.load_state_dict(converted(reference.state_dict()))
    assert list(optimizer.state_dict()["state"]) == list(reference.state_dict()["state"])
    for seed in range(3, 6):
        step(ours, optimizer, seed)
        step(theirs, reference, seed)
    equal(ours, theirs)


@pytest.mark.parametrize("options", [
    {"lr": -1}, {"momentum": -1}, {"weight_decay": -1}, {"nesterov": True},
    {"momentum": 0.9, "dampening": 0.1, "nesterov": True},
], ids=str)
def test_what_pytorch_refuses_is_refused_as_the_same_class(options: dict[str, Any]) -> None:
    for library, module in ((tn, optim), (torch, torch.optim)):
        with pytest.raises(ValueError):
            module.SGD([library.ones(2)], **options)
        with pytest.raises(ValueError):
            module.SGD([], momentum=0.9)


# -- schedules -----------------------------------------------------------------------------------

SCHEDULES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *(("StepLR", (size,), {"gamma": gamma}) for size in (1, 7, 100) for gamma in (0.1, 0.9)),
    ("StepLR", (4,), {}),
    ("MultiStepLR", ([3, 10, 10, 40],), {}),
    ("MultiStepLR", ([30, 5, 0],), {"gamma": 0.5}),
    ("ExponentialLR", (0.97,), {}),
    *(("CosineAnnealingLR", (length,), {"eta_min": low})
      for length in (1, 2, 7, 50, 100) for low in (0.0, 0.001, 0.7)),
    ("LambdaLR", (lambda epoch: 0.95**epoch,), {}),
    ("LambdaLR", ([lambda epoch: 1 / (1 + epoch), math.cos, lambda epoch: 2],), {}),
    *(("OneCycleLR", (0.3,), {"total_steps": total, "pct_start": part, "anneal_strategy": anneal,
                              "three_phase": three, "cycle_momentum": cycle})
      for total, part, anneal, three, cycle in itertools.product(
          (60, 61, 200), (0.0, 0.25, 0.4), ("cos", "linear"), (False, True), (False, True))
      if part or not three),
    ("OneCycleLR", ([0.3, 0.2, 1.0],), {
        "epochs": 12, "steps_per_epoch": 5, "div_factor": 10, "final_div_factor": 100,
        "base_momentum": [0.5, 0.6, 0.7], "max_momentum": 0.8}),
]


def spoken(entry: Any) -> str:
    name, args, options = entry
    return f"{name}-{'-'.join(map(str, options.values())) or len(args)}"


def both(options: dict[str, Any] | None = None) -> tuple[Any, Any]:
    _, optimizer, _, reference = pair(options or {"momentum": 0.9})
    return optimizer, reference


def compare(optimizer: Any, reference: Any, scheduler: Any, expected: Any) -> None:
    np.testing.assert_allclose(scheduler.get_last_lr(), expected.get_last_lr(), 1e-12, 1e-12)
    assert scheduler.last_epoch == expected.last_epoch
    for ours, theirs in zip(optimizer.param_groups, reference.param_groups, strict=True):
        assert ours["lr"] == pytest.approx(theirs["lr"], rel=1e-12, abs=1e-12)
        assert ours["momentum"] == pytest.approx(theirs["momentum"], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("entry", SCHEDULES, ids=spoken)
def test_schedules(entry: Any) -> None:
    name, args, options = entry
    optimizer, reference = both()
    scheduler = getattr(optim.lr_scheduler, name)(optimizer, *args, **options)
    expected = getattr(torch.optim.lr_scheduler, name)(reference, *args, **options)
    compare(optimizer, reference, scheduler, expected)
    optimizer.step()
    reference.step()
    for epoch in range(60):
        if epoch == 20:  # on with new objects, from what was saved
            states = optimizer.state_dict(), scheduler.state_dict()
            optimizer = both()[0]
            scheduler = getattr(optim.lr_scheduler, name)(optimizer, *args, **options)
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        scheduler.step()
        expected.step()
        compare(optimizer, reference, scheduler, expected)


@pytest.mark.parametrize("entry", [e for e in SCHEDULES if e[0] != "OneCycleLR"][::2], ids=spoken)
def test_schedules_with_last_epoch(entry: Any) -> None:
    name, args, options = entry
    optimizer, reference = both()
    for group in (*optimizer.param_groups, *reference.param_groups):
        group["initial_lr"] = 0.4
    scheduler = getattr(optim.lr_scheduler, name)(optimizer, *args, **options, last_epoch=13)
    expected = getattr(torch.optim.lr_scheduler, name)(
        reference, *args, **options, last_epoch=13)
    optimizer.step()
    reference.step()
    compare(optimizer, reference, scheduler, expected)
    for _ in range(30):
        scheduler.step()
        expected.step()
        compare(optimizer, reference, scheduler, expected)


def test_one_cycle_ends_where_pytorchs_ends() -> None:
    for module, optimizer in zip((optim, torch.optim), both(), strict=True):
        scheduler = module.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=7)
        optimizer.step()
        for _ in range(7):
            scheduler.step()
        with pytest.raises(ValueError, match="Tried to step 8 times"):
            scheduler.step()


PLATEAUS = [
    {"mode": mode, "threshold_mode": kind, "threshold": threshold, "patience": patience,
     "cooldown": cooldown, "factor": factor, "min_lr": low}
    for mode, kind, threshold, patience, cooldown, factor, low in itertools.product(
        ("min", "max"), ("rel", "abs"), (1e-4, 0.1), (0, 3), (0, 2), (0.5, 0.1),
        (0, [0.01, 0.0, 0.2]))
]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("kind", ["rel", "abs"])
def test_plateau(mode: str, kind: str) -> None:
    for options in PLATEAUS:
        if options["mode"] != mode or options["threshold_mode"] != kind:
            continue
        optimizer, reference = both()
        scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        expected = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **options)
        random = np.random.default_rng(3)
        for epoch in range(60):
            metric = float(random.normal() * 0.2 + (-1 if mode == "min" else 1) * epoch**0.5)
            metric = math.nan if epoch == 30 else metric
            scheduler.step(metric)
            expected.step(metric)
            compare(optimizer, reference, scheduler, expected)
            for name in ("best", "num_bad_epochs", "cooldown_counter"):
                assert getattr(scheduler, name) == getattr(expected, name), (options, epoch, name)


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_a_copy_of_the_optimizer_of_many_small_parameters(momentum: float) -> None:
    """They are updated as one array; a copy of the optimizer steps its own copies."""
    results = []
    for m in (tn, torch):
        params = [m.tensor([1.0, 2.0 + i], dtype=m.float64, requires_grad=True) for i in range(5)]
        optimizer = m.optim.SGD(params, lr=0.1, momentum=momentum)
        for i in range(4):
            if i == 2:
                optimizer = copy.deepcopy(optimizer)
            own = optimizer.param_groups[0]["params"]
            optimizer.zero_grad()
            sum((p * p).sum() for p in own).backward()
            optimizer.step()
        results.append([p.tolist() for p in own])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


def test_pytorchs_arguments_and_defaults() -> None:
    import inspect

    for name in (*optim.lr_scheduler.__all__, "SGD"):
        ours, theirs = (
            {p.name: p.default for p in inspect.signature(
                getattr(module if name == "SGD" else module.lr_scheduler, name).__init__
            ).parameters.values()} for module in (optim, torch.optim))
        for extra in ("foreach", "differentiable", "fused"):  # ways to run it that we lack
            theirs.pop(extra, None)
        assert list(ours.items()) == list(theirs.items()), name
