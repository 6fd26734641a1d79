"""Training as a kernel predicts it: flows, their distribution over initializations, and regression with noise."""

from .ensemble import Ensemble
from .feature_regression import FeatureRegression
from .gaussian import Gaussian
from .gaussian_process import GaussianProcess
from .gradient_descent import GradientDescent, max_step
from .gradient_flow import GradientFlow
from .hyperparameters import Selection, select_hyperparameters
from .kernel_spectrum import KernelSpectrum
from .leave_one_out import LeaveOneOut
from .state import FlowState

__all__ = [
    "Ensemble",
    "FeatureRegression",
    "FlowState",
    "Gaussian",
    "GaussianProcess",
    "GradientDescent",
    "GradientFlow",
    "KernelSpectrum",
    "LeaveOneOut",
    "Selection",
    "max_step",
    "select_hyperparameters",
]
