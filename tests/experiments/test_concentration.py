"""The error of kernels at initialization: draw by draw, its law, and what it refuses."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.experiments import kernel_concentration
from ntk_array.experiments.scaling import run_seed

from .problem import C, arrays, jacobian, network


def test_draw_by_draw_against_explicit_jacobians(backend):
    x = arrays(backend)[0][:4, :]
    found = kernel_concentration(network, x, (8, 16), draws=3, seed=5).arrays
    limit = backend.host(ntk.InfiniteNTK(network(8))(x)).astype(np.float64)
    assert set(found) == {"entrywise", "frobenius", "averaged"}
    for w, width in enumerate((8, 16)):
        errors = []
        for draw in range(3):
            net = network(width)
            params = net.init(run_seed(np.random.SeedSequence(5), width, draw), like=x)
            rows = jacobian(backend, net, params, x).reshape(4, C, -1)
            kernel = np.einsum("icp,jcp->cij", rows, rows)
            errors.append(kernel - limit)
            largest = np.abs(errors[-1]).max() / limit.diagonal().max()
            norm = np.linalg.norm(errors[-1]) / (C**0.5 * np.linalg.norm(limit))
            backend.close(found["entrywise"][w, draw], np.asarray(largest))
            backend.close(found["frobenius"][w, draw], np.asarray(norm))
        averaged = [np.linalg.norm(np.mean(errors[: r + 1], axis=0)) for r in range(3)]
        backend.close(found["averaged"][w], np.asarray(averaged) / (C**0.5 * np.linalg.norm(limit)))


def test_the_error_falls_as_the_root_of_the_width_at_every_depth(rng):
    x = rng.normal(size=(6, 4))
    widths = (32, 128, 512)
    result = kernel_concentration(
        lambda width, depth: ntk.nn.mlp((width,) * depth, 1), x, widths, depths=(1, 2), draws=25
    )
    assert list(result.laws) == [f"{kind}, depth {d}" for d in (1, 2) for kind in ("entrywise", "frobenius")]
    for law in result.laws.values():
        assert law.low - 0.05 < -0.5 < law.high + 0.05
        assert (law.points, law.excluded) == (75, 0)
    for d in (1, 2):
        means = result.arrays[f"averaged, depth {d}"]
        assert (means[:, -1] < 0.6 * result.arrays[f"frobenius, depth {d}"].mean(axis=1)).all()
        np.testing.assert_array_equal(means[:, 0], result.arrays[f"frobenius, depth {d}"][:, 0])


def test_inputs_beyond_the_probe_do_not_matter(rng):
    x = rng.normal(size=(6, 4))
    one, two = (kernel_concentration(network, z, (4, 8), draws=2, probe=3).arrays for z in (x, x[:3]))
    np.testing.assert_array_equal(one["entrywise"], two["entrywise"])


def test_kernels_are_kept(tmp_path, rng, monkeypatch):
    x, draws = rng.normal(size=(3, 4)), {"draws": 2}
    first = kernel_concentration(network, x, (4, 8), folder=tmp_path, **draws)
    assert len(list(tmp_path.glob("*.npz"))) == 4
    monkeypatch.setattr("ntk_array.experiments.concentration.EmpiricalNTK", None)
    again = kernel_concentration(network, x, (4, 8), folder=tmp_path, **draws)
    np.testing.assert_array_equal(again.arrays["entrywise"], first.arrays["entrywise"])
    with pytest.raises(ValueError, match="x: "):
        kernel_concentration(network, 2 * x, (4, 8), folder=tmp_path, **draws)
    with pytest.raises(ValueError, match="networks: "):
        kernel_concentration(lambda w: ntk.nn.mlp((w,), 2), x, (4, 8), folder=tmp_path, **draws)


def test_bad_arguments(rng):
    x = rng.normal(size=(3, 4))
    with pytest.raises(ValueError, match="draws must be"):
        kernel_concentration(network, x, (4, 8), draws=0)
    with pytest.raises(ValueError, match="two different widths"):
        kernel_concentration(network, x, (4, 4))
    with pytest.raises(TypeError, match=r"network\(4, 3\) must return a network"):
        kernel_concentration(lambda width, depth: depth, x, (4, 8), depths=(3,))
