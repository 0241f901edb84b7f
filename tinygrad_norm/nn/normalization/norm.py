"""What each normalization layer is: a function of ``nn.functional``, with its parameters."""

from __future__ import annotations

from typing import ClassVar

from ...tensors.tensor import Parameter
from .. import init
from ..module import Module


class Norm(Module):
    """A layer whose errors bear the layer's name, not that of the function that it calls."""

    functions: ClassVar[tuple[str, ...]] = ()
    """The functions of ``nn.functional`` that its forward calls."""
    reduced: ClassVar[str] = ""
    """The axes along which values are normalized together, as ``N, *spatial``."""
    weight: Parameter | None
    bias: Parameter | None

    def retell(self, error: Exception) -> None:
        function, colon, text = str(error).partition(": ")
        if colon and function in self.functions:
            error.args = (f"{type(self).__name__}: {text}",)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        weight, bias = getattr(self, "weight", None), getattr(self, "bias", None)
        if weight is not None:
            init.ones_(weight)
        if bias is not None:
            init.zeros_(bias)
