"""What all commands share: names in any form, near misses, Ctrl-C, output of any encoding."""

from __future__ import annotations

import argparse
import io
import os
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from kit import contents

import precision
import pytest
import train_mlp

import tinygrad_norm as tn
from tinygrad_norm import __main__, commandline
from tinygrad_norm.commandline import named
from tinygrad_norm.proof.forms import every
from tinygrad_norm.study.walk.examples import SHAPES

ROOT = Path(tn.__file__).parents[1]
lessons = runpy.run_path(str(contents.FOLDER / "__main__.py"))["main"]
LAYERS = [entry.name for entry in every()]
LESSONS = [script.name for script in contents.scripts()]
NORMS = ("none", "batch", "batch_renorm", "rms")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "forms", "meant"), [
    (LAYERS, "BatchNorm1d BatchNorm batch_norm batchnorm batch-norm BATCH batch_norm1d",
     "BatchNorm1d"),
    (LAYERS, "batch2d BatchNorm_2D batchnorm2d batch_norm_2d", "BatchNorm2d"),
    (LAYERS, "lazy_instance_norm3d LazyInstance3d", "LazyInstanceNorm3d"),
    (LAYERS, "layernorm layer_norm LayerNorm2d", "LayerNorm"), (LAYERS, "film", "FiLM"),
    (LAYERS, "WeightNorm", "weight_norm"), (LAYERS, "BatchReNorm", "BatchRenorm1d"),
    (SHAPES, "BatchNorm3d batch batch_norm", "batch_norm"), (SHAPES, "RMSNorm", "rms_norm"),
    (NORMS, "BatchRenorm1d batch_renorm batchrenorm", "batch_renorm"), (NORMS, "None", "none"),
    (LESSONS, "LearningRate learning-rate learning_rate", "learning_rate"),
])
def test_a_name_in_any_form(names: Any, forms: str, meant: str) -> None:
    assert {named(form, names) for form in forms.split()} == {meant}


def test_every_name_is_itself() -> None:
    for names in (LAYERS, list(SHAPES), LESSONS, list(NORMS), list(precision.LAYERS)):
        assert [named(name, names) for name in names] == names


@pytest.mark.parametrize(("text", "near"), [
    ("LayerNrom", " (did you mean LayerNorm?)"), ("grp_norm", " (did you mean GroupNorm?)"),
    ("", ""), ("?", ""), ("xyz", "")])
def test_a_name_that_is_none(text: str, near: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        named(text, ["LayerNorm", "GroupNorm"])
    assert str(caught.value) == f"expected one of LayerNorm, GroupNorm, got {text!r}{near}"


@pytest.mark.parametrize(("main", "arguments", "message"), [
    (__main__.main, "studdy", "(did you mean study?); --help lists what there is"),
    (__main__.main, "study batch_nrom", "(did you mean batch_norm?); --help"),
    (__main__.main, "certify all --oder 3", "--oder 3 (did you mean --order?); --help"),
    (__main__.main, "certify all --quux", "--quux; --help"),
    (train_mlp.main, "--data moon", "(did you mean moons?)"),
    (precision.main, "RMSNrom", "(did you mean RMSNorm?); the others give something else"),
    (lessons, "lerning_rate", "(did you mean learning_rate?); --list prints them"),
    (__main__.main, "equivalences LayrNorm", "arguments: LayrNorm; --help"),
    (precision.main, "BatchNrm", "(did you mean BatchNorm1d?)"),
    (lessons, "--lst", "--lst (did you mean --list?)"),
])
def test_a_near_miss(
    main: Callable[[list[str]], int], arguments: str, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_a_command_there_is_an_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for example, _ in __main__.EXAMPLES:
        assert f"  python -m tinygrad_norm {example} " in shown.out
        args = __main__.parser().parse_args(example.split())
        assert f"\n    {args.command}" in shown.out
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["--version"])
    assert capsys.readouterr().out.startswith(f"tinygrad_norm {tn.__version__}, Python 3.")


def test_the_console_script(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (name, target), = scripts.items()
    module, _, function = target.partition(":")
    assert (name, getattr(import_module(module), function)) == ("tinygrad-norm", __main__.main)
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}"])
    assert __main__.parser().prog == name


# -- Ctrl-C ----------------------------------------------------------------------------------------


def pressed(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_ctrl_c_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commandline.run(pressed) == 130
    assert capsys.readouterr().err == "stopped\n"
    for module, name, main, arguments in (
            (__main__, "print_equivalences", __main__.main, ["equivalences"]),
            (precision, "measured", precision.main, ["RMSNorm", "--quick"]),
            (train_mlp, "chosen", train_mlp.main, [])):
        monkeypatch.setattr(module, name, pressed)
        assert main(arguments) == 130
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("argv", "orig", "ours"), [
    (["-m"], ["python", "-m", "tinygrad_norm"], True), (["/bin/tinygrad-norm"], ["python"], True),
    (["-m"], ["python", "-m", "theirs"], False)])
def test_also_while_a_command_is_imported(
    argv: list[str], orig: list[str], ours: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", before)
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig)
    monkeypatch.setattr(os, "_exit", sys.exit)
    commandline.begin()
    assert sys.excepthook is (commandline.end_in_a_line if ours else before)
    with pytest.raises(SystemExit, match="130"):
        commandline.end_in_a_line(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "stopped\n"
    commandline.end_in_a_line(ValueError, ValueError("another"), None)
    assert capsys.readouterr().err == "ValueError: another\n"


@pytest.mark.parametrize(("script", "part"), [
    ("examples/train_mlp.py", "options"), ("benchmarks/precision.py", "precision_layers"),
    ("examples/lessons/kit/__init__.py", "kit.lesson")])
def test_also_while_a_script_is_imported(
    script: str, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = ModuleType(part)
    stopping.__getattr__ = pressed  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, part, stopping)
    monkeypatch.setattr(os, "_exit", sys.exit)
    source = compile((ROOT / script).read_text(encoding="utf-8"), script, "exec")
    with pytest.raises(SystemExit, match="130"):
        exec(source, {"__name__": part.partition(".")[0], "__package__": "kit" * ("kit" in script)})
    assert capsys.readouterr().err in ("stopped\n", "stopped before it began\n")


@pytest.mark.parametrize("command", [
    ["-m", "tinygrad_norm"], ["examples/train_mlp.py"], ["examples/lessons"],
    ["benchmarks/precision.py"]])
def test_also_while_numpy_is_imported(command: list[str], tmp_path: Path) -> None:
    """NumPy makes of it an error about its installation where its C code imports datetime."""
    (tmp_path / "datetime.py").write_text("raise KeyboardInterrupt")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run([sys.executable, *command], cwd=ROOT, text=True, check=False, timeout=60,
                          env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr


# -- encodings -------------------------------------------------------------------------------------


def summary(_: list[str]) -> int:
    model = tn.nn.Sequential()
    model.add_module("γ×─", tn.nn.LayerNorm(2))
    tn.viz.summary(model)
    return 0


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str, str, str]] = {
    "study": (__main__.main, "study batch_norm --text", "-- Forward --", "sq = xmu"),
    "what-ifs": (__main__.main, "study batch_norm --what-if list", "= +-1 but for", "gamma = 0"),
    "equivalences": (__main__.main, "equivalences", "infinite", "GroupNorm"),
    "certify": (__main__.main, "certify FiLM --order 1", "FiLM", " certified: the worst"),
    "doctor": (__main__.main, "doctor", "numpy", "python"),
    "lessons": (lessons, "--list", "learning_rate", "smoothness"),
    "summary": (summary, "", "gamma", "LayerNorm"),
}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", COMMANDS)
def test_any_encoding(command: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main, arguments, *words = COMMANDS[command]
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, newline=""))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(arguments.split()) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    for word in words if encoding == "ascii" else words[1:]:
        assert word in text
    assert "\\u" not in text


def test_training_with_any_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    monkeypatch.setattr("run_folder.RunFolder.draw_curves", lambda *_: "curves — not drawn")
    monkeypatch.setattr("run_folder.RunFolder.draw_graph", lambda *_: "")
    out = tmp_path / "γ-run"
    assert train_mlp.main(["--data", "moons", "--epochs", "1", "--out", str(out)]) == 0
    assert b"gamma-run" in raw.getvalue()
    assert b"curves - not drawn" in raw.getvalue()


@pytest.mark.parametrize(("text", "ascii", "windows"), [
    ("√(σ² + ε)", "sqrt(sigma^2 + epsilon)", "sqrt(sigma² + epsilon)"),
    ("∂x̂ᵢ/∂xⱼ − 10³⁰ · Σₖ", "dx_hat_i/dx_j - 10^30 * sum _k", "dx_hat_i/dx_j - 10³^0 · sum _k"),
    ("Σ_N x, ‖Ŵ‖ ≤ ∞ …", "sum_N x, |W_hat| <= inf ...", "sum_N x, |W_hat| <= inf …"),
    ("Σdx · Σ (x − μ)", "sum dx * sum (x - mu)", "sum dx · sum (x - mu)"),
    ("é → 中\udc80", "e -> \\u4e2d\\udc80", "é -> \\u4e2d\\udc80"),
])
def test_signs_become_words(text: str, ascii: str, windows: str) -> None:
    handler = "tinygrad_norm.legible"
    assert text.encode("ascii", handler).decode("ascii") == ascii
    assert text.encode("cp1252", handler).decode("cp1252") == windows
    assert text.encode("utf-8", handler).decode() == text.replace("\udc80", "\\udc80")
