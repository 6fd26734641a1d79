"""What a kernel predicts of training."""

from .gradient_descent import GradientDescent, max_step
from .gradient_flow import GradientFlow

__all__ = ["GradientDescent", "GradientFlow", "max_step"]
