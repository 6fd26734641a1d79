"""The distance from the linearization, against a linearization that is trained literally."""

import numpy as np

import ntk_array as ntk
from ntk_array.experiments import linearization_gap
from ntk_array.function_space import EmpiricalMeasure, SquaredError

from .problem import SETTINGS, WIDTHS, arrays, initial


def test_against_training_both(backend):
    x, y, x_test = arrays(backend)
    found = linearization_gap(lambda w: initial(x, w, 0)[0], x, y, x_test, WIDTHS, **SETTINGS).arrays
    cost = SquaredError(EmpiricalMeasure(x), y)
    for w, run in ((0, 1), (1, 0)):
        net, params = initial(x, WIDTHS[w], run)
        options = {
            "step": float(found["times"][w, run, -1]) / SETTINGS["steps"],
            "steps": SETTINGS["steps"],
            "record": found["steps"].tolist(),
        }
        outputs = [
            np.stack([backend.host(f) for f in ntk.nn.train(one, params, cost, observe=see, **options).observations])
            for one in (net, ntk.nn.Linearized(net, params))
            for see in [lambda now, one=one: one(now, x_test)]
        ]
        size = np.sqrt(np.mean(backend.host(y).astype(np.float64) ** 2))
        gap = np.sqrt(np.mean((outputs[0] - outputs[1]).astype(np.float64) ** 2, axis=(1, 2))) / size
        # each has taken its steps with its own rounding
        backend.close(found["gap_over_time"][w, run], gap, scale=1.0)
        assert found["gap"][w, run] == found["gap_over_time"][w, run].max()
        assert gap.max() > 0.01


def test_a_linear_model_is_its_linearization(backend):
    x, y, x_test = arrays(backend)
    result = linearization_gap(lambda width: ntk.nn.Dense(2, bias_std=0.5), x, y, x_test, WIDTHS, networks=2, steps=60)
    assert (result.arrays["gap"] < 1e3 * backend.eps).all()


def test_targets_without_columns(rng):
    x, x_test = rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
    one, two = (
        linearization_gap(lambda w: ntk.nn.mlp((w,), 1), x, y, x_test, WIDTHS, networks=1, steps=5).arrays["gap"]
        for y in (x[:, 0], x[:, :1])
    )
    np.testing.assert_array_equal(one, two)


def test_the_largest_gap_is_kept(rng):
    """On the training set both end at the targets."""
    x, y = rng.normal(size=(6, 8)), rng.normal(size=(6, 2))
    found = linearization_gap(lambda w: ntk.nn.mlp((w,), 2), x, y, x, (16, 32), networks=2, steps=300).arrays
    assert (found["gap"] > 10 * found["gap_over_time"][..., -1]).all()
