"""``python -m tinygrad_norm COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import doctor
from .nn.normalization import equivalences
from .proof import certify_all
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
    """Run one command; returns its exit status, or 1 where the output cannot be written."""
    try:
        try:
            args = parser().parse_args(argv)
            return int(args.run(args))
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        if not isinstance(error, BrokenPipeError):  # else whoever read it has left, as head does
            print(f"tinygrad_norm: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
