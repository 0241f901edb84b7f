"""``python -m tinygrad_norm COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import doctor
from .nn.normalization import equivalences
from .study import certify_all, precision_report
from .study.walk import command as walk_command


class Parser(argparse.ArgumentParser):
    """One line for an error, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help lists what there is\n")


def parser() -> Parser:
    """The commands: a line for each, with the function that takes its arguments."""
    result = Parser(prog="python -m tinygrad_norm",
                    description="A tensor and autograd engine for normalized networks.")
    commands: Any = result.add_subparsers(metavar="COMMAND", dest="command", required=True)

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    command("doctor", doctor.run, "Print versions, BLAS, GPU and what to do about each gap.")
    precision_report.arguments(command(
        "precision", precision_report.run,
        "Draw how exact a normalization is, by offset, number and layout of the data."))
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
    """Run one command; returns the exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # whoever read the output has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        return 1


if __name__ == "__main__":
    sys.exit(main())
