"""Models of PyTorch: their tangent kernels, by translation into a network or by automatic differentiation.

Nothing else of the package imports PyTorch, and this module only where a function of it runs.
"""

from .module_kernel import ModuleKernel
from .translate import Translation, from_module

__all__ = ["ModuleKernel", "Translation", "from_module"]
