"""``python examples/lessons``: list and run the lessons."""

import argparse
import sys
from collections.abc import Sequence

from kit import command


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, then list or run."""
    parser = argparse.ArgumentParser(prog="python examples/lessons", description=(
        "Run the lessons: what is said about normalization, as measured experiments."))
    command.arguments(parser)
    return command.run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
