"""The distance from kernel regression, against a plain linear solve."""

import numpy as np

import ntk_array as ntk
from ntk_array.experiments import regression_gap
from ntk_array.function_space import EmpiricalMeasure, SquaredError

from .problem import SETTINGS, WIDTHS, C, M, N, arrays, initial, jacobian


def test_against_linear_solves(backend):
    x, y, x_test = arrays(backend)
    found = regression_gap(lambda w: initial(x, w, 0)[0], x, y, x_test, WIDTHS, **SETTINGS).arrays
    for w, run in ((0, 1), (1, 0)):
        net, params = initial(x, WIDTHS[w], run)
        step = float(found["times"][w, run, -1]) / SETTINGS["steps"]
        trained = ntk.nn.train(
            net, params, SquaredError(EmpiricalMeasure(x), y), step=step, steps=SETTINGS["steps"]
        ).params
        f, f0, f0_train, targets = (
            backend.host(values).astype(np.float64)
            for values in (net(trained, x_test), net(params, x_test), net(params, x), y)
        )
        rows, rows_test = (jacobian(backend, net, params, z) for z in (x, x_test))
        change = rows_test @ rows.T @ np.linalg.solve(rows @ rows.T, (targets - f0_train).ravel())
        infinite = ntk.InfiniteNTK(net)
        cross, gram = (backend.host(block).astype(np.float64) for block in (infinite(x_test, x), infinite(x)))
        for name, regression in (
            ("empirical", f0 + change.reshape(M, C)),
            ("infinite", f0 + cross @ np.linalg.solve(gram, targets - f0_train)),
        ):
            gap = np.sqrt(np.mean((f - regression) ** 2) / np.mean(targets**2))
            # the condition number of these kernel matrices is below 1000
            backend.close(found[name][w, run], np.asarray(gap), factor=1e5, scale=1.0)
            assert gap > 0.01


def test_a_linear_model_trained_to_the_end_is_its_regression(rng):
    x, x_test, y = rng.normal(size=(N, 20)), rng.normal(size=(M, 20)), rng.normal(size=(N, C))
    result = regression_gap(lambda width: ntk.nn.Dense(C), x, y, x_test, WIDTHS, networks=2, steps=1000)
    assert (result.arrays["empirical"] < 1e-10).all()
    assert (result.arrays["infinite"] < 1e-10).all()
