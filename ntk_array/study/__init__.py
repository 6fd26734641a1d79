"""The main job: networks of several widths on your data, beside what their kernels predict, in one report."""

from .data import Dataset, load_dataset
from .settings import StudySettings
from .study import Study, run_study

__all__ = ["Dataset", "Study", "StudySettings", "load_dataset", "run_study"]
