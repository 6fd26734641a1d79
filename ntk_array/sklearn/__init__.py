"""What scikit-learn's users know, with tangent kernels."""

from .mlp import from_sklearn

__all__ = ["from_sklearn"]
