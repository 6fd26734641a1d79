"""Functions on data, the space in which a network trained by gradient descent follows its kernel.

Jacot, Gabriel and Hongler 2018, "Neural tangent kernel", sections 2 and 3.
"""

from .cost import Cost, SquaredError
from .kernel_gradient import KernelGradient, kernel_gradient
from .measure import EmpiricalMeasure, Functional

__all__ = ["Cost", "EmpiricalMeasure", "Functional", "KernelGradient", "SquaredError", "kernel_gradient"]
