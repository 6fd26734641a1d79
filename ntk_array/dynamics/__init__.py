"""What a kernel predicts of training."""

from .ensemble import Ensemble
from .gaussian import Gaussian
from .gradient_descent import GradientDescent, max_step
from .gradient_flow import GradientFlow

__all__ = ["Ensemble", "Gaussian", "GradientDescent", "GradientFlow", "max_step"]
