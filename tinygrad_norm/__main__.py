"""``python -m tinygrad_norm COMMAND``, or ``tinygrad-norm COMMAND`` where it is installed."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import __version__, commandline, doctor
from .nn.normalization import equivalences
from .proof import certify_all
from .study.walk import command as walk_command

EXAMPLES = (
    ("doctor", "what this machine has, and what is missing"),
    ("study batch_norm --out study.html", "a page to step through"),
    ("study layer_norm --csv batch.csv", "your own numbers, as text"),
    ("certify BatchNorm2d", "its derivatives, to the 4th order"),
)


def parser() -> commandline.Parser:
    """The commands: a line for each, with the function that takes its arguments."""
    prog = "tinygrad-norm" if "tinygrad-norm" in sys.argv[0] else "python -m tinygrad_norm"
    width = max(len(example) for example, _ in EXAMPLES)
    result = commandline.Parser(
        prog=prog, description="A tensor and autograd engine for normalized networks.",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog="examples:\n" + "\n".join(
            f"  {prog} {example:{width}}  {says}" for example, says in EXAMPLES))
    result.add_argument("--version", action="version", version=(
        f"tinygrad_norm {__version__}, Python {platform.python_version()}, NumPy {np.__version__}"))
    commands: Any = result.add_subparsers(metavar="COMMAND", dest="command")

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    command("doctor", doctor.run, "Print versions, BLAS, GPU and what to do about each gap.")
    certify_all.arguments(command(
        "certify", certify_all.run,
        "Compare derivatives of every order with Taylor series, layer by layer."))
    walk_command.arguments(command(
        "study", walk_command.run,
        "Walk forward and back through a normalization, one formula at a time."))
    command("equivalences", print_equivalences,
            "Print which normalization equals which other, and when.")
    return result


def print_equivalences(args: argparse.Namespace) -> int:
    print(equivalences())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or print which there are; returns its exit status."""

    def chosen() -> int:
        args = parser().parse_args(argv)
        if args.command is None:
            parser().print_help()
            return 0
        return int(args.run(args))

    return commandline.run(chosen)


if __name__ == "__main__":
    sys.exit(main())
