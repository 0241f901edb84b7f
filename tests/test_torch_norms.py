"""The norms against PyTorch: every option, two orders of gradient, buffers, errors, text."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, Series, array, directional, formula, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

TOLERANCE = 1e-10
MEASURED = torch.__version__.startswith("2.13.")
"""Some tests hold what PyTorch 2.13 does wrong; another version may have mended it."""

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


# -- dtypes ------------------------------------------------------------------------------------

@cases
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("dtype", "parameters"), [
    ("float32", "float32"), ("float16", "float32"), ("float16", "float16")])
def test_dtypes(case: Case, training: bool, dtype: str, parameters: str) -> None:
    """Of outputs, gradients and buffers are PyTorch's, and the values are near its float64 ones.

    float16 input goes through a float32 layer too.
    """
    x = case.input().astype(dtype)
    runs = [(tn, dtype, parameters), (torch, dtype, parameters), (torch, "float64", "float64")]
    results = []
    for m, own, held in runs:
        make = tensor if m is tn else torch.from_numpy
        layer = case.make(m.nn, eps=0.01, dtype=getattr(m, held)).train(training)
        leaf = make(x.astype(own)).requires_grad_()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")
            y = layer(leaf)
        y.backward(make(np.cos(x).astype(own)))
        gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
        results.append([a.detach().numpy() for a in (y, *gradients, *layer.buffers())])
    for got, theirs, exact in zip(*results, strict=True):
        assert got.dtype == theirs.dtype
        tolerance = 1.5e-3 if got.dtype == "float16" else 2e-6
        scale = np.max(np.abs(exact), initial=1)
        np.testing.assert_allclose(got, exact, rtol=0, atol=tolerance * scale)


MIXED = [c for c in CASES if c.layer != "RMSNorm"]


@pytest.mark.parametrize("case", MIXED, ids=map(str, MIXED))
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("dtype", "parameters"), [
    ("float64", "float32"), ("float32", "float64"), ("float16", "float64"),
    ("float32", "float16")])
def test_mixed_dtypes_are_refused(
    case: Case, training: bool, dtype: str, parameters: str
) -> None:
    """By PyTorch with RuntimeError; here with a TypeError that is one too.

    The statistics count as well as the affine part; only InstanceNorm's PyTorch takes as they are.
    """
    x = case.input().astype(dtype)
    message = f"the input is {dtype}, .* {parameters}"
    for settings in ({}, {"affine": False}):
        theirs = case.make(torch.nn, dtype=getattr(torch, parameters), **settings)
        ours = case.make(tn.nn, dtype=getattr(tn, parameters), **settings)
        if theirs.state_dict():
            with pytest.raises(RuntimeError):
                theirs.train(training)(torch.from_numpy(x))
            with pytest.raises((TypeError, RuntimeError), match=message):
                ours.train(training)(tensor(x))
        else:
            assert ours.train(training)(tensor(x)).dtype == dtype
    if case.layer.startswith("Instance"):
        ours = case.make(tn.nn, affine=False, track_running_stats=True,
                         dtype=getattr(tn, parameters))
        with pytest.raises(TypeError, match=message):
            ours.train(training)(tensor(x))


def test_rms_norm_refuses_mixed_dtypes_that_pytorch_casts() -> None:
    """PyTorch warns and gives the input's dtype; the other norms refuse, and so does this one."""
    theirs = torch.nn.RMSNorm(3, dtype=torch.float64)
    assert theirs(torch.ones(2, 3)).dtype == torch.float32
    with pytest.raises(TypeError, match="the input is float32, weight float64"):
        tn.nn.RMSNorm(3, dtype=tn.float64)(tn.ones(2, 3))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_default_eps_of_rms_norm(dtype: str) -> None:
    """The machine epsilon of the dtype that is computed in: float32's for float16."""
    x = np.array([[1e-3, -2e-3, 5e-4]], dtype)
    theirs = torch.nn.RMSNorm(3, elementwise_affine=False)(torch.from_numpy(x))
    close(tn.nn.RMSNorm(3, elementwise_affine=False)(tensor(x)), theirs, np.finfo(dtype).eps * 4)


# -- errors ------------------------------------------------------------------------------------

def layer(name: str, *arguments: Any, shape: tuple[int, ...], dtype: str = "float32",
          eval: bool = False, **settings: Any) -> Callable[[Any], Any]:
    """Make the layer and call it with ones."""
    def run(m: Any) -> Any:
        made = getattr(m.nn, name)(*arguments, **settings)
        return made.train(not eval)(m.ones(shape, dtype=getattr(m, dtype)))

    return run


def function(name: str, *shapes: Any, **settings: Any) -> Callable[[Any], Any]:
    """Call the function with ones of the shapes given as lists; other arguments as they are."""
    def run(m: Any) -> Any:
        values = [m.ones(tuple(s)) if isinstance(s, list) else s for s in shapes]
        return getattr(m.nn.functional, name)(*values, **settings)

    return run


BAD = {
    "channels": layer("BatchNorm1d", 3, shape=(4, 5)),
    "channels 2d": layer("BatchNorm2d", 3, shape=(2, 4, 4, 3)),
    "channels eval": layer("BatchNorm1d", 3, shape=(4, 5), eval=True),
    "dims": layer("BatchNorm1d", 3, shape=(3,)),
    "dims 1d": layer("BatchNorm1d", 3, shape=(2, 3, 4, 4)),
    "dims 2d": layer("BatchNorm2d", 3, shape=(2, 3, 4)),
    "dims 3d": layer("BatchNorm3d", 3, shape=(2, 3, 4, 4)),
    "dims instance 1d": layer("InstanceNorm1d", 3, shape=(2, 3, 4, 4)),
    "dims instance 2d": layer("InstanceNorm2d", 3, shape=(3, 4)),
    "dims instance 3d": layer("InstanceNorm3d", 3, shape=(3, 4, 4)),
    "instance channels": layer("InstanceNorm1d", 3, shape=(4, 5, 2), affine=True),
    "instance channels of one": layer("InstanceNorm1d", 3, shape=(5, 2), affine=True),
    "one value": layer("BatchNorm1d", 3, shape=(1, 3)),
    "one value 1": layer("BatchNorm1d", 3, shape=(1, 3, 1)),
    "one value 2": layer("BatchNorm2d", 3, shape=(1, 3, 1, 1)),
    "one value without statistics": layer("BatchNorm1d", 3, shape=(1, 3), eval=True,
                                          track_running_stats=False),
    "one place": layer("InstanceNorm1d", 3, shape=(4, 3, 1)),
    "one place eval": layer("InstanceNorm2d", 3, shape=(4, 3, 1, 1), eval=True),
    "int batch": layer("BatchNorm1d", 3, shape=(4, 3), dtype="int64"),
    "int batch eval": layer("BatchNorm1d", 3, shape=(4, 3), dtype="int64", eval=True),
    "int instance": layer("InstanceNorm1d", 3, shape=(4, 3, 5), dtype="int64"),
    "int layer": layer("LayerNorm", 3, shape=(4, 3), dtype="int64"),
    "int group": layer("GroupNorm", 1, 3, shape=(4, 3), dtype="int64"),
    "int rms": layer("RMSNorm", 3, shape=(4, 3), dtype="int64"),
    "int rms plain": layer("RMSNorm", 3, shape=(4, 3), dtype="int64", elementwise_affine=False),
    "bool": layer("LayerNorm", 3, shape=(4, 3), dtype="bool"),
    "normalized_shape": layer("LayerNorm", 3, shape=(4, 2)),
    "normalized_shape 2": layer("LayerNorm", (3, 2), shape=(4, 2, 3)),
    "normalized_shape of a number": layer("LayerNorm", 3, shape=()),
    "normalized_shape too long": layer("LayerNorm", (2, 3), shape=(3,)),
    "normalized_shape rms": layer("RMSNorm", 3, shape=(4, 2)),
    "normalized_shape empty": layer("LayerNorm", (), shape=(4, 2)),
    "normalized_shape negative": layer("RMSNorm", -1, shape=(4, 2)),
    "normalized_shape float": layer("LayerNorm", 3.5, shape=(4, 3)),
    "groups": layer("GroupNorm", 2, 3, shape=(4, 3)),
    "groups negative": layer("GroupNorm", -1, 3, shape=(4, 3)),
    "group channels": layer("GroupNorm", 1, 3, shape=(2, 4, 5)),
    "group dims": layer("GroupNorm", 1, 3, shape=(3,)),
    "features": layer("BatchNorm1d", -1, shape=(2, 1)),
    "eps": layer("BatchNorm1d", 3, shape=(4, 3), eps=-1.0),
    "eps eval": layer("BatchNorm1d", 3, shape=(4, 3), eps=-1.0, eval=True),
    "eps 0": layer("BatchNorm1d", 3, shape=(4, 3), eps=0.0),
    "F.batch_norm dims": function("batch_norm", [4], None, None, training=True),
    "F.batch_norm weight": function("batch_norm", [2, 4], None, None, [3], training=True),
    "F.batch_norm bias": function("batch_norm", [2, 4], None, None, None, [3], training=True),
    "F.batch_norm mean": function("batch_norm", [2, 4], [3], [4]),
    "F.batch_norm var": function("batch_norm", [2, 4], [4], [1, 4]),
    "F.batch_norm none": function("batch_norm", [2, 4], None, None),
    "F.batch_norm eps": function("batch_norm", [2, 4], [4], [4], eps=-1.0),
    "F.batch_norm eps 0": function("batch_norm", [2, 4], None, None, training=True, eps=0.0),
    "F.instance_norm none": function("instance_norm", [2, 4, 5], use_input_stats=False),
    "F.instance_norm weight": function("instance_norm", [2, 4, 5], None, None, [3]),
    "F.instance_norm dims": function("instance_norm", [2, 4]),
    "F.group_norm dims": function("group_norm", [3], 1),
    "F.group_norm groups": function("group_norm", [2, 3], 2),
    "F.group_norm weight": function("group_norm", [2, 4], 2, [3]),
    "F.group_norm bias": function("group_norm", [2, 4], 2, None, [3]),
    "F.layer_norm weight": function("layer_norm", [2, 4], (4,), [3]),
    "F.layer_norm bias": function("layer_norm", [2, 4], (4,), None, [3]),
    "F.layer_norm shape": function("layer_norm", [2, 4], ()),
    "F.layer_norm int": function("layer_norm", [2, 4], 4),
    "F.rms_norm weight": function("rms_norm", [2, 4], (4,), [3]),
}

@pytest.mark.parametrize("run", BAD.values(), ids=BAD)
def test_errors_are_of_pytorchs_classes(run: Callable[[Any], Any]) -> None:
    """Whoever catches PyTorch's class catches ours."""
    with pytest.raises(Exception, match=r"\w") as theirs:
        run(torch)
    expected = theirs.type
    if expected is NotImplementedError:  # a dtype that PyTorch has no kernel for
        expected = RuntimeError
    with pytest.raises(expected):
        run(tn)


# -- where we differ on purpose ----------------------------------------------------------------

def test_instance_norm_counts_and_averages_as_batch_norm_does() -> None:
    """PyTorch's num_batches_tracked stays 0, and momentum=None leaves the statistics at 0 and 1."""
    theirs = torch.nn.InstanceNorm1d(3, momentum=None, track_running_stats=True)
    ours = tn.nn.InstanceNorm1d(3, momentum=None, track_running_stats=True)
    x = CASES[4].input().astype("float32")
    for _ in range(2):
        theirs(torch.from_numpy(x))
        ours(tensor(x))
    assert theirs.num_batches_tracked.item() == 0
    assert ours.num_batches_tracked.item() == 2
    assert not theirs.running_mean.any()
    np.testing.assert_allclose(array(ours.running_mean), x.mean(axis=(0, 2)), rtol=1e-5)


def test_instance_norm_checks_the_channels_without_affine_too() -> None:
    """PyTorch only warns (pytorch#109652): a channel axis at the wrong place goes unseen."""
    x = np.ones((4, 5, 2), "float32")
    with pytest.warns(UserWarning, match="does not match num_features"):
        torch.nn.InstanceNorm1d(3)(torch.from_numpy(x))
    with pytest.raises(ValueError, match=r"expected input \(N, 3, L\)"):
        tn.nn.InstanceNorm1d(3)(tensor(x))


@pytest.mark.parametrize(("run", "why"), [
    (layer("BatchNorm1d", 3, shape=(0, 3)), "Expected more than 1 value"),
    (layer("BatchNorm1d", 3, shape=(2, 3, 0)), "Expected more than 1 value"),
    (layer("InstanceNorm1d", 3, shape=(2, 3, 0)), "Expected more than 1 spatial element"),
    (layer("BatchNorm1d", 3, shape=(4, 5), affine=False, track_running_stats=False),
     r"expected input \(N, 3\)"),
    (layer("GroupNorm", 1, 3, shape=(2, 4, 5), affine=False), r"expected input \(N, 3, \*\)"),
    (layer("LayerNorm", 0, shape=(4, 0)), "positive ints"),
    (layer("LayerNorm", 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
    (layer("GroupNorm", 1, 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
    (layer("InstanceNorm1d", 3, shape=(4, 3, 2), eps=-1.0), "expected eps >= 0"),
    (layer("RMSNorm", 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
], ids=["empty batch", "empty space", "empty instance", "plain batch", "plain group", "no shape",
        "eps layer", "eps group", "eps instance", "eps rms"])  # fmt: skip
def test_what_pytorch_lets_through_and_we_refuse(run: Callable[[Any], Any], why: str) -> None:
    """It gives NaN, or statistics of nothing, or takes a wrong channel count without a word."""
    run(torch)
    with pytest.raises(ValueError, match=why):
        run(tn)


def test_group_norm_of_one_value_is_its_bias_for_any_batch() -> None:
    """PyTorch refuses (1, C) in C groups but takes (2, C), which says as little. Here, as for
    LayerNorm(1), the result is the bias for both."""
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        torch.nn.GroupNorm(3, 3)(torch.ones(1, 3))
    assert not torch.nn.GroupNorm(3, 3)(torch.ones(2, 3)).any()
    for n in (1, 2):
        assert not tn.nn.GroupNorm(3, 3)(tn.ones(n, 3)).any()


@pytest.mark.parametrize("run", [
    layer("BatchNorm1d", 3, shape=(0, 3), eval=True),
    layer("InstanceNorm1d", 3, shape=(0, 3, 4)),
    layer("InstanceNorm1d", 3, shape=(0, 3, 4), track_running_stats=True),
    layer("InstanceNorm1d", 3, shape=(2, 3, 0), track_running_stats=True, eval=True),
    layer("InstanceNorm1d", 3, shape=(2, 3, 1), track_running_stats=True, eval=True),
    layer("LayerNorm", 3, shape=(0, 3)),
    layer("RMSNorm", 3, shape=(0, 3)),
    layer("GroupNorm", 1, 3, shape=(0, 3, 2)),
    layer("GroupNorm", 1, 3, shape=(2, 3, 0)),
    layer("LayerNorm", np.int64(3), shape=(2, 3)),
    layer("LayerNorm", [3], shape=(2, 3)),
])
def test_odd_inputs_that_both_take(run: Callable[[Any], Any]) -> None:
    close(run(tn), run(torch))


# -- what PyTorch gets wrong -------------------------------------------------------------------

@pytest.mark.skipif(not MEASURED, reason="measured on PyTorch 2.13")
@pytest.mark.parametrize(("number", "wrong"), [(0, True), (15, True), (11, False), (18, False)],
                         ids=["batch_norm", "layer_norm", "group_norm", "rms_norm"])
def test_pytorchs_own_derivatives_of_order_3_and_4(number: int, wrong: bool) -> None:
    """Silently wrong for batch_norm and layer_norm (pytorch#186256), right to order 2."""
    case = CASES[number]
    random = case.random(13)
    x, v, w = case.input(), *random.standard_normal((2, *case.shape))
    expected = (formula(case, Series.line(x, v), eps=1e-3) * w).sum().derivatives
    leaf = torch.from_numpy(x).requires_grad_()
    y = case.make(torch.nn, eps=1e-3, dtype=torch.float64)(leaf)
    theirs = directional((y * torch.from_numpy(w)).sum(), [leaf], [torch.from_numpy(v)],
                         grad=torch.autograd.grad)
    np.testing.assert_allclose(theirs[:2], expected[:2], rtol=1e-9)
    error = np.abs(np.array(theirs[2:]) / expected[2:] - 1)
    assert (error > 1e-2).all() if wrong else (error < 1e-9).all()
    leaf = tensor(x, grad=True)
    y = case.make(tn.nn, eps=1e-3, dtype=tn.float64)(leaf)
    ours = directional((y * tensor(w)).sum(), [leaf], [tensor(v)])
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.skipif(not MEASURED, reason="measured on PyTorch 2.13")
def test_pytorchs_float32_statistics_of_a_matrix_with_an_offset() -> None:
    """(N, C), N = 65536, mean 1e4, std 1: PyTorch's output has mean 0.9 and std 0.3."""
    x = (np.random.default_rng(0).standard_normal((65536, 4)) + 1e4).astype("float32")
    theirs = torch.nn.BatchNorm1d(4)(torch.from_numpy(x)).detach().numpy().astype("float64")
    ours = array(tn.nn.BatchNorm1d(4)(tensor(x))).astype("float64")
    assert np.abs(theirs.mean(axis=0)).max() > 0.1
    assert np.abs(theirs.std(axis=0) - 1).max() > 0.1
    assert np.abs(ours.mean(axis=0)).max() < 1e-5
    assert np.abs(ours.std(axis=0) - 1).max() < 1e-5
