"""What the lessons are built of: claims as small experiments, each with a figure and a verdict.

    lesson.py     Lesson: what a script logs, draws and claims, and the files that it leaves
    claim.py      Claim: shown or not, computed from a value for each seed
    training.py   digits, fit, evaluate
    again.py      a step compiled once for all networks of a kind
    networks.py   mlp, cnn, Transformer, with a normalization by name; he_weights
    plot.py       lines over several seeds, with their spread; bars; a bowl and a path in it
    running.py    main: a lesson as a command
    blas.py       one thread, and the kernels on which the last digits depend
    contents.py   the scripts there are, in the order one learns
    summary.py    the table of docs/lessons.md
"""

import os
import sys

try:
    import datetime  # noqa: F401  Ctrl-C within it, NumPy makes an error of its own

    from .claim import Claim, judged
    from .contents import Script, scripts
    from .lesson import Lesson
    from .networks import NORMS, Transformer, cnn, he_weights, mlp
    from .plot import bars, bowl, curve, panels, titles
    from .running import Parser, main
    from .training import digits, evaluate, fit
except KeyboardInterrupt:
    print("stopped", file=sys.stderr, flush=True)
    os._exit(130)

__all__ = ["NORMS", "Claim", "Lesson", "Parser", "Script", "Transformer", "bars", "bowl", "cnn",
           "curve", "digits", "evaluate", "fit", "he_weights", "judged", "main", "mlp", "panels",
           "scripts", "titles"]
