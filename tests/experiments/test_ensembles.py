"""Trained networks beside the distribution predicted for them."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.experiments import ensembles, trained_ensemble

NET = ntk.nn.mlp((384,), 2, activation="erf", weight_std=1.5, bias_std=0.3)


class Host:
    array = staticmethod(np.asarray)


def arrays(backend, seed=0):
    x = np.random.default_rng(seed).normal(size=(9, 3))
    y = np.stack([x[:6, 0] * x[:6, 1], np.sin(2 * x[:6, 2])], axis=1)
    return backend.array(x[:6]), backend.array(y), backend.array(x[6:])


@pytest.mark.host
def test_networks_have_the_predicted_mean_and_variance():
    """Within what 60 draws of 3 inputs and 2 outputs scatter by, and not so for another kernel's prediction."""
    x, y, x_test = arrays(Host)
    found = trained_ensemble(NET, x, y, x_test, networks=60, steps=300)
    assert np.all(found.cost[:, -1] < 0.2 * found.cost[:, 0])
    for k in (0, 10, -1):
        assert np.sqrt(np.mean(found.mean_errors[k] ** 2)) < 2.0
        assert abs(found.variance_ratios[k].mean() - 1.0) < 3.0 * np.sqrt(2.0 / 59 / 3)
    assert "60 trained networks" in repr(found)
    other = ntk.dynamics.Ensemble.of(
        ntk.nn.mlp((1,), 2, activation="relu"),
        ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y),
    ).predict(x_test, t=found.times.tolist())
    wrong = ensembles.TrainedEnsemble(found.times, found.outputs, found.cost, other.mean, other.standard_deviation)
    assert np.sqrt(np.mean(wrong.mean_errors[-1] ** 2)) > 3.0 or abs(wrong.variance_ratios[-1].mean() - 1.0) > 1.0


def test_on_every_library(backend):
    x, y, x_test = arrays(backend)
    found = trained_ensemble(NET, x, y, x_test, networks=2, steps=5)
    assert found.outputs.shape == (2, 6, 3, 2)
    assert found.mean.shape == (6, 3, 2)
    assert found.standard_deviation.shape == (6, 3)
    assert np.all(found.cost[:, -1] < found.cost[:, 0])


def test_finished_networks_are_not_trained_again(tmp_path, monkeypatch):
    options = {"networks": 3, "steps": 4, "folder": tmp_path}
    first = trained_ensemble(NET, *arrays(Host), **options)
    (tmp_path / "1.npz").unlink()
    trained, train = [], ensembles.train
    monkeypatch.setattr(ensembles, "train", lambda *a, **k: (trained.append(1), train(*a, **k))[1])
    again = trained_ensemble(NET, *arrays(Host), **options)
    assert len(trained) == 1
    np.testing.assert_array_equal(again.outputs, first.outputs)
    with pytest.raises(ValueError, match="another experiment"):
        trained_ensemble(NET, *arrays(Host, seed=1), **options)


def test_the_picture_shows_the_networks_and_the_band():
    found = trained_ensemble(NET, *arrays(Host), networks=3, steps=4)
    figure = found.plot(panels=2)
    assert len(figure.axes) == 2
    for m, axis in enumerate(figure.axes):
        drawn = [line.get_ydata() for line in axis.get_lines()]
        for run in range(3):
            assert any(np.array_equal(y, found.outputs[run, 1:, m, 0]) for y in drawn)
        assert any(np.array_equal(y, found.mean[1:, m, 0]) for y in drawn)


def test_bad_arguments():
    with pytest.raises(ValueError, match="networks must be at least 2"):
        trained_ensemble(NET, *arrays(Host), networks=1)
    with pytest.raises(ValueError, match="step_fraction must be below 1"):
        trained_ensemble(NET, *arrays(Host), step_fraction=1.5)


@pytest.mark.host
def test_numbers_of_numpy_are_kept_as_python_numbers(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 3))
    given = {"networks": np.int64(2), "steps": np.int32(3), "folder": tmp_path}
    found = trained_ensemble(NET, x[:4], x[:4, :2], x[4:], **given)
    again = trained_ensemble(NET, x[:4], x[:4, :2], x[4:], networks=2, steps=3, folder=tmp_path)
    np.testing.assert_array_equal(found.outputs, again.outputs)
