"""What every command here shares: names in any form, errors of one line, Ctrl-C, any encoding.

A command imports it before all else, so that Ctrl-C is one line also while the rest is imported.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

STOPPED = 130
"""The exit status after Ctrl-C, as of a shell."""


def run(main: Callable[[], int], name: str = "tinygrad_norm") -> int:
    """What ``main`` returns, the exit status; 130 after Ctrl-C, 1 where nothing can be written."""
    legible()
    try:
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        if not isinstance(error, BrokenPipeError):  # else whoever read it has left, as head does
            print(f"{name}: error: {said(error)}", file=sys.stderr)
        return 1


def said(error: Exception) -> str:
    """What an error says, that of the system without its number: a.csv: No such file or directory.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error) or "not enough memory"  # the error that says nothing


def end_in_a_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A ``sys.excepthook``: after Ctrl-C there is one line instead of a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr, flush=True)
        os._exit(STOPPED)
    sys.__excepthook__(kind, error, trace)


def begin() -> None:
    """Let Ctrl-C be one line, if this process is a command of ours and not another ``-m``."""
    if sys.argv[0] != "-m" or "tinygrad_norm" in sys.orig_argv:
        sys.excepthook = end_in_a_line
        import datetime  # noqa: F401  Ctrl-C within it, NumPy makes an error of its own


# -- errors and names ------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An error is one line, with what was probably meant, and exit status 2."""

    advice = "; --help lists what there is"

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '(.+?)' \(choose from (.*)\)", message)
        if wrong:
            message += near(wrong[1], re.split(r"[', ]+", wrong[2].strip("'")))
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}{self.advice}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but what is not known is an error here: of a command, with its options."""
        space, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = self._option_string_actions if unknown[0].startswith("-") else ()
            self.error(f"unrecognized arguments: {' '.join(unknown)}"
                       + near(unknown[0].partition("=")[0], options))
        return space, unknown


def named(text: str, names: Iterable[str]) -> str:
    """The name that is meant: BatchNorm1d, BatchNorm, batch_norm, batchnorm and batch are one.

    Raises:
        ArgumentTypeError: it is none of them.

    >>> named("batch_norm", ["LayerNorm", "BatchNorm1d", "BatchNorm2d"])
    'BatchNorm1d'
    """
    names = list(names)
    for form in (str, _plain, _short, _shortest):
        for name in names:
            if form(name) == form(text) != "":
                return name
    raise argparse.ArgumentTypeError(
        f"expected one of {', '.join(names)}, got {text!r}{near(text, names)}")


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Reads a whole number that is not below ``least``, nor above ``most``."""
    def read(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        end = f" to {most}" if most < math.inf else ""
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}{end}, got {text!r}")
    return read


def path(text: str) -> Path:
    """Reads where a file or a folder is, or goes."""
    if text:
        return Path(text)
    raise argparse.ArgumentTypeError("expected the name of a file or a folder, got ''")


def near(text: str, names: Iterable[str]) -> str:
    """In brackets: did you mean NAME, the first of those as near? Or nothing."""
    plain = {form: name for name in reversed(list(names))
             for form in (_plain(name), _shortest(name) + "norm")}
    found = difflib.get_close_matches(_plain(text), plain, 1)
    return f" (did you mean {plain[found[0]]}?)" if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _short(name: str) -> str:
    """batch2d"""
    return re.sub(r"norm(?=([123]d)?$)", "", _plain(name))


def _shortest(name: str) -> str:
    """batch"""
    return re.sub(r"[123]d$", "", _short(name))


# -- signs that an encoding has not ----------------------------------------------------------------


SIGNS = {"√": "sqrt", "∂": "d", "Σ": "sum", "∑": "sum", "−": "-", "×": "x", "·": "*", "‖": "|",
         "∞": "inf", "±": "+-", "—": "-", "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "←": "<-",
         "─": "-", "│": "|", "†": "+", "§": "section ", "\u0302": "_hat"}


def legible() -> None:
    """Let signs that the output's encoding has not be words: √(σ² + ε) is sqrt(sigma^2 + epsilon).
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tinygrad_norm.legible")


def fitting(text: object) -> str:
    """The text as :func:`legible` makes it, for a standard output that is not ours to change."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return str(text).encode(encoding, "tinygrad_norm.legible").decode(encoding)


def _words(error: UnicodeError) -> tuple[str, int]:
    """An error handler of ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words, before = [], ""
    for i, sign in enumerate(error.object[error.start:error.end], error.start + 1):
        form = unicodedata.decomposition(sign).partition(" ")[0]
        place = {"<super>": "^", "<sub>": "_"}.get(form, "")
        # sqrt epsilon, sum xhat, but sum_N and sqrt(2)
        apart = " " if sign in "√Σ∑" and error.object[i:i + 1].isalnum() else ""
        words.append(place * (place != before) + _word(sign) + apart)
        before = place
    return "".join(words), error.end


def _word(sign: str) -> str:
    plain = unicodedata.normalize("NFKD", sign)
    if plain != sign:
        return "".join(map(_word, plain))
    if sign in SIGNS or sign.isascii():
        return SIGNS.get(sign, sign)
    name = unicodedata.name(sign, "?").split()
    if name[0] == "GREEK":
        return name[-1].title() if sign.isupper() else name[-1].lower()
    if name[0] == "COMBINING":
        return ""
    return sign.encode("ascii", "backslashreplace").decode()


codecs.register_error("tinygrad_norm.legible", _words)
