"""Reports without their pictures, which take most of the time of a small study."""

import pytest


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Reports get empty pictures until the patch ends. Two tests draw all of them: one of classes, one of numbers."""
    from matplotlib.figure import Figure

    patch.setattr("ntk_array.study.report.draw", lambda name, study: Figure(figsize=(1, 1)))


@pytest.fixture
def without_pictures(monkeypatch):
    draw_nothing(monkeypatch)
