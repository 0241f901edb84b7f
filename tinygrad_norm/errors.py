"""Errors that are caught under PyTorch's class and under Python's own.

PyTorch raises RuntimeError for a wrong shape, a wrong dtype or a wrong device. Python calls the
first a ValueError and the second a TypeError. Each class here is both, so either ``except`` works.
"""


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together."""


class DimError(IndexError, ValueError, RuntimeError):
    """A dimension or an index out of range."""


class DtypeError(TypeError, RuntimeError):
    """A dtype that the operation cannot take."""


class DeviceError(ValueError, RuntimeError):
    """Arrays on different devices, or a device that is not there."""


class RangeError(OverflowError, ValueError, RuntimeError):
    """A number that the dtype cannot hold."""


class ZeroDivisorError(ZeroDivisionError, RuntimeError):
    """An int divided by 0."""


class AssertedShapeError(ShapeError, AssertionError):
    """A shape that PyTorch refuses by an ``assert``."""


class AssertedDtypeError(DtypeError, AssertionError):
    """A dtype that PyTorch refuses by an ``assert``."""


class UninitializedError(ValueError, RuntimeError):
    """A tensor of a lazy layer was used before there was an input to give it its shape."""


class CheckpointError(ValueError, RuntimeError):
    """A file that is no checkpoint, or a damaged one."""


def not_a_tensor(
    who: str, value: object, name: str = "input", wanted: str = "a Tensor"
) -> TypeError:
    """What is raised for a NumPy array, a list or None in a tensor's place."""
    return TypeError(f"{who}: expected {name} to be {wanted}, got {type(value).__name__}; "
                     "wrap it with tensor(...)")
