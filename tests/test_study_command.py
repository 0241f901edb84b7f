"""``python -m tinygrad_norm study``: what it prints, reads, writes and refuses."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_norm.__main__ import main
from tinygrad_norm.study.walk import example, what_ifs
from tinygrad_norm.study.walk.batch import from_csv
from tinygrad_norm.study.walk.examples import SHAPES


def run(*arguments: str) -> int:
    return main(["study", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", SHAPES)
def test_it_prints_the_example(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(kind, "--text", "--seed", "3") == 0
    assert capsys.readouterr().out == f"{example(kind, seed=3).trace()}\n"
    assert run(kind, "--eval") == 0
    title = capsys.readouterr().out.split("\n\n")[0].replace("\n", " ")
    assert title.endswith(", eval") == kind.startswith("batch")


def test_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert run("batch_norm") == 0
    assert f"\n{'── Forward '.ljust(72, '─')}\n" in capsys.readouterr().out
    assert run("batch_norm", "--what-if", "list") == 0
    assert 60 < max(map(len, capsys.readouterr().out.splitlines())) <= 72


def test_json_goes_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("batch_norm", "--json", "a.json") == 0
    assert capsys.readouterr().out == "a.json\n"
    found = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert found == json.loads(example("batch_norm").trace().json())
    assert found["format"] == "tinygrad_norm.study/2"
    assert os.listdir(folder) == ["a.json"]
    assert run("batch_norm", "--json", "a.json", "--text") == 0
    assert "── Forward" in capsys.readouterr().out


def test_a_file_is_written_whole_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.json").write_text("old")

    def fail(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", source)

    monkeypatch.setattr(os, "replace", fail)
    assert run("rms_norm", "--json", "a.json") == 1
    assert "No space left" in capsys.readouterr().err
    assert (folder / "a.json").read_text() == "old"
    assert os.listdir(folder) == ["a.json"]


def walked(folder: Path, *arguments: str) -> dict:
    assert run(*arguments, "--json", str(folder / "out.json")) == 0
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def value(study: dict, name: str) -> np.ndarray:
    return np.array(next(n["value"] for n in study["forward"] if n["name"] == name), float)


@pytest.mark.parametrize("head", ["", "first,second\n", "\ufeffa,b\n\n"])
def test_csv(folder: Path, head: str) -> None:
    (folder / "x.csv").write_text(f"{head}1,2\n3,nan\n5,-6e1\n", encoding="utf-8")
    study = walked(folder, "batch_norm", "--csv", "x.csv")
    np.testing.assert_array_equal(value(study, "x"), [[1, 2], [3, np.nan], [5, -60]])
    study = walked(folder, "layer_norm", "--csv", "x.csv", "--rows", "1")
    np.testing.assert_array_equal(value(study, "x"), [[1, 2]])


@pytest.mark.parametrize("text", [
    "1,2\n3,nan\n5,-6e1\n", "1;2\n3;nan\n5;-6e1", "1\t2\n3\tnan\n5\t-6e1\n",
    "1 2\n3   nan \n  5 -6e1\n", "\n1,2\r\n\r\n3,nan\r\n,\n5,-60.0\r\n",
    '"1","2"\n"3", "nan"\n5,-60', "a;b\n1,0;2,0\n3;nan\n5,;-6,0e1\n",
    '"a;b"\t"c 1"\n1,0\t2\n3\tNaN\n5\t-6,0E+1', "\ufeff size 1, size 2\n1,2\n3,nan\n5,-60",
    '"1,0","2,0"\n3,nan\n5,-60', "a b\n1 2\n3 nan\n5 -60", "a b c\n1,2\n3,nan\n+5.,-60",
    "sep=;\n1;2\n3;nan\n5;-60", "sep=;\na;b\n1;2\n3;nan\n5;-60", '"1";"2"\n3;nan\n"5,0";-60'])
def test_csv_of_other_hands(folder: Path, text: str) -> None:
    (folder / "x.csv").write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(from_csv("x.csv").x, [[1, 2], [3, np.nan], [5, -60]])


@pytest.mark.parametrize(("head", "names"), [
    ("sepal length, width", ("sepal length", "width")), ('"a,b";c', ("a,b", "c")),
    (" \ta", ("", "a")), ("a", ()), ("a b c", ()), ("", ())])
def test_names_of_a_csv(folder: Path, head: str, names: tuple[str, ...]) -> None:
    separator = next((one for one in ",;\t" if one in re.sub('".*"', "", head)), ",")
    (folder / "x.csv").write_text(f"{head}\n1{separator}2\n3{separator}4\n")
    assert from_csv("x.csv").features == names


def test_columns_keep_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.csv").write_text("sepal length (cm),\x1b[1m,<b>\n1,2,3\n3,5,4\n")
    assert run("BatchNorm1d", "--csv", "x.csv") == 0
    text = capsys.readouterr().out
    assert "Features: sepal length (cm), " in text
    assert " sepal le…       [1m       <b>\n     N0    1.0000    2.0000    3.0000\n" in text
    assert run("layer_norm", "--csv", "x.csv", "--out", "x.html") == 0
    page = (folder / "x.html").read_text(encoding="utf-8")
    assert '"features":["sepal length (cm)","[1m","\\u003cb\\u003e"]' in page
    assert '"name":"eps = 1"' in page
    assert '"name":"eps = 1e-05"' not in page  # it is what is given
    assert "Features" not in str(example("batch_norm").trace())


def test_a_large_csv_is_not_read_to_its_end(folder: Path) -> None:
    (folder / "x.csv").write_text("1,2\n" * 2**17)
    with pytest.raises(ValueError, match=r"more than 262144 characters; take .* with --rows"):
        from_csv("x.csv")
    assert from_csv("x.csv", 8).x.shape == (8, 2)


def test_csv_of_one_column(folder: Path) -> None:
    (folder / "x.csv").write_text("weight\n1.5\n-inf\n", encoding="utf-8")
    np.testing.assert_array_equal(from_csv("x.csv").x, [[1.5], [-np.inf]])


def test_npz(folder: Path) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 600, 4, 2)).transpose(0, 1, 3, 2)
    np.savez("one.npz", x.astype("float32"))
    np.savez("all.npz", x=x, grad_output=dy, weight=[1, 2], bias=[3.0, 4.0])
    study = walked(folder, "instance_norm", "--npz", "all.npz", "--rows", "5")
    np.testing.assert_array_equal(value(study, "x"), x[:5])
    np.testing.assert_array_equal(study["backward"][0]["value"], dy[:5])
    np.testing.assert_array_equal(value(study, "gamma").reshape(-1), [1, 2])
    study = walked(folder, "batch_norm", "--npz", "one.npz", "--rows", "3", "--eval")
    assert study["mode"] == "eval"
    assert study["arrangement"]["shape"] == [3, 2, 4]
    assert value(study, "running_mean").any()


def test_what_ifs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("batch_norm", "--what-if", "list") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    for case in what_ifs("batch_norm"):
        assert case.name in out
    study = walked(folder, "batch_norm", "--what-if", "gamma = 0")
    assert value(study, "gamma")[0, 0] == 0


@pytest.mark.parametrize(("files", "arguments", "message"), [
    ({}, ["batch_norm", "--csv", "none.csv"], "study: none.csv: No such file or"),
    ({"a.csv": "a,b\n"}, ["batch_norm", "--csv", "a.csv"], "a.csv: expected lines of numbers, got"),
    ({"a.csv": "1,2\n3\n"}, ["batch_norm", "--csv", "a.csv"],
     "expected 2 numbers in each line, as in line 1, got 1 in line 2 (commas were taken"),
    ({"a.csv": "a,b\n\n1,2\n\n3,4,5\n"}, ["batch_norm", "--csv", "a.csv"],
     "expected 2 numbers in each line, as in line 3, got 3 in line 5 (commas were taken for what "
     "stands between the numbers)"),
    ({"a.csv": "1;2\n3\n"}, ["batch_norm", "--csv", "a.csv"],
     "as in line 1, got 1 in line 2 (semicolons were taken"),
    ({"a.csv": "1;x\n3\n"}, ["batch_norm", "--csv", "a.csv"], "got 'x' in line 1 (semicolons"),
    ({"a.csv": "1\t2\n3\n"}, ["batch_norm", "--csv", "a.csv"], "got 1 in line 2 (tabs were taken"),
    ({"a.csv": "1 2\n3\n"}, ["batch_norm", "--csv", "a.csv"], "got 1 in line 2 (blanks were taken"),
    ({"a.csv": "1|2\n3|4\n"}, ["batch_norm", "--csv", "a.csv"], "got '3|4' in line 2 (commas were"),
    ({"a.csv": "1,2,\n3,4,\n"}, ["batch_norm", "--csv", "a.csv"], "got an empty place in line 1"),
    ({"a.csv": "1.234,5;2\n3;4\n"}, ["batch_norm", "--csv", "a.csv"], "got '1.234,5' in line 1"),
    ({"a.csv": "1,2\n1_000,2\n"}, ["batch_norm", "--csv", "a.csv"], "got '1_000' in line 2"),
    ({"a.csv": "1,2\n0\0,2\n"}, ["batch_norm", "--csv", "a.csv"], "got '0\\x00' in line 2"),
    ({"a.csv": '1,2\n"3,4\n'}, ["batch_norm", "--csv", "a.csv"], "as in line 1, got 1 in line 2"),
    ({"a.csv": "1" * 200_000}, ["batch_norm", "--csv", "a.csv"], "field larger than field limit"),
    ({"a.csv": ""}, ["batch_norm", "--csv", "a.csv"], "expected lines of numbers, got none"),
    ({}, ["batch_norm", "--csv", "."], "study: .: Is a directory\n"),
    ({"a.csv": "1,2\n3,x\n"}, ["batch_norm", "--csv", "a.csv"], "expected a number, got 'x'"),
    ({"a.csv": b"\xff\xfe"}, ["batch_norm", "--csv", "a.csv"],
     "can't decode byte 0xff in position 0: invalid start byte; save it as UTF-8"),
    ({"a.csv": "1,2\n3,4\n"}, ["instance_norm", "--csv", "a.csv"],
     "3 to 5 axes for instance_norm, got (2, 2); give such an array with --npz"),
    ({"a.csv": "1,2\n"}, ["batch_norm", "--csv", "a.csv"], "Expected more than 1 value per"),
    ({"a.csv": "1,2\n" * 300}, ["batch_norm", "--csv", "a.csv"],
     "study: expected at most 512 values in x, got (300, 2), which are 600: too many to look at; "
     "study its first rows, x[:256] (--rows 256 in the command)"),
    ({"a.npz": b"PK"}, ["batch_norm", "--npz", "a.npz"], "a.npz: expected a file that numpy.savez"),
    ({"a.npz": b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }".ljust(
        127) + b"\n"}, ["batch_norm", "--npz", "a.npz"], "a.npz: expected a file that numpy.savez"),
    ({"a.npz": pickle.dumps([1])}, ["batch_norm", "--npz", "a.npz"],
     "a.npz: expected a file that numpy.savez wrote, of arrays of numbers\n"),
    ({"a.npz": {"x": np.array([[1, None]])}}, ["batch_norm", "--npz", "a.npz"],
     "a.npz: expected a file that numpy.savez wrote, of arrays of numbers\n"),
    ({"a.npz": {"y": [1.0], "z": [1.0]}}, ["batch_norm", "--npz", "a.npz"],
     "expected arrays named x, grad_output, weight, bias, got y, z"),
    ({"a.npz": {"x": ["a"]}}, ["batch_norm", "--npz", "a.npz"], "expected x to hold numbers, got"),
    ({"a.npz": {"x": np.ones((2, 2)), "weight": [1.0]}}, ["batch_norm", "--npz", "a.npz"],
     "expected one of shape (2,) as weight of batch_norm, got (1,)"),
    ({"a.npz": {"x": np.ones((2, 2)), "bias": [1.0, 2.0]}}, ["rms_norm", "--npz", "a.npz"],
     "expected none as bias of rms_norm, got (2,)"),
    ({"a.npz": {"x": np.ones((2, 2)), "grad_output": [1.0]}}, ["rms_norm", "--npz", "a.npz"],
     "expected grad_output of the shape of x, (2, 2), got (1,)"),
    ({}, ["batch_norm", "--what-if", "nix"], "expected --what-if to be one of batch of 2, "),
    ({}, ["batch_norm", "--what-if", "Batch of 3"], "'Batch of 3' (did you mean batch of 2?)\n"),
    ({}, ["batch_norm", "--what-if", "gamma = 0", "--eval"], "leave --eval and --rows out"),
])
def test_one_line_says_what_is_wrong(
    folder: Path, files: dict, arguments: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in files.items():
        if isinstance(content, dict):
            np.savez(name, **content)
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run(*arguments, "--json", "out.json") == 2
    error = capsys.readouterr().err
    assert error.startswith("study: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "out.json").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["bathc"], "expected one of batch_norm, batch_renorm, .* got 'bathc'"),
    (["batch_norm", "--txt"], r"unrecognized arguments: --txt \(did you mean --text\?\)"),
    (["batch_norm", "--json", "nix/a.json"], "make nix first"),
    (["batch_norm", "--json", "."], "expected a file, got the folder '.'"),
    (["batch_norm", "--rows", "0"], "expected a whole number from 1, got '0'"),
    (["batch_norm", "--seed", "-1"], "expected a whole number from 0, got '-1'"),
    (["batch_norm", "--csv", ""], "expected the name of a file or a folder, got ''"),
    (["batch_norm", "--csv", "a", "--npz", "b"], "not allowed with argument"),
])
def test_wrong_options(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [
    ["study", "batch_norm"], ["study", "batch_norm", "--what-if", "list"], ["equivalences"]])
def test_output_that_cannot_be_written(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "tinygrad_norm", *arguments], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "tinygrad_norm: error: No space left on device\n"
