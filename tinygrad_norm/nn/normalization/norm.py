"""What each normalization layer is: a function of ``nn.functional``, with its parameters."""

from __future__ import annotations

from ..module import Module


class Norm(Module):
    """Its errors bear its own name, not that of the function it calls."""

    def retell(self, error: Exception) -> None:
        from .. import functional

        function, colon, text = str(error).partition(": ")
        if colon and hasattr(functional, function):
            error.args = (f"{type(self).__name__}: {text}",)
