"""Estimators for scikit-learn: regression, classification, and a kernel for its Gaussian processes."""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("ntk_array.sklearn needs scikit-learn: pip install 'ntk_array[sklearn]'") from error

from .classifier import NTKClassifier
from .files import load, save
from .gp_kernel import NTKKernel
from .regressor import NTKRegressor

__all__ = ["NTKClassifier", "NTKKernel", "NTKRegressor", "load", "save"]
