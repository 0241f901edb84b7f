"""``python examples/lessons``: list and run the lessons."""

from __future__ import annotations

import argparse
import subprocess
import sys

from .contents import scripts


def arguments(command: argparse.ArgumentParser) -> None:
    """Its options."""
    command.add_argument("name", nargs="*", metavar="NAME",
                         help="which to run, by name or number (4: all of 4a, 4b, ...); all by "
                         "default")
    command.add_argument("--list", action="store_true", help="print the lessons there are")
    effort = command.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="in seconds each")
    effort.add_argument("--full", action="store_true", help="smooth curves")


def run(args: argparse.Namespace) -> int:
    """List, or run one after another; the exit status is the worst of theirs, 2 for a name that
    is not there."""
    try:
        known = scripts()
    except (OSError, ValueError) as error:
        print(f"lessons: error: {error}", file=sys.stderr)
        return 2
    if args.list:
        width = max(len(script.name) for script in known)
        for script in known:
            print(f"{script.number:3} {script.name:{width}}  {script.title}")
        return 0
    chosen = [script for script in known
              if not args.name or any(map(script.called, args.name))]
    for name in args.name:
        if not any(script.called(name) for script in known):
            print(f"lessons: error: expected names of lessons, got {name!r}; --list prints them",
                  file=sys.stderr)
            return 2
    options = [option for option in ("--quick", "--full") if getattr(args, option[2:])]
    worst = 0
    for script in chosen:
        print(f"\n{script.number}. {script.title}", flush=True)
        try:
            status = subprocess.run([sys.executable, str(script.path), *options]).returncode
        except KeyboardInterrupt:
            return 130
        worst = max(worst, status if status >= 0 else 128 - status)  # negative: killed by a signal
    return worst
