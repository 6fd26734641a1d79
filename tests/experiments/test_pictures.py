"""Pictures show every value and every law."""

import builtins

import numpy as np
import pytest

from ntk_array.experiments import PowerLaw, ScalingResult

WIDTHS = np.asarray([8, 16, 32])


def result(laws=4):
    arrays = {f"law {k}": np.outer(WIDTHS**-0.5, [1.0, 1.1]) for k in range(laws)}
    fits = {name: PowerLaw.fit(WIDTHS, values) for name, values in arrays.items()}
    return ScalingResult("experiment", WIDTHS, arrays, fits, {name: f"meaning of {name}" for name in fits})


@pytest.mark.parametrize("laws", [1, 4])
def test_a_panel_a_law(laws):
    figure = result(laws).plot()
    assert [axis.get_title(loc="left") for axis in figure.axes] == [f"meaning of law {k}" for k in range(laws)]
    points, law, half = figure.axes[0].get_lines()
    np.testing.assert_allclose(np.sort(points.get_ydata()), np.sort(result().arrays["law 0"].ravel()))
    np.testing.assert_allclose(law.get_ydata(), half.get_ydata())
    # t(3) = 3.18 times the standard error ln(1.1) / (2 ln 2) / sqrt(2).
    assert law.get_label() == "slope -0.50 [-0.65, -0.35]"


def test_values_without_a_law_are_drawn():
    zeros = np.zeros((3, 2))
    empty = ScalingResult("e", WIDTHS, {"a": zeros}, {"a": PowerLaw.fit(WIDTHS, zeros)}, {"a": "zero"})
    (axis,) = empty.plot().axes
    assert len(axis.get_lines()) == 1


def test_without_matplotlib(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pictures need matplotlib"):
        result().plot()
