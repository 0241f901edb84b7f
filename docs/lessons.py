"""Run the lessons and write docs/lessons.md and examples/README.md: ``make lessons``.

    python docs/lessons.py             all of them, with their defaults: ten minutes
    python docs/lessons.py --quick     in a minute, rougher
    python docs/lessons.py 4a 5b       these; what is written of the others stays
    python docs/lessons.py --text      write the pages anew from docs/lessons/verdicts.json
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_norm as tn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "lessons"))
from kit import Script, scripts
from kit.summary import markdown, summary

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "lessons"
FOUND = FIGURES / "verdicts.json"
RUNS = Path("runs")
SIGNS = {"shown": "✓ shown", "not shown": "○ not shown", "contradicted": "✗ contradicted"}


def run(script: Script, effort: str) -> dict[str, Any]:
    """What the lesson found; its figure is copied."""
    print(f"\n{script.number}. {script.title}", flush=True)
    options = [f"--{effort}"] if effort != "default" else []
    subprocess.run([sys.executable, str(script.path), *options], check=True)
    out = RUNS / script.name
    shutil.copyfile(out / "figure.png", FIGURES / f"{script.name}.png")
    verdict: dict[str, Any] = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    return {name: verdict[name] for name in ("effort", "seed", "claims")}


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
        f"and {counts['contradicted']} are contradicted. Made by `make lessons`\n"
        f"({found['made with']}).\n",
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
    for script in chosen:
        try:
            found["lessons"][script.name] = run(script, args.effort)
        except subprocess.CalledProcessError as error:
            print(f"lessons.py: {script.name} ended with status {error.returncode}; what was found "
                  "before is written", file=sys.stderr)
            return 1
        if script.name == "batch_size":  # the summary reads its errors
            found["summary"] = markdown(summary(RUNS))
        found["made with"] = (f"tinygrad_norm {tn.__version__}, NumPy {np.__version__}, Python "
                              f"{platform.python_version()}")
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
