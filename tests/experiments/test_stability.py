"""The movement of kernels and parameters, against literal training with explicit Jacobians."""

import numpy as np

import ntk_array as ntk
from ntk_array.experiments import kernel_stability
from ntk_array.nn.parameters import flatten, tree_map

from .problem import SETTINGS, WIDTHS, N, arrays, initial, jacobian


def test_against_literal_steps(backend):
    x, y, _ = arrays(backend)
    found = kernel_stability(lambda w: initial(x, w, 0)[0], x, y, WIDTHS, probe=4, **SETTINGS).arrays
    assert found["kernel_over_time"].shape == (2, 2, len(found["steps"]))
    w, run = 1, 1
    net, params = initial(x, WIDTHS[w], run)
    step = float(found["times"][w, run, -1]) / SETTINGS["steps"]
    first, start = jacobian(backend, net, params, x[:4, :]), params
    for k in range(SETTINGS["steps"] + 1):
        if k in found["steps"]:
            at = list(found["steps"]).index(k)
            now = jacobian(backend, net, params, x[:4, :])
            moved = np.linalg.norm(now @ now.T - first @ first.T) / np.linalg.norm(first @ first.T)
            backend.close(found["kernel_over_time"][w, run, at], np.asarray(moved), scale=1.0)
            for layer, name in enumerate(("0", "2")):
                backend.close(found["layers_over_time"][w, run, at, layer], relative(backend, params, start, name))
        gradient = net.vjp(params, x, 2 / N * (net(params, x) - y))
        params = tree_map(lambda p, g: p - step * g, params, gradient)
    np.testing.assert_array_equal(found["kernel"], found["kernel_over_time"].max(axis=-1))
    np.testing.assert_array_equal(found["layer 2"], found["layers_over_time"][..., 1].max(axis=-1))


def relative(backend, params, start, layer):
    leaves = [
        (backend.host(now), backend.host(first))
        for (name, now), first in zip(flatten(params).items(), flatten(start).values(), strict=True)
        if name.startswith(f"{layer}.")
    ]
    moved = sum(np.sum((now.astype(np.float64) - first) ** 2) for now, first in leaves)
    return np.asarray((moved / sum(np.sum(first.astype(np.float64) ** 2) for _, first in leaves)) ** 0.5)


def test_the_kernel_of_a_linear_model_does_not_move(backend):
    x, y, _ = arrays(backend)
    result = kernel_stability(lambda width: ntk.nn.Dense(2, bias_std=0.5), x, y, WIDTHS, networks=2, steps=10)
    assert (result.arrays["kernel"] == 0).all()
    assert np.isnan(result.law.exponent)
    assert "no law" in repr(result)
    assert (result.arrays["layer "] > 0).all(), "its one layer has no name, and moves"


def test_laws_of_parameters_are_those_of_theory(rng):
    """||theta|| grows as the root of the number of parameters, and the movement of each layer does not grow."""
    x, y = rng.normal(size=(6, 10)), rng.normal(size=(6, 4))
    result = kernel_stability(
        lambda width: ntk.nn.mlp((width, width), 4, activation="erf"), x, y, (64, 128, 256), networks=4, steps=100
    )
    assert result.arrays["fitted"].all()
    for layer, exponent in (("0", -0.5), ("2", -1.0), ("4", -0.5)):
        assert abs(result.laws[f"layer {layer}"].exponent - exponent) < 0.15
    assert result.law.exponent < -0.7
