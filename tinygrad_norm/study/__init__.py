"""The walk through a computation, forward and back, one formula at a time, and its page."""

from typing import TYPE_CHECKING, Any

from .walk import Example, Study, example, trace, what_ifs

if TYPE_CHECKING:
    from ..proof import Jet, JetBackend

__all__ = ["Example", "Jet", "JetBackend", "Study", "example", "trace", "what_ifs"]


def __getattr__(name: str) -> Any:
    """Jets are proof material, one ring further out: imported when they are asked for."""
    if name in ("Jet", "JetBackend"):
        from .. import proof

        return getattr(proof, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
