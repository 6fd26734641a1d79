"""Functions on data, the space in which a network trained by gradient descent follows its kernel.

Jacot, Gabriel and Hongler 2018, "Neural tangent kernel", sections 2 and 3.
"""

from .classification import CrossEntropy, Logistic
from .cost import Cost, SquaredError
from .expected_loss import ExpectedLoss
from .kernel_gradient import KernelGradient, kernel_gradient
from .measure import EmpiricalMeasure, Functional
from .robust import Huber

__all__ = [
    "Cost",
    "CrossEntropy",
    "EmpiricalMeasure",
    "ExpectedLoss",
    "Functional",
    "Huber",
    "KernelGradient",
    "Logistic",
    "SquaredError",
    "kernel_gradient",
]
