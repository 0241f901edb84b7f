"""Primitives: each a function of arrays with its gradient beside it, a file a family.

Positional arguments are arrays or tensors, settings are keyword-only and in NumPy's words (axis,
keepdims). ``Tensor``'s methods put PyTorch's words on top.
"""

from . import fused as fused
