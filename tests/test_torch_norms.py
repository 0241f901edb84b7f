"""The norms against PyTorch: every option, two orders of gradient, buffers, names, text."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

TOLERANCE = 1e-10

cases = pytest.mark.parametrize("case", CASES, ids=map(str, CASES))


def grid(**options: Any) -> list[dict[str, Any]]:
    """Every combination."""
    return [dict(zip(options, values, strict=True))
            for values in itertools.product(*options.values())]


AFFINE = [{"affine": True}, {"affine": True, "bias": False}, {"affine": False}]


def options(case: Case) -> Iterator[dict[str, Any]]:
    """The settings of a layer, for ``Case.make``."""
    for eps, affine in itertools.product([1e-5, 0.3], AFFINE):
        if case.layer == "RMSNorm":
            if "bias" not in affine:
                yield from ({**affine, "eps": e} for e in (None, eps))
        elif case.layer.startswith(("BatchNorm", "InstanceNorm")):
            for settings in grid(momentum=[0.1, 0.6, None], track_running_stats=[True, False]):
                yield {**affine, **settings, "eps": eps}
        else:
            yield {**affine, "eps": eps}


def values_of(layer: Any, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values for a state dict; spreads are positive."""
    values = {}
    for name, value in layer.state_dict().items():
        shape = tuple(value.shape)
        low = 0.5 if name == "running_var" else -1
        values[name] = random.uniform(low, 2, shape) if shape else np.array(3)
    return values


def pair(case: Case, **settings: Any) -> tuple[Any, Any]:
    """The layer of both, in float64, with the same values."""
    theirs = case.make(torch.nn, dtype=torch.float64, **settings)
    ours = case.make(tn.nn, dtype=tn.float64, **settings)
    values = values_of(theirs, case.random(9))
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in values.items()})
    ours.load_state_dict(values)
    return theirs, ours


def close(
    got: Any, expected: Any, tolerance: float = TOLERANCE, *, least: float = 1e-3
) -> None:
    """Relative to the largest value of PyTorch's, or to ``least``."""
    got, expected = np.asarray(array(got)), expected.detach().numpy()
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    scale = np.max(np.abs(expected), initial=least)
    np.testing.assert_allclose(got, expected, rtol=0, atol=float(tolerance * scale))


def gradients(m: Any, y: Any, inputs: list[Any], outward: Any, along: list[Any]) -> list[Any]:
    """Of order 1, of Σ outward y; and of order 2, of their product with ``along``."""
    leaves = [*inputs, outward]
    first = m.autograd.grad((y * outward).sum(), leaves, create_graph=True, allow_unused=True)
    mixed = sum((g * v).sum() for g, v in zip(first, along, strict=True) if g is not None)
    second = m.autograd.grad(mixed, leaves, allow_unused=True)
    return [x * 0 if g is None else g for g, x in zip((*first, *second), leaves * 2, strict=True)]


def compare(ours: Any, theirs: Any, x: np.ndarray, random: np.random.Generator) -> None:
    """Output and gradients for one input."""
    values = [x, *(p.detach().numpy() for p in theirs.parameters())]
    outward = random.standard_normal(x.shape)
    along = [random.standard_normal(v.shape) for v in (*values, outward)]
    results = []
    for m, layer, make in ((tn, ours, tensor), (torch, theirs, torch.from_numpy)):
        leaf, w = make(x).requires_grad_(), make(outward).requires_grad_()
        y = layer(leaf)
        results.append([y, *gradients(m, y, [leaf, *layer.parameters()], w,
                                      [make(v) for v in along])])
    for got, expected in zip(*results, strict=True):
        close(got, expected)


@cases
def test_values_gradients_and_buffers(case: Case) -> None:
    """Three steps of training, then inference, over the grid of the layer's options."""
    for settings in options(case):
        theirs, ours = pair(case, **settings)
        random = case.random(10)
        if case.layer.startswith("Instance") and settings["track_running_stats"]:
            # PyTorch's InstanceNorm neither counts batches nor averages when momentum is None;
            # ours does both, as BatchNorm does.
            if settings["momentum"] is None:
                continue
            ours.num_batches_tracked.zero_()
        for step in range(4):
            ours.train(step < 3)
            theirs.train(step < 3)
            compare(ours, theirs, case.input(step), random)
            for (name, got), (same_name, expected) in zip(
                    ours.named_buffers(), theirs.named_buffers(), strict=True):
                assert name == same_name
                if case.layer.startswith("Instance") and name == "num_batches_tracked":
                    assert got.item() == min(step + 1, 3)
                    assert expected.item() == 3  # what was loaded
                else:
                    close(got, expected)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "rows of a larger": lambda x: np.concatenate([x, x, x])[: len(x)],
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1 % x.ndim, -1)),
                                           -1, 1 % x.ndim),
}


@cases
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(case: Case, layout: Callable[[Any], Any]) -> None:
    """Inputs that are not contiguous."""
    theirs, ours = pair(case)
    x = layout(case.input(1))
    np.testing.assert_array_equal(x, case.input(1))
    for training in (True, False):
        compare(ours.train(training), theirs.train(training), x, case.random(11))


@cases
def test_repeated_and_reversed_inputs(case: Case) -> None:
    """Memory that is read several times, or backwards."""
    theirs, ours = pair(case)
    row = case.input(2)[:1]
    dy = case.random(12).standard_normal(case.shape)
    views = [lambda x: x.expand(*case.shape) * 1.0 + x.flip(-1),
             lambda x: x.expand(*case.shape)]
    for view in views:
        results = []
        for layer, make in ((ours, tensor), (theirs, torch.from_numpy)):
            leaf = make(row.copy()).requires_grad_()
            y = layer(view(leaf))
            y.backward(make(dy))
            results.append((y, leaf.grad))
        for got, expected in zip(*results, strict=True):
            close(got, expected, least=1)  # of equal values only rounding is left


# -- what a layer is ---------------------------------------------------------------------------

@cases
def test_state_dict_names_order_values_and_text(case: Case) -> None:
    for settings in options(case):
        theirs, ours = case.make(torch.nn, **settings), case.make(tn.nn, **settings)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, expected in theirs.state_dict().items():
            got = ours.state_dict()[name]
            np.testing.assert_array_equal(array(got), expected.numpy())
            assert array(got).dtype == expected.numpy().dtype
        assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if hasattr(theirs, name):
                assert (getattr(ours, name) is None) == (getattr(theirs, name) is None)


@cases
def test_arguments_names_order_and_defaults(case: Case) -> None:
    def signature(layer: type) -> list[tuple[str, Any, Any]]:
        parameters = list(inspect.signature(layer.__init__).parameters.values())[1:]
        return [(p.name, p.default, p.kind) for p in parameters]

    assert signature(getattr(tn.nn, case.layer)) == signature(getattr(torch.nn, case.layer))


@cases
def test_reset_parameters(case: Case) -> None:
    theirs, ours = pair(case)
    ours.reset_parameters()
    theirs.reset_parameters()
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(array(ours.state_dict()[name]), value.numpy())


def test_statistics_turned_off_after_the_layer_was_made() -> None:
    """``track_running_stats = False`` stops the updates of BatchNorm; eval still uses them."""
    theirs, ours = pair(CASES[0])
    ours.track_running_stats = theirs.track_running_stats = False
    for training in (True, False):
        compare(ours.train(training), theirs.train(training), CASES[0].input(), CASES[0].random())
    for got, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(got, expected)
    # InstanceNorm then takes the sample's own statistics in eval
    theirs, ours = pair(CASES[4], track_running_stats=True)
    ours.track_running_stats = theirs.track_running_stats = False
    compare(ours.eval(), theirs.eval(), CASES[4].input(), CASES[4].random())


def test_statistics_taken_away_after_the_layer_was_made() -> None:
    """Without buffers BatchNorm normalizes by the batch in eval too."""
    theirs, ours = pair(CASES[0])
    for layer in (ours, theirs):
        layer.running_mean = layer.running_var = None
    for training in (True, False):
        compare(ours.train(training), theirs.train(training), CASES[0].input(), CASES[0].random())


# -- functions ---------------------------------------------------------------------------------

X3, X2 = CASES[1].input(), CASES[0].input()
MEAN, VAR, WEIGHT, BIAS = np.random.default_rng(0).uniform(0.5, 2, (4, 3))
LAST = np.random.default_rng(1).uniform(0.5, 2, (2, 3, 2))

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "batch_norm": lambda F, t: F.batch_norm(t(X3), t(MEAN), t(VAR)),
    "batch_norm affine": lambda F, t: F.batch_norm(t(X3), t(MEAN), t(VAR), t(WEIGHT), t(BIAS)),
    "batch_norm bias": lambda F, t: F.batch_norm(t(X2), t(MEAN), t(VAR), None, t(BIAS), False,
                                                 0.1, 0.2),
    "batch_norm training": lambda F, t: F.batch_norm(t(X2), None, None, None, t(BIAS), True),
    "batch_norm eps": lambda F, t: F.batch_norm(t(X3), None, None, t(WEIGHT), training=True,
                                                eps=0.5),
    "instance_norm": lambda F, t: F.instance_norm(t(X3)),
    "instance_norm affine": lambda F, t: F.instance_norm(t(X3), None, None, t(WEIGHT), t(BIAS),
                                                         True, 0.1, 0.2),
    "instance_norm statistics": lambda F, t: F.instance_norm(
        t(X3), t(MEAN), t(VAR), bias=t(BIAS), use_input_stats=False),
    "group_norm": lambda F, t: F.group_norm(t(X3), 3),
    "group_norm affine": lambda F, t: F.group_norm(t(X3), 1, t(WEIGHT), t(BIAS), 0.2),
    "group_norm bias": lambda F, t: F.group_norm(t(X2), 1, bias=t(BIAS)),
    "layer_norm": lambda F, t: F.layer_norm(t(X3), [2]),
    "layer_norm affine": lambda F, t: F.layer_norm(t(X3), (3, 2), t(LAST[0]), t(LAST[1]), 0.2),
    "layer_norm bias": lambda F, t: F.layer_norm(t(X3), (3, 2), None, t(LAST[1])),
    "rms_norm": lambda F, t: F.rms_norm(t(X3), [3, 2]),
    "rms_norm affine": lambda F, t: F.rms_norm(t(X3), (3, 2), t(LAST[0]), 0.2),
    "rms_norm zeros": lambda F, t: F.rms_norm(t(0 * X3), (3, 2)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions(function: Callable[[Any, Any], Any]) -> None:
    close(function(tn.nn.functional, tensor), function(torch.nn.functional, torch.from_numpy))


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0])
def test_functions_update_the_statistics_they_are_given(name: str, momentum: float) -> None:
    results = []
    for F, t in ((tn.nn.functional, tensor), (torch.nn.functional, torch.from_numpy)):
        mean, var = t(MEAN.copy()), t(VAR.copy())
        getattr(F, name)(t(X3), mean, var, None, None, True, momentum)
        results.append((mean, var))
    for got, expected in zip(*results, strict=True):
        close(got, expected)


def test_signatures_of_the_functions() -> None:
    for name in ("batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"):
        ours, theirs = (
            [(p.name, p.default) for p in inspect.signature(getattr(F, name)).parameters.values()]
            for F in (tn.nn.functional, torch.nn.functional))
        assert ours == theirs, name
