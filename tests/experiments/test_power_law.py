"""Power laws: recovered where they are known, with intervals that cover as often as they say."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from ntk_array.experiments import PowerLaw

WIDTHS = np.asarray([64, 128, 256, 512])


def scattered(rng, exponent, runs, spread=0.2):
    return 3.0 * WIDTHS[:, None] ** exponent * np.exp(spread * rng.standard_normal((len(WIDTHS), runs)))


def test_an_exact_law_is_recovered():
    law = PowerLaw.fit(WIDTHS, scattered(np.random.default_rng(0), -0.7, 3, spread=0.0))
    assert (law.points, law.excluded, law.confidence) == (12, 0, 0.95)
    np.testing.assert_allclose([law.exponent, law.low, law.high, law.prefactor], [-0.7, -0.7, -0.7, 3.0])
    np.testing.assert_allclose(law(WIDTHS), 3.0 * WIDTHS**-0.7)


def test_least_squares_over_all_runs(rng):
    values = scattered(rng, -0.5, 7)
    keep = rng.uniform(size=values.shape) < 0.6
    law = PowerLaw.fit(WIDTHS, values, keep)
    x = np.broadcast_to(np.log(WIDTHS)[:, None], values.shape)
    slope, intercept = np.polyfit(x[keep], np.log(values[keep]), 1)
    np.testing.assert_allclose([law.exponent, math.log(law.prefactor)], [slope, intercept])
    assert (law.points, law.excluded) == (keep.sum(), (~keep).sum())
    assert law.low < law.exponent < law.high


@pytest.mark.parametrize("uneven", [1.0, 2.0])
@pytest.mark.parametrize("runs", [2, 3, 4])
def test_intervals_of_few_runs_cover_what_they_say(runs, uneven):
    """2000 repetitions at 95 %: 0.5 % is one standard deviation of the share. Where the narrowest networks scatter
    twice as much as all others, the shared variance is wrong, and 90 % are covered."""
    rng, spread = np.random.default_rng(17), 0.2 * np.asarray([uneven, 1.0, 1.0, 1.0])[:, None]
    laws = [PowerLaw.fit(WIDTHS, scattered(rng, -0.5, runs, spread)) for _ in range(2000)]
    covered = np.mean([law.low <= -0.5 <= law.high for law in laws])
    assert (0.935 if uneven == 1.0 else 0.88) <= covered <= 0.965, covered


def test_intervals_of_many_runs_cover(rng):
    """200 repetitions at 90 %: 2.1 % is one standard deviation of the share."""
    laws = [PowerLaw.fit(WIDTHS, scattered(rng, -0.5, 12), confidence=0.9, resamples=2000) for _ in range(200)]
    covered = np.mean([law.low <= -0.5 <= law.high for law in laws])
    assert 0.84 <= covered <= 0.96, covered


def test_the_interval_of_few_runs_is_that_of_a_regression_with_a_mean_for_each_width(rng):
    """Against the textbook's analysis of variance: the variance within groups, and scipy's quantile of t."""
    values = np.log(scattered(rng, -0.5, 3))
    law = PowerLaw.fit(WIDTHS, np.exp(values), confidence=0.9)
    within = np.mean(values.var(axis=1, ddof=1))
    x = np.log(WIDTHS)
    half = stats.t.ppf(0.95, 4 * 2) * np.sqrt(within / (3 * np.sum((x - x.mean()) ** 2)))
    np.testing.assert_allclose([law.high - law.exponent, law.exponent - law.low], half)


def test_widths_that_make_no_line():
    for widths in ([64, 64], [64]):
        assert math.isnan(PowerLaw.fit(widths, np.ones((len(widths), 3))).exponent)
    with pytest.raises(ValueError, match="widths must be positive and finite"):
        PowerLaw.fit([0, 64], np.ones((2, 3)))


def test_the_same_seed_gives_the_same_interval(rng):
    values = scattered(rng, -0.5, 6)
    assert PowerLaw.fit(WIDTHS, values) == PowerLaw.fit(WIDTHS, values)
    assert PowerLaw.fit(WIDTHS, values, seed=1).low != PowerLaw.fit(WIDTHS, values).low


def test_single_runs_have_no_interval():
    law = PowerLaw.fit(WIDTHS, WIDTHS[:, None] ** -0.5)
    assert math.isnan(law.low)
    assert math.isnan(law.high)
    assert str(law) == "width^-0.50, 4 runs"
    assert json.loads(json.dumps(law.as_json(), allow_nan=False))["low"] is None


def test_what_cannot_be_on_a_law_is_left_out_and_counted(rng):
    values = scattered(rng, -0.5, 4)
    values[0, 0], values[1, 1], values[2, 2] = 0.0, np.nan, np.inf
    law = PowerLaw.fit(WIDTHS, values)
    assert (law.points, law.excluded) == (13, 3)
    assert str(law).endswith("at 95 %, 13 runs, 3 left out")
    none = PowerLaw.fit(WIDTHS, np.zeros((4, 2)))
    assert math.isnan(none.exponent)
    assert str(none) == "no law: usable runs at fewer than two widths, 8 left out"


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"must be \(W,\) and \(W, R\)"):
        PowerLaw.fit(WIDTHS, np.ones((3, 2)))
    with pytest.raises(ValueError, match="confidence must be below 1"):
        PowerLaw.fit(WIDTHS, np.ones((4, 2)), confidence=95)
    with pytest.raises(ValueError, match="resamples must be"):
        PowerLaw.fit(WIDTHS, np.ones((4, 2)), resamples=0)
