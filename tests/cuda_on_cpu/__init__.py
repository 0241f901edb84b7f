"""The real CuPy on a machine without a GPU; README.md beside this says how and what it cannot show.

``install`` before CuPy is imported; ``counted`` says what the device was asked to do.
"""

from .counting import counted
from .install import install, installed

__all__ = ["counted", "install", "installed"]
