"""A lesson as a command: its options, its errors, its exit status."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .lesson import Lesson
from .plot import panels


class Parser(argparse.ArgumentParser):
    """One line for an error, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def main(run: Callable[[Lesson], None], argv: Sequence[str] | None = None) -> int:
    """Run the lesson that ``run`` describes; its script's name is its name.

    Returns:
        The exit status: 0, whatever the verdicts are; 1 when something failed, 2 for options that
        cannot be, 130 on Ctrl-C.
    """
    script = Path(inspect.getfile(run))
    title = (inspect.getdoc(inspect.getmodule(run)) or "").partition("\n")[0]
    parser = Parser(prog=script.name, description=title)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_const", const="quick", dest="effort",
                        help="in seconds: fewer seeds and steps")
    effort.add_argument("--full", action="store_const", const="full", dest="effort",
                        help="smooth curves: more seeds and steps")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N",
                        help="the first of the seeds (default: 0)")
    parser.add_argument("--out", type=_folder, metavar="DIR",
                        help=f"the folder to write to (default: runs/{script.stem})")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")
    args = parser.parse_args(argv)
    lesson = Lesson(script.stem, out=args.out, effort=args.effort or "default", seed=args.seed,
                    quiet=args.quiet)
    try:
        lesson.check_folder()
    except OSError as error:
        parser.error(str(error))
    try:
        panels(1)  # where drawing is not possible it says so now, not after all the training
        with one_thread():
            run(lesson)
        lesson.save()
        lesson.report()
    except (ImportError, MemoryError, OSError) as error:
        print(f"{script.name}: error: {str(error) or 'not enough memory'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def one_thread() -> contextlib.AbstractContextManager[object]:
    """The BLAS takes one thread: at this size it gains nothing from more, and the last digits
    depend on their number."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _seed(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")


def _folder(text: str) -> Path:
    if text:
        return Path(text)
    raise argparse.ArgumentTypeError("expected the name of a folder, got ''")
