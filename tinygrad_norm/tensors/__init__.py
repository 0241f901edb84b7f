"""The Tensor: an array you can compute with and differentiate, in PyTorch's words.

    arithmetic.py   operators and functions element by element
    reductions.py   sum, mean, var, max, softmax, ...
    shaping.py      reshape, permute, indexing, matmul, ...
    inplace.py      writing, where it is safe
    conversion.py   dtypes, devices, NumPy, Python, DLPack
    tensor.py       the class made of these; creation.py and random.py make tensors
"""

from .tensor import Parameter, Tensor

__all__ = ["Parameter", "Tensor"]
