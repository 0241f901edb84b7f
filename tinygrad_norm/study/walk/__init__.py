"""Backpropagation through a norm, or through any small function, step by step.

    study.py       the results, and their form as JSON      text.py, tables.py  the same as text
    stages.py      the formulas of the norms                formula.py          how they are written
    norms.py       the walk through a norm                  arrangement.py      what is reduced
    recorded.py    the walk through a function              recording.py        one run of it
    op_formulas.py the formulas of operations               cells.py            what reads what
    backward.py    the way back, forks and their names      limits.py           what is too large
    truth.py       the gradients in several ways            jacobians.py        ∂y_i/∂x_j
    findings.py    what these give, as plain data
    examples.py    ready-made inputs                        what_ifs.py         their variants
    command.py     the command
"""

from .examples import Example, example
from .study import Study
from .trace import trace
from .what_ifs import what_ifs

__all__ = ["Example", "Study", "example", "trace", "what_ifs"]
