"""Lessons: claims about normalization as small experiments, each with a figure and a verdict.

    lesson.py     Lesson: what a script logs, draws and claims, and the files that it leaves
    claim.py      Claim: shown or not, computed from a value for each seed
    training.py   digits, fit, evaluate
    networks.py   mlp, cnn, Transformer, with a normalization by name; he_weights
    plot.py       lines over several seeds, with their spread; bars; a bowl and a path in it
    contents.py   the scripts there are, in the order one learns
    command.py    ``python examples/lessons``

The scripts are in the folder above.
"""

from .claim import Claim, judged
from .contents import Script, scripts
from .lesson import Lesson
from .networks import NORMS, Transformer, cnn, he_weights, mlp
from .plot import bars, bowl, curve, panels, titles
from .training import digits, evaluate, fit

__all__ = ["NORMS", "Claim", "Lesson", "Script", "Transformer", "bars", "bowl", "cnn", "curve",
           "digits", "evaluate", "fit", "he_weights", "judged", "mlp", "panels", "scripts",
           "titles"]
