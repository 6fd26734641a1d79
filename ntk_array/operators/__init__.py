"""Linear differential operators, and the kernel of observations of derivatives."""

from .differential import Derivative, Laplacian, Operator, Value
from .kernel import OperatorKernel

__all__ = ["Derivative", "Laplacian", "Operator", "OperatorKernel", "Value"]
