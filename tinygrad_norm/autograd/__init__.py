"""The engine: records operations and walks them back. It knows no particular operation.

    graph.py                            Value and Node: what a graph is made of
    op.py, plan.py, record.py           an operation is declared, called, and becomes a node
    walk.py, broadcasting.py            gradients are carried back
    observer.py                         what happens beside it: hooks, and whoever looks on
    backward.py, functional.py          ``backward``, ``grad``; products with Jacobians
    function.py                         operations of the user's own
    mode.py, anomaly.py, promotion.py   what is recorded, searched for NaN, cast
    gradcheck.py                        gradients against finite differences
"""

from .. import public
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

public.publish(globals())
