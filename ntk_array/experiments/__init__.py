"""How well the theory holds for real networks on real data."""

from .concentration import kernel_concentration
from .data import Dataset, load_dataset
from .ensembles import TrainedEnsemble, trained_ensemble
from .linearization import linearization_gap
from .power_law import PowerLaw
from .regression import regression_gap
from .scaling import ScalingResult
from .settings import StudySettings
from .stability import kernel_stability
from .study import Study, run_study

__all__ = [
    "Dataset",
    "PowerLaw",
    "ScalingResult",
    "Study",
    "StudySettings",
    "TrainedEnsemble",
    "kernel_concentration",
    "kernel_stability",
    "linearization_gap",
    "load_dataset",
    "regression_gap",
    "run_study",
    "trained_ensemble",
]
