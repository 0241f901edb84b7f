"""What ``certify`` found out, as rows and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 100
LONGEST = 26
"""Of a layer's name in the table."""
OTHER = """† PyTorch's layer of that name gives another value, which is no error: random numbers, or
  state that moves with each call, as that of spectral_norm in training does there
"""


class Row(NamedTuple):
    """One layer in one mode: the worst relative error at each order of derivative.

    pytorch:  the same for PyTorch's layer of that name; None where there is none
    differs:  whether PyTorch's layer of that name gives another value, so that no errors are shown
    stops:    whether a stop-gradient (``detach()``, ``no_grad()``) matters in it
    problem:  why there are no errors to show
    """

    layer: str
    mode: str
    affine: str
    ours: tuple[float, ...]
    pytorch: tuple[float, ...] | None = None
    differs: bool = False
    stops: bool = False
    tolerance: float = 1e-9
    problem: str = ""

    @property
    def worst(self) -> float:
        return max(self.ours, default=float("inf"), key=lambda e: (e != e, e))  # NaN is worst

    @property
    def passed(self) -> bool:
        return not self.problem and self.worst <= self.tolerance

    def text(self, names: int, orders: int, rival: bool) -> str:
        """The row of a table with so wide names and so many orders, with PyTorch's or not."""
        start = f"{cut(self.layer, names):{names}}  {self.mode:5}  {self.affine:6}"
        if self.problem:
            return cut(f"{start}  FAIL  {self.problem}", WIDTH)
        columns = [errors(self.ours, orders)]
        if rival:
            columns.append(errors(self.pytorch, orders))
        verdict = "ok" if self.passed else "FAIL"
        verdict += " *" * self.stops + " †" * (rival and self.differs)
        return "  ".join([start, *columns, verdict])


class Certificate(NamedTuple):
    """The rows of all layers and modes; printed, it is a table."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def worst(self) -> float:
        """The largest relative error of all."""
        return max((row.worst for row in self.rows), default=float("inf"),
                   key=lambda e: (e != e, e))

    def verdict(self) -> str:
        """What stands below the table."""
        failed = sum(not row.passed for row in self.rows)
        note = "* it stops gradients\n" if any(row.stops for row in self.rows) else ""
        if any(row.differs for row in self.rows):
            note += OTHER
        if failed or not self.rows:
            return f"{note}{failed} of {len(self.rows)} FAILED"
        return (f"{note}{len(self.rows)} certified: the worst error is {self.worst:.0e}, "
                f"{self.rows[0].tolerance:.0e} is allowed")

    def __str__(self) -> str:
        names = longest([row.layer for row in self.rows])
        orders = max((len(row.ours) for row in self.rows), default=1)
        rival = any(row.pytorch or row.differs for row in self.rows)
        lines = [row.text(names, orders, rival) for row in self.rows]
        return "\n".join([heading(names, orders, rival), *lines, self.verdict()])


def heading(names: int, orders: int, rival: bool) -> str:
    """Two lines above the rows of a table."""
    numbers = [f"{k:<5}" for k in range(1, orders + 1)]
    wide = 6 * orders - 1
    titles = ("relative error", "PyTorch's") if orders > 2 else ("ours", "torch")
    above = [title.ljust(wide) for title in titles[: 1 + rival]]
    below = [" ".join(numbers)] * (1 + rival)
    start = f"{'layer':{names}}  {'mode':5}  {'affine':6}"
    return "\n".join(line.rstrip() for line in (
        f"{'':{len(start)}}  {'  '.join(above)}", f"{start}  {'  '.join(below)}"))


def longest(names: Sequence[str]) -> int:
    """The width of the column of names."""
    return min(max(map(len, ("layer", *names))), LONGEST)


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[:width - 1] + "…"


def errors(values: Sequence[float] | None, orders: int) -> str:
    """5 characters each; a dash for what there is not."""
    shown = [f"{v:<5.0e}" if v else f"{v:<5.0f}" for v in values or ()]
    return " ".join([*shown, *["—    "] * (orders - len(shown))])
