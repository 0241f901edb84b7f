"""The engine: records operations and walks them back. It knows no particular operation."""

from . import functional
from .backward import backward, grad
from .function import Function, FunctionCtx
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .graph import Node, Value
from .mode import (
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    keep_statistics,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Node",
    "Value",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "keep_statistics",
    "no_grad",
    "set_grad_enabled",
]
