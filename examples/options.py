"""The command line of train_mlp.py: what can be chosen, and what is refused."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tinygrad_norm import commandline
from tinygrad_norm.commandline import path, whole

NORMS = ("none", "batch", "batch_renorm", "layer", "instance", "group", "rms")
DATA = ("digits", "moons", "spirals")
FREE = ("device", "out", "resume", "quiet")
"""What may differ from the run that is resumed; the others decide its numbers."""
UNSET: Any = object()


@dataclass(frozen=True)
class Options:
    """One run."""

    norm: str = "batch"
    groups: int = 8
    data: str = "digits"
    standardize: bool = True
    hidden: tuple[int, ...] = (128, 128)
    epochs: int = 30
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.005
    seed: int = 0
    device: str = "cpu"
    compile: bool = False
    out: Path | None = None
    resume: Path | None = None
    quiet: bool = False

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps: all but where the files are and what is printed."""
        return {name: value for name, value in asdict(self).items()
                if name not in ("out", "resume", "quiet")}


class UsageError(ValueError):
    """The options ask for what cannot be; the message is one line."""


class Parser(commandline.Parser):
    """One line for an error, and exit status 2."""

    advice = ""


def parser() -> Parser:
    """Every option, with its default in its help."""
    default = Options()
    result = Parser(
        prog="train_mlp.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train an MLP (Linear, norm, ReLU, ..., Linear) and write to runs/NAME/:\n"
                    "metrics.jsonl, curves.png, graph.svg and checkpoint.safetensors.",
        epilog="Ctrl-C saves a checkpoint; --resume goes on from it to the same numbers, bit for "
               "bit,\nas a run that was never stopped (on the cpu).")

    def add(name: str, help: str, **settings: Any) -> None:
        value = getattr(default, name.removeprefix("--").replace("-", "_"), None)
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        if shown is not None and "action" not in settings:
            help += f" (default: {shown})"
        result.add_argument(name, help=help, default=value, **settings)

    add("--norm", "the normalization after each hidden Linear. Each of the hidden features is a "
        "channel; group splits them into --groups groups of each sample; instance sees them as "
        "--groups channels of width/groups positions: the same statistics, but one weight and "
        "bias for each channel", choices=NORMS, type=norm)
    add("--groups", "groups of --norm group, channels of --norm instance", type=whole(1),
        metavar="N")
    add("--data", "1797 handwritten digits, or 1000 points in the plane", choices=DATA)
    result.add_argument("--no-standardize", dest="standardize", action="store_false",
                        help="leave the features as they are; else they get mean 0 and variance 1 "
                             "by the training set's statistics")
    add("--hidden", "widths of the hidden layers", type=widths, metavar="N,N,...")
    add("--epochs", "passes over the training set", type=whole(1), metavar="N")
    add("--batch-size", "samples in a step", type=whole(1), metavar="N")
    add("--lr", "learning rate of the first epoch; it falls to 0 along a cosine", type=number(),
        metavar="X")
    add("--momentum", "of SGD; from 0 to less than 1", type=number(1), metavar="X")
    add("--nesterov", "look ahead along the momentum", action="store_true")
    add("--weight-decay", "factor of the L2 penalty's gradient", type=number(), metavar="X")
    add("--seed", "decides the split, the initial weights, the order of samples", type=whole(0),
        metavar="N")
    add("--device", "cuda needs an NVIDIA GPU and CuPy", choices=("cpu", "cuda"))
    add("--compile", "record the training step once and run it as loops, for which pip install "
        "'tinygrad_norm[fast]'; the numbers differ by rounding", action="store_true")
    add("--out", "the folder to write to (default: runs/DATA-NORM, with a number if there is "
        "one already)", type=path, metavar="DIR")
    add("--resume", "go on from a checkpoint, or from the one in a run's folder, with its options",
        type=path, metavar="PATH")
    add("--quiet", "print the result only", action="store_true")
    return result


def chosen(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The options that stand on the command line."""
    names = [field.name for field in fields(Options)]
    space = argparse.Namespace(**dict.fromkeys(names, UNSET))
    return {name: value for name, value in vars(parser().parse_args(argv, space)).items()
            if value is not UNSET}


def combined(given: Mapping[str, Any], saved: Mapping[str, Any] | None = None) -> Options:
    """The options of a run: given, else saved with the checkpoint that is resumed, else default.

    Raises:
        UsageError: they contradict the saved ones, or each other.
    """
    for name, value in given.items():
        if saved is None or name in FREE:
            continue
        before = saved.get(name, getattr(Options, name))  # an older checkpoint knows not all
        if value != before:
            raise UsageError(f"{written(name, value)} contradicts the checkpoint, whose run began "
                             f"with {written(name, before)}; leave that option out, or --resume")
    options = Options(**{**(saved or {}), **given})
    check(options)
    return options


def written(name: str, value: Any) -> str:
    """An option as it stands on a command line."""
    if isinstance(value, bool):
        flag, given = ("--no-standardize", not value) if name == "standardize" else (
            f"--{name}", value)
        return flag if given else f"no {flag}"
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return f"--{name.replace('_', '-')} {shown}"


def check(options: Options) -> None:
    """Raise UsageError where single options are right, but not together."""
    norm, groups = options.norm, options.groups
    if norm in ("batch", "batch_renorm") and options.batch_size == 1:
        raise UsageError(f"--batch-size 1: --norm {norm} needs at least 2 samples for its "
                         "statistics; take a larger batch, or --norm layer, group or rms")
    if options.nesterov and not options.momentum:
        raise UsageError("--nesterov needs a --momentum above 0")
    if options.compile and options.device != "cpu":
        raise UsageError(f"--compile: loops run on the cpu; leave out --device {options.device}")
    for width in options.hidden:
        if norm in ("group", "instance") and width % groups:
            raise UsageError(f"--hidden {width}: --norm {norm} needs widths that --groups {groups} "
                             "divides; change one of them")
        least = {"layer": 2, "group": 2 * groups, "instance": 2 * groups}.get(norm, 1)
        if width < least:
            raise UsageError(f"--hidden {width}: --norm {norm} takes its statistics over "
                             f"{width // (1 if norm == 'layer' else groups)} feature, which is "
                             f"always 0 after it; take a width of {least} or more")


# -- values ----------------------------------------------------------------------------------------


def norm(text: str) -> str:
    """Reads a norm's name, BatchNorm1d and batch_norm too."""
    return commandline.named(text, NORMS)


def number(below: float = math.inf) -> Callable[[str], float]:
    """Reads a number that is not negative."""
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < below:
            limit = "" if below == math.inf else f" and below {below:g}"
            raise argparse.ArgumentTypeError(f"expected a number from 0{limit}, got {text!r}")
        return value
    return read


def widths(text: str) -> tuple[int, ...]:
    """Reads ``128,128``."""
    try:
        return tuple(whole(1)(part) for part in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"expected widths such as 128,128 or 64, got {text!r}") from error
