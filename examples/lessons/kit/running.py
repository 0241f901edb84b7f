"""A lesson as a command: its options, its errors, its exit status."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tinygrad_norm import commandline
from tinygrad_norm.commandline import STOPPED

from .again import forget
from .blas import one_thread
from .lesson import Lesson
from .plot import panels


class Parser(commandline.Parser):
    """One line for an error, and exit status 2."""

    advice = ""


def main(run: Callable[[Lesson], None], argv: Sequence[str] | None = None) -> int:
    """Run the lesson that ``run`` describes; its script's name is its name.

    Returns:
        The exit status: 0, whatever the verdicts are; 1 when something failed, 2 for options that
        cannot be, 130 on Ctrl-C.
    """
    script = Path(inspect.getfile(run))
    forget()
    return commandline.run(lambda: _main(run, script, argv), script.name)


def _main(run: Callable[[Lesson], None], script: Path, argv: Sequence[str] | None) -> int:
    title = (inspect.getdoc(inspect.getmodule(run)) or "").partition("\n")[0]
    parser = Parser(prog=script.name, description=title)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_const", const="quick", dest="effort",
                        help="in seconds: fewer seeds and steps")
    effort.add_argument("--full", action="store_const", const="full", dest="effort",
                        help="smooth curves: more seeds and steps")
    parser.add_argument("--seed", type=commandline.whole(0), default=0, metavar="N",
                        help="the first of the seeds (default: 0)")
    parser.add_argument("--out", type=commandline.path, metavar="DIR",
                        help=f"the folder to write to (default: runs/{script.stem})")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")
    args = parser.parse_args(argv)
    lesson = Lesson(script.stem, out=args.out, effort=args.effort or "default", seed=args.seed,
                    quiet=args.quiet)
    try:
        lesson.check_folder()
    except OSError as error:
        parser.error(commandline.said(error))
    try:
        panels(1)  # where drawing is not possible it says so now, not after all the training
        with one_thread():
            run(lesson)
        lesson.save()
        lesson.report()
    except BrokenPipeError:
        raise
    except (ImportError, MemoryError, OSError) as error:
        print(f"{script.name}: error: {commandline.said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return STOPPED
    return 0
