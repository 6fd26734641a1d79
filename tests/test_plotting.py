"""Pictures show the numbers that they are given, where and under the names that they say."""

import sys

import array_api_strict
import numpy as np
import pytest
from matplotlib import pyplot

import ntk_array as ntk
from ntk_array import plotting
from ntk_array.dynamics import Gaussian

pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def off_screen():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def edges(band):
    """The lower and upper edge of a filled band, from left to right."""
    corners = band.get_paths()[0].vertices
    at = np.unique(corners[:, 0])
    return at, *(np.asarray([limit(corners[corners[:, 0] == x, 1]) for x in at]) for limit in (np.min, np.max))


def test_a_gram_matrix_is_sorted_by_class():
    matrix = array_api_strict.reshape(array_api_strict.arange(16, dtype=array_api_strict.float64), (4, 4))
    ax = plotting.gram(matrix, labels=["b", "a", "b", "a"])
    np.testing.assert_array_equal(
        ax.images[0].get_array(), [[5, 7, 4, 6], [13, 15, 12, 14], [1, 3, 0, 2], [9, 11, 8, 10]]
    )
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b"]
    np.testing.assert_array_equal(ax.get_xticks(), [0.5, 2.5])  # pixels are centred at whole numbers
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.5, 1.5])


def test_eigenvalues_descend_from_the_first():
    ax = plotting.spectrum(np.asarray([1e-3, -1e-18, 2.0, 0.0, 1.0]), label="kernel")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [2.0, 1.0, 1e-3])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_legend().get_texts()[0].get_text() == "kernel"


def test_lines_are_drawn_into_the_axes_that_are_given():
    _, ax = pyplot.subplots()
    assert plotting.spectrum(np.ones(3), ax=ax) is plotting.spectrum(np.ones(2), ax=ax) is ax
    assert len(ax.lines) == 2


def test_times_without_a_place_on_the_axis():
    """0 is left out, inf is a horizontal line."""
    values = np.asarray([[[0.0], [0.0]], [[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]])
    ax = plotting.dynamics([0.0, 1.0, 10.0, np.inf], values, targets=[5.5, 6.5])
    first, first_end, first_target, second, second_end, second_target = ax.lines
    np.testing.assert_array_equal(first.get_xdata(), [1.0, 10.0])
    np.testing.assert_array_equal(first.get_ydata(), [1.0, 3.0])
    np.testing.assert_array_equal(second.get_ydata(), [2.0, 4.0])
    np.testing.assert_array_equal([*first_end.get_ydata(), *second_end.get_ydata()], [5.0, 5.0, 6.0, 6.0])
    assert (first_target.get_ydata(), second_target.get_ydata()) == (5.5, 6.5)
    assert first.get_color() == first_end.get_color() != second.get_color()


def test_bands_are_two_standard_deviations_over_time():
    times, variance = [1.0, 2.0, 4.0], np.asarray([[0.25], [1.0], [4.0]])
    ax = Gaussian(np.asarray([[0.0], [1.0], [2.0]]), variance=variance).plot(times)
    at, low, high = edges(ax.collections[0])
    np.testing.assert_allclose(at, times)
    np.testing.assert_allclose(low, [-1.0, -1.0, -2.0])
    np.testing.assert_allclose(high, [1.0, 3.0, 6.0])


def test_the_cost_of_a_training():
    x = np.linspace(-1.0, 1.0, 8)[:, None]
    net, cost = ntk.nn.Dense(1), ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), x[:, 0])
    training = ntk.nn.train(net, net.init(0, like=x), cost, step=0.1, steps=20, record=[0, 10, 20])
    ax = training.plot("linear")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([[0, 10, 20], training.costs], axis=1))
    assert (ax.get_yscale(), ax.get_legend().get_texts()[0].get_text()) == ("log", "linear")
    assert ntk.nn.Training(None, 0.1, steps=[0, 1], costs=[1.0, 0.0]).plot().get_yscale() == "linear"


def test_left_out_predictions_stand_over_their_targets():
    """The exact ones: a constant kernel of 1 and noise of 1 predict the sum of the others over their number and 1."""
    y = array_api_strict.asarray([[0.0, 3.0], [1.0, 6.0], [2.0, 9.0]], dtype=array_api_strict.float64)
    kernel = ntk.kernels.Precomputed(array_api_strict.ones((3, 3), dtype=array_api_strict.float64))
    rows = array_api_strict.asarray([[0.0], [1.0], [2.0]], dtype=array_api_strict.float64)
    found = ntk.dynamics.GaussianProcess(kernel, rows, y, 1.0).leave_one_out()
    ax = found.plot(output=1)
    diagonal, points = ax.lines
    assert diagonal.get_slope() == 1.0
    np.testing.assert_allclose(points.get_xydata(), [[3, 15 / 3], [6, 12 / 3], [9, 9 / 3]], rtol=1e-12)
    # The variance of a target is 1 + 1 - 2 / 3.
    reach = 2.0 * np.sqrt(4.0 / 3.0)
    ends = [[[3, 5 - reach], [3, 5 + reach]], [[6, 4 - reach], [6, 4 + reach]], [[9, 3 - reach], [9, 3 + reach]]]
    np.testing.assert_allclose(ax.collections[0].get_segments(), ends, rtol=1e-12)
    assert not found._replace(variance=None).plot().collections


def test_a_process_of_one_observation():
    """Its posterior is y k / (1 + noise) and 1 - k^2 / (1 + noise) with k = k(x, 0), here exp(-x^2 / 2)."""
    rbf = ntk.InfiniteNNGP(ntk.nn.Sequential(ntk.nn.Dense(1), ntk.nn.Rbf(0.5), ntk.nn.Dense(1)))
    x, grid, y = np.zeros((1, 1)), np.asarray([[1.0], [-2.0], [0.0]]), np.asarray([3.0])
    ax = ntk.dynamics.GaussianProcess(rbf, x, y, noise=0.5).predict(grid).plot(grid, observed=(x, y))
    at = np.asarray([-2.0, 0.0, 1.0])
    mean, variance = 2.0 * np.exp(-(at**2) / 2), 1.0 - np.exp(-(at**2)) / 1.5
    np.testing.assert_allclose(ax.lines[0].get_xdata(), at)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), mean, rtol=1e-12)
    _, low, high = edges(ax.collections[0])
    np.testing.assert_allclose(low, mean - 2.0 * np.sqrt(variance), rtol=1e-12)
    np.testing.assert_allclose(high, mean + 2.0 * np.sqrt(variance), rtol=1e-12)
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[0.0, 3.0]])


def test_exponents_with_their_intervals():
    widths = [16, 64, 256]
    law = ntk.experiments.PowerLaw.fit(widths, [[0.5, 0.52], [0.25, 0.26], [0.125, 0.13]])
    none = ntk.experiments.PowerLaw.fit(widths, np.zeros((3, 2)))
    ax = plotting.exponents({"kernel": law, "nothing": none})
    theory, interval, point = ax.lines
    assert theory.get_xdata()[0] == -0.5
    np.testing.assert_array_equal(interval.get_xdata(), [law.low, law.high])
    np.testing.assert_array_equal(point.get_xydata(), [[law.exponent, 0]])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["kernel"]
    with pytest.raises(ValueError, match="no law has an exponent"):
        plotting.exponents({"nothing": none})


def test_spectra_draw_themselves():
    """On the circle every degree above 0 has two harmonics."""
    angles = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    p_in = ntk.function_space.EmpiricalMeasure(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
    spectrum = ntk.dynamics.KernelSpectrum(kernel, p_in)
    np.testing.assert_array_equal(spectrum.plot().lines[0].get_ydata(), spectrum.eigenvalues)
    zonal = ntk.kernels.zonal_spectrum(kernel, dimension=2, max_degree=2)
    of_degrees = np.sort(zonal.values[[0, 1, 1, 2, 2]])[::-1]
    np.testing.assert_array_equal(zonal.plot().lines[0].get_ydata(), of_degrees)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.gram(np.zeros((2, 1, 2, 1))), r"matrix\[:, 0, :, 0\]"),
        (lambda: plotting.gram(np.zeros((2, 2)), labels=[1]), "one for each row"),
        (lambda: plotting.spectrum(np.zeros(3)), "some of them positive"),
        (lambda: plotting.dynamics([1.0, 2.0], np.zeros((3, 1))), "T = 2 times"),
        (lambda: plotting.dynamics([0.0, np.inf], np.zeros((2, 1))), "between 0 and inf"),
        (lambda: plotting.costs(ntk.nn.Training(None, 0.1)), "no step was recorded"),
        (lambda: plotting.process(np.zeros((3, 2)), Gaussian(np.zeros(3))), "of one variable"),
    ],
)
def test_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_text_cannot_be_drawn():
    with pytest.raises(TypeError, match="eigenvalues must be an array of real numbers, got list"):
        plotting.spectrum(["many"])


def test_pictures_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pictures need matplotlib: pip install matplotlib"):
        plotting.spectrum(np.ones(2))


def test_tables_in_notebooks():
    found = ntk.solve.solve(np.eye(3), np.ones(3), ridge=1.0)._repr_html_()
    assert "<td>solver</td><td>cholesky</td>" in found
    assert "<td>rank</td><td>3</td>" in found
    widths = np.asarray([4, 16])
    values = np.asarray([[1.0, 1.0], [0.5, 0.5]])
    law = ntk.experiments.PowerLaw.fit(widths, values)
    result = ntk.experiments.ScalingResult("a <b>", widths, {"k": values}, {"k": law}, {"k": "size & shape"})
    table = result._repr_html_()
    assert "a &lt;b&gt; over widths 4, 16" in table
    assert "<td>size &amp; shape</td><td>-0.5</td>" in table
