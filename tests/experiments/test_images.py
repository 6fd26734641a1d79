"""The experiments on convolutional networks: every measure of a run, and of a draw, with explicit Jacobians."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._array.random import seed_sequence
from ntk_array.experiments import kernel_concentration
from ntk_array.experiments.linearization import LinearizationGap
from ntk_array.experiments.regression import RegressionGap
from ntk_array.experiments.scaling import run_seed, scaling_of_training
from ntk_array.experiments.stability import KernelStability

from ..backends import backend_named
from .problem import SETTINGS, C, jacobian

pytestmark = pytest.mark.host
backend = backend_named("numpy")
"""Experiments are tested on all libraries with networks of Dense layers, and so is every layer."""
N, M, WIDTHS = 5, 3, (4, 8)


def network(width):
    return ntk.nn.cnn((width, width), C, kernel_size=(2, 2), activation="erf", weight_std=1.4, bias_std=0.2)


def images():
    rng = np.random.default_rng(7)
    return tuple(backend.array(rng.normal(size=shape)) for shape in ((N, 3, 3, 2), (N, C), (M, 3, 3, 2)))


def test_a_run_against_explicit_jacobians():
    """The linearization takes literal steps theta <- theta - step J^T 2/N (f - y), regression is a linear solve."""
    x, y, x_test = images()
    settings = {**SETTINGS, "networks": 1, "steps": 4}
    found = scaling_of_training(
        [KernelStability, LinearizationGap, RegressionGap], network, x, y, x_test, WIDTHS, **settings
    )
    stability, linear, regression = (found[name].arrays for name in found)
    w, run = 1, 0
    net = network(WIDTHS[w])
    params = net.init(run_seed(seed_sequence(SETTINGS["seed"]), WIDTHS[w], run), like=x)
    step = float(stability["times"][w, run, -1]) / settings["steps"]
    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y)
    trained = ntk.nn.train(net, params, cost, step=step, steps=settings["steps"]).params
    rows, rows_test, now = (jacobian(backend, net, at, z) for at, z in ((params, x), (params, x_test), (trained, x)))
    f0, f0_test, f, targets = (
        backend.host(a).astype(np.float64) for a in (net(params, x), net(params, x_test), net(trained, x_test), y)
    )
    size = np.sqrt(np.mean(targets**2))

    def distance(prediction):
        return np.asarray(np.sqrt(np.mean((f - prediction) ** 2)) / size)

    gram = rows @ rows.T
    moved = np.linalg.norm(now @ now.T - gram) / np.linalg.norm(gram)
    backend.close(stability["kernel_over_time"][w, run, -1], np.asarray(moved), factor=1e3, scale=1.0)
    theta = np.zeros(rows.shape[1])
    for _ in range(settings["steps"]):
        theta = theta - step * 2 / N * rows.T @ (f0.ravel() + rows @ theta - targets.ravel())
    linearized = f0_test + (rows_test @ theta).reshape(M, C)
    backend.close(linear["gap_over_time"][w, run, -1], distance(linearized), factor=1e3, scale=1.0)
    fitted = f0_test + (rows_test @ rows.T @ np.linalg.solve(gram, (targets - f0).ravel())).reshape(M, C)
    backend.close(regression["empirical"][w, run], distance(fitted), factor=1e5, scale=1.0)
    assert sorted(name for name in stability if name.startswith("layer ")) == ["layer 0", "layer 2", "layer 5"]


def test_the_kernel_at_initialization_against_explicit_jacobians():
    x = images()[0][:3, ...]
    found = kernel_concentration(network, x, WIDTHS, draws=2, seed=5).arrays["frobenius"]
    net = network(WIDTHS[0])
    params = net.init(run_seed(np.random.SeedSequence(5), WIDTHS[0], 1), like=x)
    rows = jacobian(backend, net, params, x).reshape(3, C, -1)
    limit = backend.host(ntk.InfiniteNTK(net)(x)).astype(np.float64)
    error = np.linalg.norm(np.einsum("icp,jcp->cij", rows, rows) - limit) / (C**0.5 * np.linalg.norm(limit))
    backend.close(found[0, 1], np.asarray(error), factor=100)


def test_laws_of_a_convolutional_network(rng):
    """The error of the kernel falls as the root of the width; the distance from the linearization falls too."""
    x = rng.normal(size=(4, 3, 3, 1))
    law = kernel_concentration(lambda width: ntk.nn.cnn((width,), 1), x, (16, 64, 256), draws=20).law
    assert law.low - 0.05 < -0.5 < law.high + 0.05
