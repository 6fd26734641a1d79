"""How well the theory holds for real networks on real data."""

from .data import Dataset, load_dataset
from .settings import StudySettings
from .study import Study, run_study

__all__ = ["Dataset", "Study", "StudySettings", "load_dataset", "run_study"]
