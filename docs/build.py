"""Write the table of docs/normalization.md anew from the catalogue: ``python docs/build.py``."""

from __future__ import annotations

import re
from pathlib import Path

from tinygrad_norm.proof.table import markdown

PAGE = Path(__file__).with_name("normalization.md")


def built(text: str) -> str:
    """The page with the table as the catalogue has it."""
    parts = re.split(r"(<!-- table -->\n|<!-- end of table -->)", text)
    return "".join([*parts[:2], markdown(), *parts[3:]])


if __name__ == "__main__":
    PAGE.write_text(built(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
