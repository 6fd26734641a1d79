"""Every layer through the conformance suite, and broken layers that it must catch."""

import numpy as np
import pytest

from ntk_array import InfiniteNNGP, InfiniteNTK, nn
from ntk_array.infinite.dual import Dual

from ..backends import Backend, backend_named
from . import conformance as c

NUMPY = backend_named("numpy")
NUMPY_FLOAT32 = Backend("numpy", np, None, "float32")
ALL = pytest.mark.parametrize("case", c.CASES, ids=str)
LIMIT = pytest.mark.parametrize("case", [case for case in c.CASES if case.limit], ids=str)
LIMITS = [(case, which) for case in c.CASES if case.limit for which in ("ntk", "nngp")[not case.ntk :]]


@ALL
def test_derivative_is_that_of_the_difference_quotient(case, backend):
    c.check_derivative(case, backend)


@pytest.mark.parametrize("case", [case for case in c.CASES if case.analytic], ids=str)
def test_derivative_is_that_of_a_complex_step(case):
    c.check_complex_step(case)


@ALL
def test_jvp_and_vjp_are_adjoint(case, backend):
    c.check_adjoint(case, backend)


@ALL
def test_explicit_jacobian(case, backend):
    c.check_jacobian(case, backend)


@pytest.mark.parametrize("outputs", c.OUTPUTS)
@ALL
def test_empirical_kernel_is_that_of_the_jacobian(case, outputs, backend):
    c.check_gram(case, backend, outputs)


@pytest.mark.parametrize("outputs", c.OUTPUTS)
@ALL
def test_empirical_kernel_is_symmetric_and_semidefinite(case, outputs, backend):
    c.check_symmetry(case, backend, outputs)


@ALL
def test_batches_do_not_matter(case, backend):
    c.check_batches(case, backend)


@ALL
def test_results_live_where_the_inputs_do(case, backend):
    c.check_home(case, backend)


@LIMIT
def test_infinite_kernels_on_every_backend(case, backend):
    c.check_infinite(case, backend)


# The duals of the other activations are held against integrals in test_duals.py.
@pytest.mark.parametrize(("case", "which"), [limit for limit in LIMITS if limit[0].everywhere], ids=str)
def test_infinite_width_is_the_limit_of_random_networks(case, which):
    c.check_limit(case, which)


@ALL
def test_facts_without_arrays(case):
    c.check_signal(case)


@pytest.mark.parametrize(("case", "which"), [limit for limit in LIMITS if limit[0].rescaled], ids=str)
def test_derivative_of_the_limit(case, which):
    c.check_gradient(case, {"ntk": InfiniteNTK, "nngp": InfiniteNNGP}[which])


@LIMIT
def test_angles_are_those_of_the_covariances(case):
    c.check_angles(case)


@LIMIT
def test_tables_serve_all_inputs(case):
    c.check_tables(case)


@ALL
def test_files(case, tmp_path):
    c.check_files(case, tmp_path / "net.npz")


@ALL
def test_pickling(case):
    c.check_pickling(case)


@pytest.mark.parametrize("case", [case for case in c.CASES if case.everywhere], ids=str)
def test_nesting(case):
    c.check_nesting(case, NUMPY)


# ---- broken layers: each must be caught by the check that is there for it ------------------------------------------


class DropsBiasInGram(nn.Dense):
    def gram(self, factors1, factors2, contraction, trained):
        return super().gram(factors1, factors2, contraction, {**trained, "bias": False})


class DropsBiasInTheLimit(nn.Dense):
    def propagate(self, state, before):
        after = super().propagate(state, before)
        return after.to(k12=after.k12 - self.bias_std**2)


class DropsBiasInTangent(nn.Dense):
    def tangent(self, params, tape, dx, dparams):
        return super().tangent(params, tape, dx, {"weight": dparams["weight"]})


class ForgetsScaleInPullback(nn.Dense):
    def pullback(self, factors):
        gradient = super().pullback(factors)
        return {**gradient, "weight": 2.0 * gradient["weight"]}


class ForgetsScaleInExpand(nn.Dense):
    def expand(self, factors):
        jacobian = super().expand(factors)
        return {**jacobian, "weight": 2.0 * jacobian["weight"]}


class ForgetsWeightInBackward(nn.Dense):
    def backward(self, params, tape, delta, to_inputs=True):
        pulled, factors = super().backward(params, tape, delta, to_inputs)
        return 1.01 * pulled, factors


class WrongDerivative(nn.Tanh):
    def derivative(self, xp, x):
        return (1 + 1e-8) * super().derivative(xp, x)


class WrongSlopeInTheLimit(nn.ReLU):
    def dual(self, state):
        value, slope, _ = super().dual(state)
        return Dual(value, 1.1 * slope)


class WrongValueInTheLimit(nn.ReLU):
    def dual(self, state):
        value, slope, _ = super().dual(state)
        return Dual(1.1 * value, slope)


class MixesTheBatch(nn.Identity):
    def forward(self, params, x):
        return x + 0.01 * x[:1, ...], super().forward(params, x)[1]


class Widens(nn.Identity):
    def function(self, xp, x):
        return xp.astype(x, xp.float64)


class WritesIntoCotangents(nn.Tanh):
    def backward(self, params, tape, delta, to_inputs=True):
        slope = tape[:, None, ...]
        if delta.shape[0] != slope.shape[0]:
            return delta * slope, []
        delta *= slope
        return delta, []


class KeepsAStaleAngle(nn.Dense):
    def propagate(self, state, before):
        return super().propagate(state, before).to(sine=state.sine)


class ForgetsItsDegree(nn.ReLU):
    homogeneity = None


class WrongDegree(nn.Tanh):
    homogeneity = 1.0


class WrongParity(nn.Sigmoid):
    odd = True


class WrongDerivativeOfTheLimit(nn.GELU):
    def dual_tangent(self, state, change):
        value, slope, _ = super().dual_tangent(state, change)
        return Dual(1.001 * value, slope)


class ForgetsToRescale(nn.Dense):
    def rescaled(self, weight_std=1.0, bias_std=1.0):
        return super().rescaled(weight_std, 1.0)


class WrongShape(nn.Dense):
    def signal(self, before):
        return super().signal(before).to(shape=(self.width + 1,))


class DropsOneBranch(nn.Sum):
    def limit(self, states, signals):
        return super().limit(states[:-1], signals[:-1])


class WritesIntoItsInput(nn.Identity):
    def forward(self, params, x):
        x *= 1.0001
        return super().forward(params, x)


def broken(layer) -> c.Case:
    """A network with the layer in its middle."""

    def build(width, outputs):
        first, last = nn.Dense(width, 1.2, 0.6), nn.Dense(outputs, 1.2, 0.6)
        if layer is WritesIntoItsInput:
            return nn.Sequential(layer(), first, last)
        if issubclass(layer, nn.Sum):
            return nn.Sequential(first, layer(nn.Dense(width), nn.Identity()), last)
        if layer is KeepsAStaleAngle:
            return nn.Sequential(layer(width, 1.2, 0.6), nn.ReLU(), last)
        if layer is WrongShape:
            return nn.Sequential(first, nn.Sin(), layer(outputs))
        if layer in (ForgetsItsDegree, WrongDegree):
            return nn.Sequential(nn.Dense(width), layer(), nn.Dense(outputs))
        if issubclass(layer, nn.Dense):
            return nn.Sequential(first, nn.Sin(), layer(width, 1.2, 0.6), nn.Sin(), last)
        return nn.Sequential(first, layer(), last)

    return c.Case(layer.__name__, build, smooth=not issubclass(layer, nn.ReLU), width=256)


@pytest.mark.parametrize(
    ("layer", "check"),
    [
        (DropsBiasInGram, lambda case: c.check_gram(case, NUMPY, "full")),
        (DropsBiasInGram, lambda case: c.check_gram(case, NUMPY, "trace")),
        (DropsBiasInTheLimit, lambda case: c.check_limit(case, "nngp")),
        (DropsBiasInTheLimit, lambda case: c.check_limit(case, "ntk")),
        (DropsBiasInTangent, lambda case: c.check_derivative(case, NUMPY)),
        (DropsBiasInTangent, lambda case: c.check_complex_step(case)),
        (ForgetsScaleInPullback, lambda case: c.check_adjoint(case, NUMPY)),
        (ForgetsScaleInExpand, lambda case: c.check_jacobian(case, NUMPY)),
        (ForgetsWeightInBackward, lambda case: c.check_jacobian(case, NUMPY)),
        (ForgetsWeightInBackward, lambda case: c.check_adjoint(case, NUMPY)),
        (WrongDerivative, lambda case: c.check_derivative(case, NUMPY)),
        (WrongDerivative, lambda case: c.check_complex_step(case)),
        (WrongSlopeInTheLimit, lambda case: c.check_limit(case, "ntk")),
        (WrongValueInTheLimit, lambda case: c.check_limit(case, "nngp")),
        (MixesTheBatch, lambda case: c.check_batches(case, NUMPY)),
        (Widens, lambda case: c.check_home(case, NUMPY_FLOAT32)),
        (WritesIntoItsInput, lambda case: c.check_home(case, NUMPY)),
        (WritesIntoCotangents, lambda case: c.check_nesting(case, NUMPY)),
        (KeepsAStaleAngle, lambda case: c.check_angles(case)),
        (ForgetsItsDegree, lambda case: c.check_signal(case)),
        (WrongDegree, lambda case: c.check_signal(case)),
        (WrongParity, lambda case: c.check_signal(case)),
        (WrongDerivativeOfTheLimit, lambda case: c.check_gradient(case, InfiniteNTK)),
        (ForgetsToRescale, lambda case: c.check_gradient(case, InfiniteNTK)),
        (WrongShape, lambda case: c.check_signal(case)),
        (DropsOneBranch, lambda case: c.check_limit(case, "nngp")),
        (DropsOneBranch, lambda case: c.check_limit(case, "ntk")),
    ],
)
def test_a_broken_layer_is_caught(layer, check):
    with pytest.raises(AssertionError):
        check(broken(layer))


@pytest.mark.parametrize("layer", [nn.Dense, nn.Tanh, nn.ReLU, nn.Identity], ids=lambda layer: layer.__name__)
def test_the_same_network_with_a_sound_layer_passes(layer):
    """So that the broken ones fail for what is broken in them."""
    case = broken(layer)
    c.check_derivative(case, NUMPY)
    c.check_adjoint(case, NUMPY)
    c.check_jacobian(case, NUMPY)
    c.check_gram(case, NUMPY, "full")
    c.check_gram(case, NUMPY, "trace")
    c.check_batches(case, NUMPY)
    c.check_home(case, NUMPY)
    c.check_home(case, NUMPY_FLOAT32)
    for which in ("ntk", "nngp"):
        c.check_limit(case, which)
    if layer is not nn.ReLU:  # its formula takes no complex numbers
        c.check_complex_step(case)


def test_a_wrong_slope_leaves_the_covariance_alone():
    c.check_limit(broken(WrongSlopeInTheLimit), "nngp")
