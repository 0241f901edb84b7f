"""Run the lessons and write docs/lessons.md and examples/README.md: ``make lessons``.

    python docs/lessons.py             all of them, with their defaults: eight minutes
    python docs/lessons.py --quick     in a minute, rougher
    python docs/lessons.py 4a 5b       these; what is written of the others stays
    python docs/lessons.py --text      write the pages anew from docs/lessons/verdicts.json
    python docs/lessons.py --check     write nothing; whether each verdict is the same with each
                                       BLAS kernel that the processor runs
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "lessons"))
from kit import Script, blas, scripts
from kit.summary import markdown, summary

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "lessons"
FOUND = FIGURES / "verdicts.json"
RUNS = Path("runs")
SIGNS = {"shown": "✓ shown", "not shown": "○ not shown", "contradicted": "✗ contradicted"}


def verdict(script: Script, effort: str, out: Path, **env: str) -> dict[str, Any]:
    """What the lesson finds, run in a process of its own."""
    options = [f"--{effort}"] if effort != "default" else []
    subprocess.run([sys.executable, str(script.path), "--out", str(out), *options], check=True,
                   env={**os.environ, **env}, stdout=subprocess.DEVNULL if env else None)
    found: dict[str, Any] = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    return {name: found[name] for name in ("effort", "seed", "claims")}


def run(script: Script, effort: str) -> dict[str, Any]:
    """What the lesson found, and with what; its figure is copied."""
    print(f"\n{script.number}. {script.title}", flush=True)
    found = verdict(script, effort, RUNS / script.name)
    shutil.copyfile(RUNS / script.name / "figure.png", FIGURES / f"{script.name}.png")
    return {**found, "made with": blas.made_with()}


def check(chosen: list[Script], effort: str, published: dict[str, Any] | None) -> int:
    """Print how far each claim is from its bound, in standard errors, with each kernel, and mark
    the verdicts that differ, also from those that are published: 1 if there are such."""
    kernels, differ = blas.kernels(), 0
    print("; ".join(kernels) or "no kernels to choose from: NumPy's BLAS is not OpenBLAS")
    for script in chosen if kernels else ():
        with tempfile.TemporaryDirectory() as folder:
            rows = [verdict(script, effort, Path(folder), **{blas.SETTING: setting})["claims"]
                    for setting in kernels.values()]
        rows += [published[script.name]["claims"]] if published else []
        for claims in zip(*rows, strict=True):
            verdicts = [claim["verdict"] for claim in claims]
            same = len(set(verdicts)) == 1
            differ += not same
            errors = (claim["standard_errors"] for claim in claims)
            far = " ".join("   inf" if error is None else f"{error:6.1f}" for error in errors)
            print(f"{script.name:20} {claims[0]['key']:20} {far}  "
                  + (verdicts[0] if same else f"DIFFER: {', '.join(verdicts)}"), flush=True)
    print(f"{differ} verdicts differ")
    return int(differ > 0)


def section(script: Script, found: dict[str, Any]) -> str:
    """One lesson of docs/lessons.md."""
    doc = ast.get_docstring(ast.parse(script.path.read_text(encoding="utf-8"))) or ""
    title, _, body = doc.partition("\n")
    lines = [f"## {title.rstrip('.')}\n", body.strip() + "\n",
             f"![{script.title}](lessons/{script.name}.png)\n"]
    for claim in found["claims"]:
        lines.append(f"- **{SIGNS[claim['verdict']]}**: {claim['text']} ({claim['measured']})")
        if claim["verdict"] != "shown" and claim["reason"]:
            lines.append(f"  {claim['reason']}")
    command = f"python examples/lessons/{script.path.name}"
    effort = "" if found["effort"] == "default" else f" --{found['effort']}"
    lines.append(f"\n[`{command}{effort}`](../examples/lessons/{script.path.name})\n")
    return "\n".join(lines)


def page(found: dict[str, Any]) -> str:
    """docs/lessons.md."""
    there = [script for script in scripts() if script.name in found["lessons"]]
    claims = [claim for script in there for claim in found["lessons"][script.name]["claims"]]
    made = dict.fromkeys(found["lessons"][script.name]["made with"] for script in there)
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in SIGNS}
    return "\n".join([
        "# What is said about normalization, measured\n",
        "Each lesson is a script in [examples/lessons](../examples/README.md) that runs in under a "
        "minute on\ntwo cores. A verdict is computed from the runs: *shown* means that the effect "
        "lies 3 standard errors\nor more above the bound and each seed above it (with ten seeds or "
        "more, nine in ten); *contradicted*\nthat it lies as far below; *not shown* anything else. "
        "Behind each claim stand the mean over the seeds\nand its standard error. Lines in the "
        "figures are medians, bands reach from the least to the largest\nseed.\n",
        f"Of {len(claims)} claims {counts['shown']} are shown, {counts['not shown']} are not, "
        f"and {counts['contradicted']} are contradicted. Made by `make lessons`,\n"
        f"with {'; '.join(made)}.\nOther kernels of the BLAS round otherwise, and the numbers "
        "change with them; `python docs/lessons.py --check`\nruns all lessons with each, and "
        "compares the verdicts.\n",
        "## The summary\n",
        "Measured on fresh layers and (64, 32, 8, 8): how far a sample's output moves in training "
        "when the rest of\nthe batch changes, as a share of its size (BatchRenorm's r and d take "
        "most of that out); which changes\nof the input leave the output as it is; forward and "
        "backward in training, as a multiple of\nBatchNorm's time, on one core. The test errors "
        "are of lesson 5a.\n",
        found["summary"],
        *(section(script, found["lessons"][script.name]) for script in there)])


def contents(found: dict[str, Any]) -> str:
    """examples/README.md."""
    lines = [
        "# Examples\n",
        "[`train_mlp.py`](train_mlp.py) trains a network on real digits and is what `make demo` "
        "runs.\n[`backprop_through_batchnorm.ipynb`](backprop_through_batchnorm.ipynb) goes from "
        "the formula by hand to\nthe engine's gradient.\n",
        "The lessons, in the order in which one learns. Each is a short script that writes a "
        "figure and a\nverdict to `runs/NAME/`; [docs/lessons.md](../docs/lessons.md) has them "
        "all with what they found.\n",
        "```sh\npython examples/lessons --list\npython examples/lessons 4a "
        "--quick\npython examples/lessons/learning_rate.py --quick\nmake lessons    # all of them, "
        "and the page\n```\n",
        "| | | lesson |", "|---|---|---|"]
    for script in scripts():
        picture = (f"<img width=\"150\" src=\"../docs/lessons/{script.name}.png\" "
                   f"alt=\"{script.name}\">" if script.name in found["lessons"] else "")
        lines.append(f"| {script.number} | {picture} | [`{script.name}`](lessons/"
                     f"{script.path.name}): {script.title} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the lessons and write their pages.")
    parser.add_argument("name", nargs="*", help="which, by name or number; all by default")
    parser.add_argument("--quick", dest="effort", action="store_const", const="quick",
                        default="default")
    parser.add_argument("--text", action="store_true", help="run nothing, write the pages only")
    parser.add_argument("--check", action="store_true", help="write nothing; run each with each "
                        "BLAS kernel, and compare the verdicts")
    args = parser.parse_args()
    known = {name: script for script in scripts() for name in (script.name, script.number)}
    for name in args.name:
        if name not in known:
            parser.error(f"expected names of lessons, got {name!r}")
    FIGURES.mkdir(exist_ok=True)
    found: dict[str, Any] = {"lessons": {}, "summary": ""}
    if FOUND.exists():
        found = json.loads(FOUND.read_text(encoding="utf-8"))
    chosen = [] if args.text else [known[name] for name in args.name] or scripts()
    if args.check:
        return check(chosen, args.effort, found["lessons"] if args.effort == "default" else None)
    for script in chosen:
        try:
            found["lessons"][script.name] = run(script, args.effort)
        except subprocess.CalledProcessError as error:
            print(f"lessons.py: {script.name} ended with status {error.returncode}; what was found "
                  "before is written", file=sys.stderr)
            return 1
        if script.name == "batch_size":  # the summary reads its errors
            found["summary"] = markdown(summary(RUNS))
        write(found)
    write(found)
    return 0


def write(found: dict[str, Any]) -> None:
    """The verdicts and the pages of them, after each lesson: a run can be stopped."""
    found["lessons"] = {script.name: found["lessons"][script.name] for script in scripts()
                        if script.name in found["lessons"]}
    for path, text in (
        (FOUND, json.dumps(found, indent=1, ensure_ascii=False) + "\n"),
        (DOCS / "lessons.md", page(found)), (DOCS.parent / "examples" / "README.md",
                                             contents(found))):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
