"""Experiments: each gives plain results, and from results a table or a picture."""

from .jet import Jet
from .jet_backend import JetBackend
from .walk import Example, Study, example, trace, what_ifs

__all__ = ["Example", "Jet", "JetBackend", "Study", "example", "trace", "what_ifs"]
