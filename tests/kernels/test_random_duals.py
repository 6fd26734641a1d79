"""The error that a kernel states for its tables, on random functions whose duals are known in closed form.

More of them by ``nox -s reliability``.
"""

import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import ntk_array as ntk
from ntk_array import nn

from ..reliability import cases
from .dual_closed_forms import drawn
from .exact_networks import covariances

pytestmark = pytest.mark.host
SUITE = (1, 2, 7, 11, 203, 164, 189)
"""Cases whose tables take little time. In the last two errors once grew more than was stated: of functions that grow,
where inputs of one norm made each table hold for one variance only, and of a wave, whose variance is a constant."""
SEEDS = cases(SUITE, range(300))
DIGITS = 25


def network(seed):
    """The functions of a network of depth 1 to 5, the network, and four inputs.

    Weights are drawn so that the largest standard deviation at each layer is one that its function bears.
    """
    rng = np.random.default_rng((seed, 300))
    x = rng.normal(size=(4, int(rng.integers(2, 6))))
    if rng.random() < 0.3:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x *= 10.0 ** rng.uniform(-0.7, 0.7, size=(4, 1))
    functions, layers = [drawn(rng) for _ in range(int(rng.integers(1, 6)))], []
    with mpmath.workdps(DIGITS):
        k = np.asarray(covariances(x))
        for function in functions:
            largest = function.largest * rng.uniform(0.1, 1.0)
            bias = 0.3 * largest if rng.random() < 0.5 else 0.0
            layers += [nn.Dense(1, float((largest**2 - bias**2) ** 0.5 / max(np.diagonal(k)) ** mpf(0.5)), bias)]
            layers += [function.activation]
            k = through(layers[-2], function, k, 0 * k)[0]
    return functions, nn.Sequential(*layers, nn.Dense(1)), x


def through(dense, function, k, theta):
    """NNGP and NTK behind a dense layer and a function."""
    k = mpf(dense.weight_std) ** 2 * k + mpf(dense.bias_std) ** 2
    theta = mpf(dense.weight_std) ** 2 * theta + k
    if function is None:
        return k, theta
    found = np.empty((2, *k.shape), dtype=object)
    for i, j in zip(*np.triu_indices(len(k)), strict=True):
        found[:, i, j] = found[:, j, i] = function.dual(k[i, i], k[i, j], k[j, j])
    return found[0], theta * found[1]


def recursion(functions, net, x):
    """NNGP kernel and NTK by exact duals, in mpmath."""
    with mpmath.workdps(DIGITS):
        k = np.asarray(covariances(x))
        state = k, 0 * k
        for dense, function in zip(net.layers[::2], [*functions, None], strict=True):
            state = through(dense, function, *state)
        return state


def largest_error(found, exact):
    """Relative to sqrt(K(x, x) K(x', x'))."""
    with mpmath.workdps(DIGITS):
        root = [mpmath.sqrt(exact[i, i]) for i in range(len(exact))]
        return max(float(abs(mpf(found[i, j]) - exact[i, j]) / root[i] / root[j]) for i, j in np.ndindex(exact.shape))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stated_error_is_no_less_than_the_true_one(seed, record_property):
    functions, net, x = network(seed)
    names = [function.activation.name for function in functions]
    # The NTK has the errors of both tables of an activation. They take seconds to make, so that few kernels are NNGP.
    kinds = (ntk.InfiniteNNGP, ntk.InfiniteNTK)[seed % 4 > 0 :]
    for kind, right in zip(kinds, recursion(functions, net, x)[-len(kinds) :], strict=True):
        kernel = kind(net)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the dual activation of .* was integrated to an estimated relative error")
            found, stated = kernel(x), kernel.quadrature_error(x)
        true = largest_error(found, right)
        record_property(kind.__name__, f"{true:.2e} {stated:.2e}")
        assert true <= stated, (kind.__name__, true, stated, names)
