"""The walk through a computation, forward and back, one formula at a time, and its page."""

from typing import TYPE_CHECKING

from .. import public
from .walk import Example, Study, example, trace, what_ifs

if TYPE_CHECKING:
    from ..proof import Jet, JetBackend

__all__ = ["Example", "Jet", "JetBackend", "Study", "example", "trace", "what_ifs"]

public.publish(globals(), {"Jet": "..proof", "JetBackend": "..proof"})
