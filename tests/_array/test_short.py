"""Short texts for objects that hold arrays."""

import numpy as np
import pytest

import ntk_array as ntk

pytestmark = pytest.mark.host
X = np.random.default_rng(0).normal(size=(40, 5))
SAMPLE = ntk.function_space.EmpiricalMeasure(X)
COST = ntk.function_space.SquaredError(SAMPLE, X[:, 0])
NET = ntk.nn.mlp((16, 16), 1)
PARAMS = NET.init(0, like=X)
INFINITE, EMPIRICAL = ntk.InfiniteNTK(NET), ntk.EmpiricalNTK(NET, PARAMS, outputs="trace")
PROCESS = ntk.dynamics.GaussianProcess(INFINITE, X, X[:, 0], noise=0.1)

OBJECTS = [
    SAMPLE,
    COST,
    ntk.function_space.Huber(SAMPLE, X[:, 0]),
    ntk.function_space.kernel_gradient(INFINITE, COST, lambda x: 0.0 * x[:, 0]),
    INFINITE,
    EMPIRICAL,
    ntk.EmpiricalNNGP(NET, PARAMS),
    ntk.MonteCarloNTK(NET, draws=3, seed=0),
    ntk.MonteCarloNTK(NET, draws=3, seed=0).estimate(X[:3]),
    ntk.Precomputed(INFINITE(X)),
    2.0 * INFINITE + EMPIRICAL,
    ntk.EmpiricalFeatures(EMPIRICAL),
    ntk.dynamics.GradientFlow(INFINITE, COST, f0=NET.bind(PARAMS)),
    ntk.dynamics.GradientDescent(INFINITE, COST, 0.1),
    ntk.dynamics.Ensemble.of(NET, COST),
    ntk.dynamics.KernelSpectrum(INFINITE, SAMPLE),
    PROCESS,
    PROCESS.predict(X[:3]),
    PROCESS.leave_one_out(),
    ntk.nn.train(NET, PARAMS, COST, step=0.01, steps=3),
    ntk.nn.Linearized(NET, PARAMS),
    ntk.solve.KernelMatrix(INFINITE, X),
    ntk.study.Dataset("data", X, X[:, 0]),
    ntk.study.load_dataset("digits"),
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_objects_have_a_short_text(thing):
    text = repr(thing)
    assert text.startswith(f"{type(thing).__name__}(")
    assert len(text) <= 400
    assert "\n" not in text
    assert " at 0x" not in text


def test_arrays_are_their_shapes_and_defaults_are_left_out():
    assert repr(COST) == "SquaredError(p_in=EmpiricalMeasure(x=float64 (40, 5)), y=float64 (40, 1))"
    half = ntk.function_space.SquaredError(SAMPLE, X[:, :2], "half_sum")
    assert repr(half).endswith("y=float64 (40, 2), convention='half_sum')")
    assert "params=3 arrays" in repr(EMPIRICAL)
    assert "outputs='trace'" in repr(EMPIRICAL)


def test_a_kernel_of_the_user_keeps_its_own_text():
    class Mine(ntk.Precomputed):
        def __repr__(self):
            return "mine"

    class Below(Mine):
        pass

    assert repr(Below(np.eye(2))) == "mine"
