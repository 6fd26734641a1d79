"""Estimators for scikit-learn: regression, classification, and a kernel for its Gaussian processes."""

from .._support.hints import install_hint

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"ntk_array.sklearn needs scikit-learn: {install_hint('sklearn')}") from error

from .classifier import NTKClassifier
from .files import load, save
from .gp_kernel import NTKKernel
from .mlp import from_sklearn
from .regressor import NTKRegressor

__all__ = ["NTKClassifier", "NTKKernel", "NTKRegressor", "from_sklearn", "load", "save"]
