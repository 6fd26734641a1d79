"""What every layer is held to. A new layer joins by one line in CASES, in cases.py.

The reference is made on the host in float64: finite differences and complex steps for derivatives, the explicit
Jacobian for kernels, random networks for infinite widths. Every backend is compared with that reference.
"""

from .case import OUTPUTS, Case
from .cases import CASES
from .finite import (
    check_adjoint,
    check_batches,
    check_complex_step,
    check_derivative,
    check_gram,
    check_home,
    check_jacobian,
    check_symmetry,
)
from .infinite import check_angles, check_gradient, check_infinite, check_limit, check_tables
from .protocol import check_files, check_nesting, check_pickling, check_signal

__all__ = [
    "CASES",
    "OUTPUTS",
    "Case",
    "check_adjoint",
    "check_angles",
    "check_batches",
    "check_complex_step",
    "check_derivative",
    "check_files",
    "check_gradient",
    "check_gram",
    "check_home",
    "check_infinite",
    "check_jacobian",
    "check_limit",
    "check_nesting",
    "check_pickling",
    "check_signal",
    "check_symmetry",
    "check_tables",
]
