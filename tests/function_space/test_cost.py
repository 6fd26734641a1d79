"""Cost functionals against explicit sums, and their derivatives against finite differences in function space."""

import numpy as np
import pytest

from ntk_array.function_space import Cost, EmpiricalMeasure, SquaredError

N = 5
WEIGHTS = np.asarray([0.1, 0.3, 0.25, 0.15, 0.2])


def squared_error(backend, rng, shape, weighted=False):
    x, y = rng.normal(size=(N, 2)), rng.normal(size=shape)
    p_in = EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)
    return SquaredError(p_in, backend.array(y)), y


def along(cost, f, g):
    """d/dh cost(f + h g) at h = 0, by central differences and one Richardson extrapolation."""

    def central(h):
        return (cost(f + h * g) - cost(f - h * g)) / (2 * h)

    return (4 * central(0.25) - central(0.5)) / 3


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3)])
def test_value_and_representer(backend, rng, shape, weighted):
    cost, y = squared_error(backend, rng, shape, weighted)
    f = rng.normal(size=shape)
    weights = WEIGHTS if weighted else np.full(N, 1 / N)
    residual = (f - y).reshape(N, -1)
    backend.close(cost(backend.array(f)), np.sum(weights * np.sum(residual**2, axis=1)), factor=20)
    d = cost.derivative(backend.array(f)).representer
    assert tuple(d.shape) == shape
    backend.close(d, 2 * (f - y), factor=4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(N,), (N, 3)])
def test_derivative_is_the_limit_of_differences(backend, rng, shape, weighted):
    cost, _ = squared_error(backend, rng, shape, weighted)
    f, g = backend.array(rng.normal(size=shape)), backend.array(rng.normal(size=shape))
    # The cost is a quadratic: extrapolated differences of large steps are exact but for rounding.
    backend.close(cost.derivative(f)(g), along(cost, f, g), factor=100, scale=10.0)


@pytest.mark.host
def test_derivative_to_nine_digits(rng):
    """The mission's figure, on a function of x, where the derivative is 2 sum_i w_i (f - y) g."""
    x, y = rng.normal(size=(N, 1)), rng.normal(size=N)
    cost = SquaredError(EmpiricalMeasure(x, WEIGHTS), y)
    f, g = np.sin(x[:, 0]), np.cos(x[:, 0])
    by_hand = 2 * np.sum(WEIGHTS * (f - y) * g)
    assert abs(float(along(cost, f, g)) - by_hand) < 1e-9
    assert abs(float(cost.derivative(lambda z: np.sin(z))(lambda z: np.cos(z))) - by_hand) < 1e-13


def test_callables_and_arrays_agree(backend, rng):
    cost, _ = squared_error(backend, rng, (N,))
    x = cost.p_in.x
    backend.close(cost(lambda z: 2.0 * z[:, 0]), cost(2.0 * x[:, 0]), factor=1)
    backend.close(cost.derivative(lambda z: 2.0 * z[:, 0]).representer, 2.0 * (2.0 * x[:, 0] - cost.y[:, 0]), factor=4)


def test_predictions_follow_the_shape_of_the_targets(backend, rng):
    vector, _ = squared_error(backend, rng, (N,))
    columns, _ = squared_error(backend, rng, (N, 2))
    assert vector.vector
    assert not columns.vector
    assert vector.y.shape == (N, 1)
    assert vector.shaped(vector.y).shape == (N,)
    assert columns.shaped(columns.y).shape == (N, 2)


def test_targets_must_fit_the_sample(backend):
    p_in = EmpiricalMeasure(backend.array(np.zeros((3, 2))))
    with pytest.raises(ValueError, match=r"y has shape \(4,\); expected \(3,\) or \(3, C\)"):
        SquaredError(p_in, backend.array(np.zeros(4)))
    with pytest.raises(ValueError, match="y has NaN or infinity in 1 of its 3 rows, first in row 2"):
        SquaredError(p_in, backend.array([0.0, 0.0, np.nan]))
    with pytest.raises(TypeError, match="p_in must be an EmpiricalMeasure"):
        SquaredError(backend.array(np.zeros((3, 2))), backend.array(np.zeros(3)))


def test_functions_must_have_the_outputs_of_the_targets(backend, rng):
    cost, _ = squared_error(backend, rng, (N, 2))
    with pytest.raises(ValueError, match="f has 1 outputs, the targets y have 2"):
        cost(backend.array(np.zeros(N)))
    with pytest.raises(ValueError, match="f has values of shape"):
        cost.derivative(backend.array(np.zeros((N + 1, 2))))


@pytest.mark.host
def test_targets_of_another_dtype_or_library_are_refused():
    p_in = EmpiricalMeasure(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="y has float32"):
        SquaredError(p_in, np.zeros(3, dtype=np.float32))
    with pytest.raises(TypeError, match="y is a list"):
        SquaredError(p_in, [0.0, 0.0, 0.0])


class Quartic(Cost):
    """sum_i w_i ||f(x_i) - y_i||^4 / 4: a cost of the user's own."""

    def __call__(self, f):
        difference = self.values(f) - self.y
        return (self.p_in.column_weights * difference**4).sum() / 4

    def representer(self, f):
        return (f - self.y) ** 3


@pytest.mark.host
def test_a_cost_of_ones_own_needs_a_value_and_a_representer(rng):
    cost = Quartic(EmpiricalMeasure(rng.normal(size=(N, 2)), WEIGHTS), rng.normal(size=N))
    f, g = rng.normal(size=(2, N))

    def central(h):
        return (cost(f + h * g) - cost(f - h * g)) / (2 * h)

    # A quartic: one extrapolation is exact but for rounding.
    assert abs(float(cost.derivative(f)(g)) - float(4 * central(0.01) - central(0.02)) / 3) < 1e-11
