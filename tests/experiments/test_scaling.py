"""Experiments over widths: resumed after any interruption, honest about what is fitted, clear about bad arguments."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import max_step
from ntk_array.experiments import kernel_stability, linearization_gap, scaling
from ntk_array.experiments.linearization import LinearizationGap
from ntk_array.experiments.regression import RegressionGap
from ntk_array.experiments.runs import stable_step
from ntk_array.experiments.scaling import scaling_of_training
from ntk_array.experiments.stability import KernelStability
from ntk_array.function_space import EmpiricalMeasure, SquaredError

from .problem import SETTINGS, WIDTHS, C, arrays, initial, network

ROOT = Path(ntk.__file__).parent.parent
MEASURES = [KernelStability, LinearizationGap, RegressionGap]
SLOW = """
import sys, time
from ntk_array.experiments import scaling
from tests.backends import backend_named
from tests.experiments.test_scaling import experiment
train = scaling.train_and_measure
scaling.train_and_measure = lambda *options: (time.sleep(0.2), train(*options))[1]
experiment(sys.argv[1])
"""


class Host:
    array = staticmethod(np.asarray)


SAMPLE = dict(zip(("x", "y", "x_test"), arrays(Host), strict=True))


def experiment(folder=None, **options):
    good = {"network": network, "widths": WIDTHS, **SAMPLE, **SETTINGS}
    return scaling_of_training(MEASURES, folder=folder, **good | options)


@pytest.fixture
def counted(monkeypatch):
    """The runs that are computed, as they are computed."""
    runs, train = [], scaling.train_and_measure
    monkeypatch.setattr(scaling, "train_and_measure", lambda *options: (runs.append(options), train(*options))[1])
    return runs


def same(one, two):
    for name in one:
        # As text: the exponent that a law does not have is NaN, which equals nothing.
        assert repr(one[name].laws) == repr(two[name].laws)
        for key, array in one[name].arrays.items():
            np.testing.assert_array_equal(two[name].arrays[key], array, err_msg=f"{name} {key}")


def test_a_killed_experiment_goes_on(tmp_path, counted):
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.npz"))) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert 2 <= len(finished) < 4, "it was killed on the way"
    resumed = experiment(tmp_path)
    assert len(counted) == 4 - len(finished)
    assert all(path.stat().st_mtime_ns == at for path, at in finished.items())
    same(resumed, experiment())


def test_an_interrupted_experiment_goes_on(tmp_path, monkeypatch, counted):
    train, calls = scaling.train_and_measure, []

    def interrupted(*options):
        calls.append(options)
        if len(calls) >= 3:
            raise KeyboardInterrupt
        return train(*options)

    with monkeypatch.context() as patch:
        patch.setattr(scaling, "train_and_measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            experiment(tmp_path)
    # Two runs may go on at once: the second one is given up, or was finished.
    kept = len(list(tmp_path.glob("*.npz")))
    before = len(counted)
    assert 1 <= kept <= before == 2
    resumed = experiment(tmp_path)
    assert len(counted) == before + 4 - kept
    same(resumed, experiment())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 2}, "steps: 1 there, 2 now"),
        ({"seed": 4}, "seed: "),
        ({"networks": 3}, "runs: 2 there, 3 now"),
        ({"step_fraction": 0.4}, "step_fraction: 0.5 there, 0.4 now"),
        ({"probe": 3}, "probe: 32 there, 3 now"),
        ({"widths": (8, 32)}, "networks: "),
        ({"network": lambda width: ntk.nn.mlp((width,), C)}, "networks: "),
        *(({name: array + 1}, f"experiment, give another folder: {name}: ") for name, array in SAMPLE.items()),
    ],
)
def test_another_experiment_is_refused(tmp_path, change, message):
    experiment(tmp_path, steps=1)
    with pytest.raises(ValueError, match=message):
        experiment(tmp_path, **{"steps": 1} | change)


def test_one_pass_gives_what_each_experiment_gives():
    x, y, x_test = SAMPLE.values()
    together = experiment()
    alone = {
        "kernel_stability": kernel_stability(network, x, y, WIDTHS, **SETTINGS),
        "linearization_gap": linearization_gap(network, x, y, x_test, WIDTHS, **SETTINGS),
        "regression_gap": ntk.experiments.regression_gap(network, x, y, x_test, WIDTHS, **SETTINGS),
    }
    same(alone, together)


def test_laws_use_runs_that_have_learned():
    x, y, _ = SAMPLE.values()
    result = kernel_stability(network, x, y, WIDTHS, **SETTINGS | {"steps": 300})
    cost = result.arrays["cost"]
    np.testing.assert_array_equal(result.arrays["fitted"], cost[..., -1] < 0.01 * cost[..., 0])
    assert result.arrays["fitted"].all()
    barely = kernel_stability(network, x, y, WIDTHS, **SETTINGS | {"steps": 1})
    assert not barely.arrays["fitted"].any()
    assert (barely.law.points, barely.law.excluded) == (0, 4)
    assert "4 left out" in repr(barely)


def test_the_step_is_a_share_of_the_largest_stable_one(backend):
    x, y, _ = arrays(backend)
    cost = SquaredError(EmpiricalMeasure(x), y)
    for width in WIDTHS:
        net, params = initial(x, width, 0)
        exact = max_step(ntk.EmpiricalNTK(net, params), cost)
        assert 0.999 < stable_step(net, params, cost) / exact < 1.1
    found = kernel_stability(network, x, y, WIDTHS, **SETTINGS | {"steps": 3, "step_fraction": 0.25}).arrays
    np.testing.assert_allclose(found["times"][1, 0, -1], 0.75 * stable_step(net, params, cost), rtol=1e3 * backend.eps)


def test_settings_may_be_numpy_integers(tmp_path):
    experiment(tmp_path, widths=np.asarray(WIDTHS), steps=np.int64(8), probe=np.int64(3), networks=np.int64(1))


def test_progress_bars(capsys):
    experiment(steps=2)
    assert capsys.readouterr().err == ""
    experiment(steps=2, progress=True)
    shown = capsys.readouterr().err
    # One bar for all runs; a run that goes on alone, where there is one core, has one of its own too.
    assert "networks:" in shown
    assert "/4 " in shown


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": network(4)}, TypeError, "network must be a function"),
        ({"network": lambda width: width}, TypeError, r"network\(8\) must return a network"),
        ({"network": lambda width: ntk.nn.mlp((4,) * width, 2)}, ValueError, "same number of layers"),
        ({"widths": (8,)}, ValueError, "two different widths"),
        ({"networks": 0}, ValueError, "networks must be"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"step_fraction": 1.0}, ValueError, "step_fraction must be below 1"),
        ({"probe": 0}, ValueError, "probe must be"),
        ({"y": np.zeros((5, 2))}, ValueError, "y has shape"),
        ({"y": np.zeros((6, 2))}, ValueError, "y is zero"),
        ({"x_test": np.zeros((2, 4))}, ValueError, "x_test has inputs of shape"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        experiment(**options)
