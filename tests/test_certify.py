"""certify: every layer passes, every kind of fault is caught at the order where it begins."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import SMOOTH
from norm_cases import CASES, Case, Series, formula, randomize

import tinygrad_norm as tn
from tinygrad_norm import __main__
from tinygrad_norm.autograd.graph import wrap
from tinygrad_norm.proof import Jet, catalogue, jets
from tinygrad_norm.proof.catalogue import ENTRIES
from tinygrad_norm.proof.certificate import LONGEST, WIDTH, Certificate, Row
from tinygrad_norm.proof.certify_all import certified
from tinygrad_norm.proof.forms import every

ORDERS = 4
TOLERANCE = 1e-9
EPS = 1e-3


def certify(layer: Any, *inputs: Any, **settings: Any) -> Certificate:
    return tn.certify(layer, *inputs, **{"pytorch": False, **settings})


# -- what is right passes --------------------------------------------------------------------------

STOP_GRADIENTS = {(f"BatchRenorm{form}", "train") for form in ("1d", "2d", "3d")}
"""Where the paper says that a factor carries no gradient."""


@pytest.mark.parametrize("entry", every(), ids=lambda e: e.name)
def test_every_layer_of_the_catalogue(entry: catalogue.Entry) -> None:
    rows = list(certified(entry, pytorch=False))
    assert {row.mode for row in rows} == {"train", "eval"}
    assert {row.affine for row in rows} in ({"yes", "no"}, {"—"})
    for row in rows:
        assert row.passed, row
        assert row.tolerance == TOLERANCE
        assert len(row.ours) == ORDERS
        assert row.worst < 1e-13, row  # far within
        assert row.stops == ((row.layer, row.mode) in STOP_GRADIENTS), row


@pytest.mark.slow
@pytest.mark.parametrize("loops", ["loops"], indirect=True)
@pytest.mark.parametrize("entry", every(), ids=lambda e: e.name)
def test_every_layer_by_loops(entry: catalogue.Entry, loops: str) -> None:
    test_every_layer_of_the_catalogue(entry)


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c.name)
def test_every_operation(case: Any) -> None:
    result = certify(lambda *xs: case.function(tn, *xs), *case.inputs(), directions=1)
    assert result.passed, result
    assert result.worst < 1e-13, result


@pytest.mark.parametrize("case", CASES, ids=map(str, CASES))
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_series_of_the_layers_are_those_of_the_textbook_formula(
    case: Case, affine: bool, training: bool
) -> None:
    """What certify measures by: the layers' forward on jets, against the plain formula."""
    layer = case.make(tn.nn, affine=affine, eps=EPS, dtype=tn.float64).train(training)
    values = randomize(layer, case.random(1))
    statistics = None
    if case.remembers and not training:
        statistics = values["running_mean"], values["running_var"]
    random = case.random(2)
    x, names = case.input(), [name for name in ("weight", "bias") if name in values]
    along = [random.standard_normal(m.shape) for m in (x, *(values[n] for n in names))]
    expected = formula(case, *(Series.line(m, v) for m, v in zip(
        (x, *(values[n] for n in names)), along, strict=True)), eps=EPS, statistics=statistics)
    with jets(), tn.autograd.keep_statistics():
        layer.to(device="jet")
        for name, v in zip(names, along[1:], strict=True):
            parameter = getattr(layer, name).requires_grad_(False)
            parameter.array = Jet.line(values[name], v, ORDERS)
        y = layer(wrap(tn.Tensor, Jet.line(x, along[0], ORDERS))).array
    assert len(y.c) == ORDERS + 1
    for got, c in zip(y.c, expected.c, strict=True):
        np.testing.assert_allclose(got, c, rtol=0, atol=1e-13 * float(np.abs(c).max() + 1))


def test_the_command_draws_the_same_weights_whatever_was_drawn_before() -> None:
    entry = catalogue.entry("weight_norm")
    found = []
    for seed in (1, 2):
        state = tn.manual_seed(seed).get_state().tolist()
        found.append(list(certified(entry, pytorch=False)))
        assert tn.get_rng_state().tolist() == state
    assert found[0] == found[1]


def test_a_model_in_which_everything_takes_part() -> None:
    """Layers within layers, random numbers, several inputs, several outputs, ints."""

    class Model(tn.nn.Module):
        def __init__(self) -> None:
            self.table = tn.nn.Parameter(tn.randn(3, 4))
            self.body = tn.nn.Sequential(
                tn.nn.Linear(4, 6), tn.nn.BatchNorm1d(6), tn.nn.GELU(), tn.nn.Dropout(0.4),
                tn.nn.LayerNorm(6), tn.nn.Linear(6, 2))
            self.frozen = tn.nn.Parameter(tn.ones(4), requires_grad=False)

        def forward(self, x: Any, labels: Any, pair: Any) -> Any:
            h = self.body(x * self.frozen + self.table[labels]) + pair[0] @ pair[1]
            return {"y": h}["y"], (h.softmax(1).log(), h.argmax(1))

    inputs = tn.randn(5, 4), tn.tensor([0, 1, 2, 0, 1]), [tn.randn(5, 3), tn.randn(3, 2)]
    result = certify(Model(), *inputs, order=5, directions=1)
    assert result.passed, result
    assert [row.mode for row in result.rows] == ["train", "eval"]
    assert {len(row.ours) for row in result.rows} == {5}
    assert result.worst < 1e-12


def test_the_layer_and_the_random_numbers_stay_as_they_were() -> None:
    layer = tn.nn.BatchRenorm1d(4)
    layer(tn.randn(6, 4))
    layer.eval()
    held = {name: (t, t.array, t.array.tobytes()) for name, t in layer.state_dict().items()}
    x = tn.randn(6, 4, requires_grad=True)
    state = tn.get_rng_state().tolist()
    assert certify(layer, x).passed
    assert tn.get_rng_state().tolist() == state
    assert not layer.training
    assert x.grad is None
    assert all(p.requires_grad and p.grad is None for p in layer.parameters())
    for name, tensor in layer.state_dict().items():
        assert tensor.array is held[name][1]
        assert tensor.array.tobytes() == held[name][2]
    with pytest.raises(ZeroDivisionError):
        certify(lambda x: x / (1 // 0), x)
    assert tn.get_rng_state().tolist() == state


def test_constants_and_derivatives_that_are_zero() -> None:
    assert certify(lambda x: x * 0 + 1, tn.randn(3)).worst == 0
    assert certify(lambda x: tn.ones(3) + (x > 0).double() * x.detach(), tn.randn(3)).worst == 0
    assert certify(lambda x: x - x, tn.randn(3)).worst == 0
    quadratic = certify(lambda x, w: (x - x.mean()) * w, tn.randn(3), tn.randn(3))
    assert quadratic.rows[0].ours[2:] == (0, 0)
    # what rounding leaves of terms that cancel is measured by the value
    rounded = certify(lambda x: (x * 0.1 + x * 0.7) - x * 0.8 + 1, tn.randn(3))
    assert 0 < rounded.worst < 1e-12


# -- what is wrong is caught -----------------------------------------------------------------------

def moments(x: Any) -> tuple[Any, Any]:
    mean = x.mean(0)
    return mean, (x - mean).square().mean(0)


def rule(backward: Callable[..., Any]) -> Callable[[Any], Any]:
    """Standardizing over the batch, right forward, with that gradient of (dy, x, x_hat, rstd)."""

    class Standardize(tn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            mean, var = moments(x)
            ctx.rstd = (var + EPS) ** -0.5  # saved as it is: a constant
            ctx.save_for_backward(x)
            return (x - mean) * ctx.rstd

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return backward(dy, *ctx.saved_tensors, ctx.rstd)

    return Standardize.apply


def projected(dy: Any, x_hat: Any, rstd: Any) -> Any:
    return rstd * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))


def right(dy: Any, x: Any, rstd: Any) -> Any:
    mean, var = moments(x)
    rstd = (var + EPS) ** -0.5
    return projected(dy, (x - mean) * rstd, rstd)


class CubeSlope(tn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return 3 * x * x

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * 6 * ctx.saved_tensors[0].detach()


class Cube(tn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * CubeSlope.apply(ctx.saved_tensors[0])


def of_raw_arrays(x: Any) -> Any:
    """The mean by the side of the graph."""
    return x - wrap(tn.Tensor, x.array.mean(axis=0))


FAULTS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "saved inverse deviation, as DeZero's": (
        rule(lambda dy, x, rstd: projected(dy, (x - x.mean(0)) * rstd, rstd)), 2),
    "gradients of raw numbers, as micrograd's": (
        rule(lambda dy, x, rstd: right(dy.detach(), x.detach(), rstd)), 2),
    "x is constant for the rule": (rule(lambda dy, x, rstd: right(dy, x.detach(), rstd)), 2),
    "no share of the mean": (rule(lambda dy, x, rstd: right(dy, x, rstd) + dy.mean(0) * rstd), 1),
    "half of the variance": (rule(lambda dy, x, rstd: right(dy, x, rstd) * 0.5 + projected(
        dy, 0.0, rstd) * 0.5), 1),
    "right to the second order": (Cube.apply, 3),
    "raw arrays": (of_raw_arrays, 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_caught_at_their_order(name: str) -> None:
    function, order = FAULTS[name]
    x = tn.randn(6, 3) + 0.5
    result = certify(function, x)
    assert not result.passed
    (row,) = result.rows
    assert all(error < 1e-13 for error in row.ours[: order - 1])
    assert row.ours[order - 1] > 1e-3
    assert certify(function, x, order=order - 1).passed if order > 1 else True


def test_the_right_rule_is_no_fault() -> None:
    assert certify(rule(right), tn.randn(6, 3)).worst < 1e-13


@pytest.mark.parametrize(("stopped", "order"), [
    (lambda m: m.detach(), 2), (lambda m: m, 5)], ids=["detached mean, as tinygrad's", "right"])
def test_stop_gradients(stopped: Callable[[Any], Any], order: int) -> None:
    """A mean that is detached in the variance: first order right, then not. It is shown as a
    stop-gradient, and a fault where none is meant."""
    def norm(x: Any) -> Any:
        var = (x - stopped(x.mean(0))).square().mean(0)
        return (x - x.mean(0)) / (var + EPS).sqrt()

    x = tn.randn(6, 3)
    meant, fault = certify(norm, x), certify(norm, x, stop_gradients=False)
    assert meant.passed
    assert meant.rows[0].stops == fault.rows[0].stops == (order <= ORDERS)
    assert fault.passed == (order > ORDERS)
    for k, error in enumerate(fault.rows[0].ours, 1):
        assert error < 1e-13 if k < order else error > 1e-3


def test_a_stop_gradient_that_does_not_matter() -> None:
    """The maximum of a softmax cancels."""
    result = certify(lambda x: (x - x.max(1, keepdim=True).values.detach()).softmax(1),
                     tn.randn(3, 4))
    assert result.passed
    assert not result.rows[0].stops


def in_place(x: Any) -> Any:
    y = x * 1
    y.mul_(x).add_(x.exp())
    y[0] = x[1] * x[1]
    y /= x * x + 1
    return y


def test_writing_in_place_is_no_stop_gradient() -> None:
    result = certify(in_place, tn.randn(3, 4))
    assert result.passed
    assert not result.rows[0].stops


def test_recording_is_on_within() -> None:
    """Within no_grad() all would be constant, on both sides."""
    with tn.no_grad():
        assert certify(tn.nn.LayerNorm(4), tn.randn(3, 4)).worst > 0
        assert not certify(Cube.apply, tn.randn(3)).passed


class Forgetful(tn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x)
        return x * weight

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy, (dy * ctx.saved_tensors[0]).sum(0)


class Scaled(tn.nn.Module):
    """A norm with a fault in one mode, or one that shows where the weight is not 1."""

    def __init__(self, fault: str) -> None:
        self.weight = tn.nn.Parameter(tn.ones(3))
        self.fault = fault

    def forward(self, x: Any) -> Any:
        if self.fault == "weight":
            return Forgetful.apply(x, self.weight)
        if self.fault == "float32":
            return (x.float() * self.weight).double()
        if self.fault == "random":
            return x * tn.Generator().numpy.random()
        return (x.detach() if self.training == (self.fault == "train") else x) * self.weight


@pytest.mark.parametrize("fault", ["train", "eval"])
def test_a_fault_in_one_mode(fault: str) -> None:
    result = certify(Scaled(fault), tn.randn(4, 3), stop_gradients=False)
    assert [row.mode for row in result.rows if not row.passed] == [fault]


def test_values_are_varied_so_that_a_weight_of_1_hides_nothing() -> None:
    """A rule that forgets the weight is right where it is 1."""
    assert certify(Scaled("weight"), tn.randn(4, 3)).rows[0].ours[0] > 1e-3


@pytest.mark.parametrize("fault", ["float32", "random"])
def test_a_value_that_is_another_on_series(fault: str) -> None:
    result = certify(Scaled(fault), tn.randn(4, 3, dtype=tn.float64))
    assert not result.passed
    assert "its value is another one on series, by" in result.rows[0].problem
    assert "FAIL  its value is another" in str(result)
    result = tn.certify(lambda x: x * np.nan, tn.ones(2), pytorch=False)
    assert result.rows[0].problem == "its value is not finite"


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: certify(tn.sin, tn.randn(3), order=0), ValueError,
     "certify: expected order and directions of at least 1, got 0 and 3"),
    (lambda: certify(tn.sin, tn.randn(3), directions=0), ValueError, "got 4 and 0"),
    (lambda: certify(tn.sin, tn.randn(3), order=9), ValueError,
     "certify: expected order to be at most 8, got 9: each order takes several times as long"),
    (lambda: certify(tn.sin, tn.randn(3), order=1.5), TypeError,
     "certify: expected order to be an int, got 1.5"),
    (lambda: certify(tn.sin, tn.randn(3), directions=None), TypeError,
     "certify: expected directions to be an int, got None"),
    (lambda: certify(tn.sin, tn.randn(3), seed=-1), ValueError,
     "certify: expected seed >= 0, got -1"),
    (lambda: certify(tn.sin, tn.randn(3), tolerance=None), TypeError,
     "certify: expected tolerance to be a number, got None"),
    (lambda: certify(tn.sin, tn.randn(3), tolerance=math.nan), ValueError,
     "certify: expected tolerance >= 0, got nan; 1e-9 is the usual one"),
    (lambda: certify(None, tn.randn(3)), TypeError,
     "certify: expected a layer or a function of tensors, got None; of a class make a layer first"),
    (lambda: certify(tn.nn.LayerNorm, tn.randn(3)), TypeError,
     "certify: expected a layer or a function of tensors, got <class"),
    (lambda: certify(tn.nn.LayerNorm(3)), TypeError,
     "certify: expected a floating input after the layer, got 0 inputs and none that is"),
    (lambda: certify(tn.nn.LayerNorm(3), tn.arange(3)), TypeError, "got 1 inputs and none"),
    (lambda: certify(tn.nn.LayerNorm(3), "x"), TypeError,
     "certify: expected tensors or arrays as inputs, got str"),
    (lambda: certify(lambda x: x > 0, tn.randn(3)), TypeError,
     "certify: expected the layer to give floating tensors, got none"),
    (lambda: certify(tn.nn.LayerNorm(3), tn.randn(4)), ValueError, "LayerNorm|layer_norm"),
])
def test_errors(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# -- the table and the command ---------------------------------------------------------------------

GOOD = Row("GroupNorm", "train", "yes", (1e-16, 0.0, 2.4e-16, 5e-12), (1e-16, 0.0, 0.105, 4.24))
BAD = Row("A" * 40, "eval", "no", (1e-16, 0.3, math.nan, math.inf), stops=True)
BROKEN = Row("Own", "", "—", (), problem="ValueError: " + "it is broken, " * 9)


def test_the_table() -> None:
    text = str(Certificate((GOOD, GOOD._replace(pytorch=None))))
    assert text == """\
                          relative error           PyTorch's
layer      mode   affine  1     2     3     4      1     2     3     4
GroupNorm  train  yes     1e-16 0     2e-16 5e-12  1e-16 0     1e-01 4e+00  ok
GroupNorm  train  yes     1e-16 0     2e-16 5e-12  —     —     —     —      ok
2 certified: the worst error is 5e-12, 1e-09 is allowed"""
    result = Certificate((GOOD, BAD, BROKEN))
    lines = str(result).splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[3] == ("A" * (LONGEST - 1) + "…  eval   no      1e-16 3e-01 nan   inf"
                        "    —     —     —     —      FAIL *")
    assert lines[4].endswith("—       FAIL  ValueError: it is broken, it is broken, it is brok…")
    assert lines[-2:] == ["* it stops gradients", "2 of 3 FAILED"]
    assert not result.passed
    assert math.isnan(result.worst) or result.worst == math.inf
    assert GOOD.passed
    assert GOOD.worst == 5e-12
    assert not BAD.passed
    assert not BROKEN.passed
    assert not Certificate(()).passed
    assert "PyTorch" not in str(Certificate((BAD,)))
    other = str(Certificate((BAD._replace(differs=True),))).splitlines()
    assert other[0].endswith("PyTorch's")
    assert other[2].endswith("FAIL * †")
    assert other[4].startswith("† PyTorch's layer of that name gives another value")
    short = Row("Own", "train", "yes", (0.0,), (1e-16,))
    assert str(Certificate((short,))).splitlines()[:3] == [
        "                      ours   torch",
        "layer  mode   affine  1      1",
        "Own    train  yes     0      1e-16  ok"]


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setitem(sys.modules, "torch", None)
    return monkeypatch


def test_the_command(no_torch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    no_torch.setattr(catalogue, "ENTRIES", [e for e in ENTRIES if e.name in (
        "GroupNorm", "LayerNorm", "AdaIN")])
    assert __main__.main(["certify", "LayerNorm", "--order", "2", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "layer      mode   affine  1     2"
    assert [line.split()[:3] for line in lines[2:-1]] == [
        ["LayerNorm", mode, affine] for affine in ("yes", "no") for mode in ("train", "eval")]
    assert lines[-1].startswith("4 certified: the worst error is")
    assert __main__.main(["certify", "all"]) == __main__.main(["certify"]) == 0
    first, _, second = capsys.readouterr().out.partition("\n10 certified")
    assert "AdaIN      train  —" in first
    assert first.split() == second[second.index("\n"):].rpartition("\n10 certified")[0].split()


@pytest.mark.parametrize(("name", "given"), [
    ("BatchNorm2d", "batch_norm2d"), ("LazyInstanceNorm3d", "LazyInstanceNorm3d")])
def test_the_command_takes_every_form(
    name: str, given: str, no_torch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["certify", given, "--order", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == [name] * 4


def test_the_forms_are_all_that_there_are() -> None:
    """Each is of its class, with an input of its rank; lazy until it sees it."""
    names = [entry.name for entry in every()]
    assert len({*names}) == len(names)
    assert {n for n in tn.nn.normalization.__all__ if n[0].isupper()} == {
        n for n in names if not n.islower()}
    for entry in every():
        layer = entry.make(True, dtype=tn.float64)
        layer = getattr(layer, "norm", layer) if entry.name == "SyncBatchNorm" else layer
        assert type(layer).__name__ == entry.name or entry.name.islower()
        rank = {"1d": 3, "2d": 4, "3d": 5}.get(entry.name[-2:])
        assert rank in (None, entry.inputs(np.random.default_rng(0))[0].ndim)


def test_the_equivalences_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["equivalences"]) == 0
    assert capsys.readouterr().out == f"{tn.nn.normalization.equivalences()}\n"


def test_the_command_fails(
    no_torch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(affine: bool, **options: Any) -> Any:
        return tn.nn.LayerNorm(7)

    entries = [e for e in ENTRIES if e.name == "LayerNorm"]
    wrong = entries[0]._replace(name="Wrong", make=lambda affine, **o: Wrong())
    no_torch.setattr(catalogue, "ENTRIES",
                     [*entries, wrong, wrong._replace(name="Broken", make=broken)])
    assert __main__.main(["certify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "3 of 7 FAILED"
    assert lines[-2].startswith("Broken            —       FAIL  ShapeError: LayerNorm: ")
    assert all(line.endswith("FAIL") for line in lines[-4:-2])


class Wrong(tn.nn.Module):
    def forward(self, x: Any) -> Any:
        return Cube.apply(x)


@pytest.mark.parametrize(("arguments", "message"), [
    (["Layernrom"], "expected one of all, BatchNorm1d, .*LayerNorm, .* got 'Layernrom' "
     r"\(did you mean LayerNorm\?\)"),
    (["all", "--order", "0"], "expected a whole number from 1 to 8, got '0'"),
    (["all", "--order", "12"], "expected a whole number from 1 to 8, got '12'"),
    (["all", "--seed", "-1"], "expected a whole number from 0, got '-1'"),
])
def test_the_command_refuses(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["certify", *arguments])
    assert re.search(message, capsys.readouterr().err)


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = ("import sys, tinygrad_norm as tn; later = ('viz', 'study', 'proof'); "
            "assert not any(f'tinygrad_norm.{name}' in sys.modules for name in later); "
            "tn.certify; assert 'torch' not in sys.modules; tn.proof.Jet; 'certify' in dir(tn)")
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True,
                   cwd=Path(tn.__file__).parent.parent)
