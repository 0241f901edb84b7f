"""The third ring: what shows that the norms are right. Not imported with the package.

    catalogue.py    every normalization as data, and a small one to try
    forms.py        its forms for images and volumes, and the lazy ones
    invariances.py  what each does not see          table.py  all of it as the table of the docs
    equivalence.py, equivalence_table.py            which equals which, and when
    certify.py, certificate.py, certify_all.py      derivatives of every order against series
    jet.py, jet_functions.py, jet_backend.py        arrays of truncated Taylor series
    series.py       the arithmetic of a series      reverse.py  the engine's and PyTorch's side
"""

from .. import public
from .jet import Jet
from .jet_backend import JetBackend, jets

__all__ = ["Jet", "JetBackend", "jets"]

public.publish(globals())
