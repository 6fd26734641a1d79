"""What a kernel predicts of training."""

from .ensemble import Ensemble
from .gaussian import Gaussian
from .gaussian_process import GaussianProcess, LeaveOneOut
from .gradient_descent import GradientDescent, max_step
from .gradient_flow import GradientFlow
from .kernel_spectrum import KernelSpectrum
from .state import FlowState

__all__ = [
    "Ensemble",
    "FlowState",
    "Gaussian",
    "GaussianProcess",
    "GradientDescent",
    "GradientFlow",
    "KernelSpectrum",
    "LeaveOneOut",
    "max_step",
]
