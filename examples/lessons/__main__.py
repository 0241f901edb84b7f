"""List the lessons, or run them one after another.

    python examples/lessons --list
    python examples/lessons 4a undo --quick    by number or name
    python examples/lessons                    all of them
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from kit import Parser, Script, scripts

from tinygrad_norm import commandline


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: the worst of the lessons', 2 for options that cannot be, 130 on Ctrl-C."""
    return commandline.run(lambda: chosen(argv), "lessons")


def chosen(argv: Sequence[str] | None) -> int:
    """Read the options, and do what they ask for."""
    parser = Parser(prog="python examples/lessons", description=(
        "Run the lessons: what is said about normalization, as measured experiments."))
    parser.add_argument("name", nargs="*", metavar="NAME", help=(
        "which to run, by name or number (4: all of 4a, 4b, ...); all by default"))
    parser.add_argument("--list", action="store_true", help="print the lessons there are")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="in seconds each")
    effort.add_argument("--full", action="store_true", help="smooth curves")
    args = parser.parse_args(argv)
    try:
        known = scripts()
    except ValueError as error:
        parser.error(str(error))
    if args.list:
        width = max(len(script.name) for script in known)
        for script in known:
            print(f"{script.number:3} {script.name:{width}}  {script.title}")
        return 0
    names = [name if any(script.called(name) for script in known) else meant(parser, name, known)
             for name in args.name]
    asked = [script for script in known if not names or any(map(script.called, names))]
    return run(asked, [option for option in ("--quick", "--full") if getattr(args, option[2:])])


def meant(parser: Parser, name: str, known: Sequence[Script]) -> str:
    """A lesson's name in another form."""
    names = [script.name for script in known]
    try:
        return commandline.named(name, names)
    except argparse.ArgumentTypeError:
        parser.error(f"expected names of lessons, got {name!r}{commandline.near(name, names)}; "
                     "--list prints them")


def run(asked: Sequence[Script], options: Sequence[str]) -> int:
    """Run each in a process of its own; the worst exit status."""
    worst = 0
    for script in asked:
        print(f"\n{script.number}. {script.title}", flush=True)
        try:
            status = subprocess.run([sys.executable, str(script.path), *options]).returncode
        except KeyboardInterrupt:
            return commandline.STOPPED  # the lesson says so
        worst = max(worst, status if status >= 0 else 128 - status)  # negative: killed by a signal
    return worst


if __name__ == "__main__":
    sys.exit(main())
