"""How well the theory holds for real networks on real data."""

from .concentration import kernel_concentration
from .ensembles import TrainedEnsemble, trained_ensemble
from .linearization import linearization_gap
from .power_law import PowerLaw
from .regression import regression_gap
from .scaling import ScalingResult
from .stability import kernel_stability

__all__ = [
    "PowerLaw",
    "ScalingResult",
    "TrainedEnsemble",
    "kernel_concentration",
    "kernel_stability",
    "linearization_gap",
    "regression_gap",
    "trained_ensemble",
]
