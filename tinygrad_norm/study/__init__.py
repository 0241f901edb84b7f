"""Experiments: each gives plain results, and from results a table or a picture."""

from .jet import Jet
from .jet_backend import JetBackend

__all__ = ["Jet", "JetBackend"]
