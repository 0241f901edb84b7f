"""The scripts of ``examples/lessons/``, in the order one learns."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Script:
    """A lesson's script. Its docstring begins with its number and title: ``4a. Learning rates``.

    path:    the file
    number:  "4a"
    title:   what the lesson claims, a line
    """

    path: Path
    number: str
    title: str

    @property
    def name(self) -> str:
        """As the command takes it."""
        return self.path.stem

    def called(self, name: str) -> bool:
        """Whether it is meant by its name, its number, or "4" for all of 4a, 4b, ..."""
        return name in (self.name, self.number, self.number.rstrip("abcdefgh"))


def scripts() -> list[Script]:
    """All lessons, in order.

    Raises:
        ValueError: the docstring of one does not begin with a number and a title.
    """
    found = []
    for path in FOLDER.glob("[a-z]*.py"):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        number, dot, title = doc.partition("\n")[0].partition(". ")
        if not dot or not number[:1].isdigit():
            raise ValueError(f"{path}: expected a docstring that begins as '4a. Learning rates: "
                             f"...', got {doc[:30]!r}")
        found.append(Script(path, number, title.rstrip(".")))
    return sorted(found, key=lambda script: (int(script.number.rstrip("abcdefgh")), script.number))
