"""Pictures of kernels and of what they predict, with matplotlib, which is imported when one is drawn.

Each function draws on one ``Axes``, a new one unless ``ax=`` is given, and returns it. Arrays may be of any library:
they are copied to the host.
"""

from .axes import STYLE
from .matrices import gram, spectrum
from .predictions import dynamics, left_out, process
from .training import costs, exponents

__all__ = ["STYLE", "costs", "dynamics", "exponents", "gram", "left_out", "process", "spectrum"]
