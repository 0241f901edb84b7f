"""What the precision study measures, prints and draws."""

from __future__ import annotations

import importlib
import math
import sys
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import precision
import precision_errors
import precision_plot
import pytest
import textbook
from precision_errors import QUICK, Point, Row, Sizes, measured, points
from precision_layers import FAMILIES, LAYERS

needs_wider = pytest.mark.skipif(not precision_errors.WIDER, reason="long double is no wider here")
SMALL = Sizes((1.0, 1e4, 1e6), (16, 1024), 1024, 256)


def study(layer: str, sizes: Sizes, seed: int = 0) -> list[Row]:
    """The errors at every point."""
    return [measured(layer, point, sizes, seed) for point in points(layer, sizes)]


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import takes longer than all the rest."""
    monkeypatch.setitem(sys.modules, "torch", None)


# -- the textbooks' ways ---------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0,), (2,), (-1, 0), (0, 1, 2)])
@pytest.mark.parametrize("name", precision_errors.TEXTBOOK)
def test_the_textbooks_agree_where_nothing_is_lost(name: str, axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((6, 3, 5)) + 0.5
    mean, var = precision_errors.TEXTBOOK[name](x, axes, centred=True)
    np.testing.assert_allclose(mean, x.mean(axis=axes, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(var, x.var(axis=axes, keepdims=True), rtol=1e-13)
    mean, square = precision_errors.TEXTBOOK[name](x, axes, centred=False)
    assert not mean.any()
    np.testing.assert_allclose(square, (x * x).mean(axis=axes, keepdims=True), rtol=1e-13)


@pytest.mark.parametrize("dtype", precision_errors.DTYPES)
@pytest.mark.parametrize("name", precision_errors.TEXTBOOK)
def test_the_textbooks_stay_in_their_dtype(name: str, dtype: str) -> None:
    x = np.ones((70000 if name != "Welford" else 10, 2), dtype)  # 70000 is beyond float16
    with np.errstate(over="ignore"):
        results = precision_errors.TEXTBOOK[name](x, (0,), centred=True)
    assert {r.dtype for r in results} == {np.dtype(dtype)}
    assert textbook.standardized(x, results, 1e-5).dtype == dtype
    assert np.isfinite(results[0]).all()


def test_what_each_is_known_for() -> None:
    """In float32, 1000 spreads from 0: the naive variance is lost, the others keep 3 digits."""
    x = (np.random.default_rng(0).standard_normal((4096, 4)) + 3000).astype("float32")
    true = x.astype("float64").var(axis=0, keepdims=True)
    errors = {name: np.abs(f(x, (0,), centred=True)[1] / true - 1).max()
              for name, f in precision_errors.TEXTBOOK.items()}
    assert errors["naive"] > 0.5
    assert max(errors["two-pass"], errors["Welford"]) < 5e-3


# -- what is measured ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", Sizes().counts)
def test_every_form_has_four_sets_of_n_values(family: str, n: int) -> None:
    grouped = FAMILIES[family].grouped
    for form in FAMILIES[family].forms:
        shape = form.shape(n)
        view = (shape[0], 2, shape[1] // 2, *shape[2:]) if grouped else shape
        assert math.prod(view[axis] for axis in form.axes) == n
        assert math.prod(shape) == 4 * n


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_drawn_in_forms_that_it_or_its_family_takes(layer: str) -> None:
    found = points(layer, QUICK)
    assert {p.sweep for p in found} == {"offset", "N", "layout"}
    own = {p.form for p in found if p.sweep != "layout"}
    assert {LAYERS[layer] + form.suffix for form in own} == {layer.removeprefix("Lazy")}
    assert len({p.layout for p in found if p.sweep == "layout"}) == 3 * 3
    assert own <= {p.form for p in found if p.sweep == "layout"}
    assert max(p.offset for p in found if p.dtype == "float16") < 65504


@pytest.mark.parametrize("memory", ["contiguous", "transposed", "channels last", "sliced"])
def test_layouts_keep_the_values(memory: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    y = precision_errors.arranged(x, memory)
    np.testing.assert_array_equal(y, x)
    assert y.flags.c_contiguous == (memory == "contiguous")
    assert (np.argmin(y.strides) == {"transposed": 0, "channels last": 1}.get(memory, 3))


@needs_wider
def test_exact_is_exact() -> None:
    """float64 data 1e8 spreads from 0, against rational numbers."""
    x = np.random.default_rng(0).standard_normal(16) + 1e8
    numbers = [Fraction(float(v)) for v in x]
    mean = sum(numbers) / 16
    var = sum((v - mean) ** 2 for v in numbers) / 16 + Fraction(precision_errors.EPS)
    with localcontext() as context:
        context.prec = 40
        std = (Decimal(var.numerator) / Decimal(var.denominator)).sqrt()
        expected = [Decimal((v - mean).numerator) / Decimal((v - mean).denominator) / std
                    for v in numbers]
        got = precision_errors.exact(x[:, None], (0,), True)[:, 0]
        for one, true in zip(got, expected, strict=True):
            assert abs(Decimal(np.format_float_positional(one, 25)) - true) < Decimal("1e-18")


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("layer", LAYERS)
def test_ours_is_exact_wherever_the_study_looks(layer: str) -> None:
    """The issue's bound for float32; of the others a few machine epsilons."""
    bounds = {"float16": 3e-3, "float32": 4e-6, "float64": 2e-14}
    rows = study(layer, SMALL)
    assert len(rows) == len(points(layer, SMALL))
    for row in rows:
        if row.point.offset * np.finfo(row.point.dtype).eps < 1:
            assert row.errors["ours"] <= bounds[row.point.dtype], row
        assert ("Welford" in row.errors) == (row.point.n <= SMALL.loop)
        assert ("two-pass" in row.errors) == FAMILIES[LAYERS[layer]].centred
        assert "PyTorch" not in row.errors
    if FAMILIES[LAYERS[layer]].centred:  # where nothing is subtracted, nothing cancels
        assert any(not row.errors["naive"] < 0.1 for row in rows if row.point.dtype == "float32")


@pytest.mark.usefixtures("no_torch")
def test_the_same_seed_gives_the_same_numbers() -> None:
    first, again, other = (study("LayerNorm", QUICK, seed) for seed in (0, 0, 1))
    assert repr(first) == repr(again) != repr(other)


def test_torch_is_measured_where_it_is_installed() -> None:
    pytest.importorskip("torch", reason="it is the rival")
    point = Point("N", "float32", 1.0, 16, FAMILIES["BatchNorm"].forms[0])
    assert measured("BatchNorm1d", point, QUICK, 0).errors["PyTorch"] < 1e-5
    assert "PyTorch" not in measured("BatchRenorm1d", point, QUICK, 0).errors


def test_a_torch_that_cannot_do_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise RuntimeError("not implemented for 'Half'")

    fake = SimpleNamespace(nn=SimpleNamespace(GroupNorm=refuse))
    monkeypatch.setattr(importlib, "import_module", lambda name: fake)
    assert precision_errors.pytorch("GroupNorm", (), {}, np.ones(2)) is None
    assert precision_errors.pytorch("RMSNorm", (), {}, np.ones(2)) is None


def test_no_wider_type_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_errors, "WIDER", False)
    assert {p.dtype for p in points("LayerNorm", QUICK)} == {"float16", "float32"}


# -- what is shown ---------------------------------------------------------------------------------


def made_up(dtype: str) -> list[Row]:
    """Rows with every kind of error."""
    errors = iter([0.0, math.nan, math.inf, 1e-3] * 100)
    rows = []
    for point in points("BatchNorm1d", QUICK):
        if point.dtype == dtype:
            rows.append(Row(point, {"naive": next(errors), "ours": 1e-6}))
    return rows


def test_the_table_shows_every_kind_of_error() -> None:
    text = precision.table("BatchNorm1d", made_up("float32"))
    for word in (" nan", " inf", " 0 ", "1.0e-03", "1.0e-06", "(N, C, L) channels last",
                 "offset 1000", "N = 256"):
        assert word in text, word
    assert "Welford" not in text
    assert precision.number(None) == "—"


def test_the_picture_shows_every_kind_of_error() -> None:
    pytest.importorskip("matplotlib", reason="it draws")
    rows = made_up("float32")
    figure = precision_plot.draw("BatchNorm1d", rows, QUICK)
    assert len(figure.axes) == 3
    for axes, sweep in zip(figure.axes, precision_plot.SWEEPS, strict=True):
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels[-2:] == ["0", "NaN, ∞"]
        bottom, top = axes.get_ylim()
        drawn = [y for line in axes.get_lines() if line.get_color() == precision_plot.COLORS[
            "naive"] for y in line.get_ydata() if not math.isnan(y)]
        assert len(drawn) == sum(row.point.sweep == sweep for row in rows)  # nothing is dropped
        assert all(bottom <= y <= top for y in drawn)
        assert "float32: ours within 1.0e-06" in axes.get_title(loc="left")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[0] == "naive: E[x²] − E[x]²"
    assert "PyTorch" not in words


@pytest.mark.usefixtures("no_torch")
def test_the_command_prints_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="it draws")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert precision.main(["RMSNorm", "--quick"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("RMSNorm: the largest error of the standardized output\n")
    assert out.endswith("\nprecision_RMSNorm.png\n")
    assert (tmp_path / "precision_RMSNorm.png").read_bytes().startswith(b"\x89PNG")
    assert err.endswith("44/44\n" if precision_errors.WIDER else "29/29\n")


@pytest.mark.usefixtures("no_torch")
def test_without_matplotlib_there_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "a.png"
    assert precision.main(["LayerNorm", "--quick", "--out", str(out)]) == 1
    printed, err = capsys.readouterr()
    assert "Against the offset in spreads" in printed
    assert err.startswith("no picture: matplotlib is not installed; "
                          "pip install 'tinygrad_norm[examples]'\n")
    assert not out.exists()


@pytest.mark.usefixtures("no_torch")
def test_a_picture_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table stays, and the reason is one line."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "a.png"
    out.mkdir()
    assert precision.main(["LayerNorm", "--quick", "--out", str(out)]) == 1
    printed, err = capsys.readouterr()
    assert "Against the offset in spreads" in printed
    assert err.endswith(f"\nno picture: {out} cannot be written (Is a directory); "
                        "choose another with --out\n")


@pytest.mark.parametrize(("arguments", "message"), [
    (["DyT"], "expected one of BatchNorm1d, BatchNorm2d"),
    (["DyT"], "got 'DyT'; the others give something else than (input - mean) / √("),
    (["LayerNorm", "--out", "a.txt"], "expected a name in .png, .svg or .pdf, got 'a.txt'"),
    (["LayerNorm", "--out", "none/a.png"],
     "expected a folder that exists, got 'none/a.png'; make none first"),
    (["LayerNorm", "--seed", "-1"], "expected a whole number from 0, got '-1'"),
    (["LayerNorm", "--seed", "x"], "expected a whole number from 0, got 'x'"),
])  # fmt: skip
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        precision.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_place_that_exists_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    assert precision.options(["LayerNorm", "--out", str(out)]).out == out
