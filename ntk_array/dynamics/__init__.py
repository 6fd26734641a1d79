"""What a kernel predicts of training."""

from .gradient_descent import max_step
from .gradient_flow import GradientFlow

__all__ = ["GradientFlow", "max_step"]
