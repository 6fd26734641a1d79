"""Dual activations, closed forms and tables alike, against mpmath: see dual_oracle and make_dual_reference."""

import json
import math
from functools import cache, partial
from pathlib import Path

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.namespace import standard_namespace
from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.dual import DirectDual, DualTable, std_range

from .dual_cases import ACTIVATIONS, CLOSED_FORM, NUMERICAL, hard_tanh
from .dual_oracle import ORACLES, expectations, variance

REFERENCE = json.loads(Path(__file__).with_name("dual_reference.json").read_text())
ACCURACY = 1e-12  # in float64, relative to sqrt(K(x,x) K(x',x'))
SOME_STDS = {  # of steep functions, whose tables over a wide range of norms are slow to make
    "tanh": ((1.0, 1.0), (0.3, 2.5), (2.5, 0.3), (2.5, 2.5)),
    "tanh_8x": ((1.0, 1.0),),  # see the tests of their own for the others
}


def state_at(array, s1, s2, t):
    """Pairs of inputs with these standard deviations and angles."""
    k11, k22, k12 = (array(np.asarray(k)) for k in (s1 * s1, s2 * s2, s1 * s2 * np.cos(t)))
    return Covariance(k12, k11, k22)


def evaluate(phi, array, s1, s2, t):
    state = state_at(array, s1, s2, t)
    fitted = phi.fitted(*std_range(state.k11, state.k22))
    return fitted.dual(state), fitted.quadrature_error


def reference(name, stds=None):
    """The points and expectations of one activation, as arrays."""
    rows = [r for r in REFERENCE["duals"] if r["activation"] == name and (stds is None or (r["s1"], r["s2"]) in stds)]
    keys = ("s1", "s2", "t", "value", "slope", "value_scale", "slope_scale")
    return {key: np.asarray([float(row[key]) for row in rows]) for key in keys}


@cache
def measured(name):
    """Errors of value and slope at all points, with the scales they are relative to, and the estimate."""
    r = reference(name, SOME_STDS.get(name))
    dual, estimate = evaluate(ACTIVATIONS[name], np.asarray, r["s1"], r["s2"], r["t"])
    assert len(r["t"]) >= 6
    errors = (np.abs(dual.value - r["value"]), np.abs(dual.slope - r["slope"]))
    return errors, (r["value_scale"], r["slope_scale"]), estimate


@pytest.mark.host
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_twelve_digits(name):
    errors, scales, _ = measured(name)
    for error, scale in zip(errors, scales, strict=True):
        assert np.max(error / scale) < ACCURACY


@pytest.mark.host
@pytest.mark.parametrize("name", NUMERICAL)
def test_the_stated_error_is_honest(name):
    """It is relative to the largest value in the range."""
    errors, scales, estimate = measured(name)
    for error, scale in zip(errors, scales, strict=True):
        assert np.max(error) / np.max(scale) <= max(10 * estimate, 1e-13)
    assert 0 < estimate < 1e-12


@pytest.mark.host
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_closed_forms_state_no_error(name):
    assert measured(name)[2] == 0.0


@pytest.mark.host
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_against_mpmath_itself(name):
    """A point that is not in the table of references."""
    s1, s2, t = (0.2, 0.25, 2.0) if name == "tanh_8x" else (0.7, 1.1, 0.9)
    value, slope = (float(e) for e in expectations(ORACLES[name], s1, s2, t))
    (one, one_slope), (two, two_slope) = variance(ORACLES[name], s1), variance(ORACLES[name], s2)
    dual, _ = evaluate(ACTIVATIONS[name], np.asarray, *(np.asarray([p]) for p in (s1, s2, t)))
    assert abs(float(dual.value[0]) - value) < ACCURACY * math.sqrt(one * two)
    assert abs(float(dual.slope[0]) - slope) < ACCURACY * math.sqrt(one_slope * two_slope)


@pytest.mark.host
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_small_variances(name):
    s1, s2, t = 1e-3, 2e-3, 0.9
    value, slope = (float(e) for e in expectations(ORACLES[name], s1, s2, t))
    (one, one_slope), (two, two_slope) = variance(ORACLES[name], s1), variance(ORACLES[name], s2)
    dual, _ = evaluate(ACTIVATIONS[name], np.asarray, *(np.asarray([p]) for p in (s1, s2, t)))
    assert abs(float(dual.value[0]) - value) < ACCURACY * math.sqrt(one * two)
    assert abs(float(dual.slope[0]) - slope) < ACCURACY * math.sqrt(one_slope * two_slope)


@pytest.mark.host
def test_a_steep_function_of_inputs_of_unequal_norm():
    """The slowest table of all, made once: it must be symmetric as well."""
    r = reference("tanh_8x", ((0.3, 1.0), (1.0, 0.3)))
    state = state_at(np.asarray, r["s1"], r["s2"], r["t"])
    fitted = ACTIVATIONS["tanh_8x"].fitted(*std_range(state.k11, state.k22))
    for pairs in (state, state.to(k11=state.k22, k22=state.k11)):
        value, slope, _ = fitted.dual(pairs)
        assert np.max(np.abs(value - r["value"]) / r["value_scale"]) < ACCURACY
        assert np.max(np.abs(slope - r["slope"]) / r["slope_scale"]) < ACCURACY
    assert np.max(np.abs(slope - r["slope"])) / np.max(r["slope_scale"]) <= max(10 * fitted.quadrature_error, 1e-13)


@pytest.mark.host
def test_large_variances():
    r = reference("tanh", ((5.0, 5.0),))
    (value, slope, _), _ = evaluate(ACTIVATIONS["tanh"], np.asarray, r["s1"], r["s2"], r["t"])
    assert np.max(np.abs(value - r["value"]) / r["value_scale"]) < ACCURACY
    assert np.max(np.abs(slope - r["slope"]) / r["slope_scale"]) < ACCURACY


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_closed_forms_on_every_library(backend, name):
    r = reference(name)
    dual, _ = evaluate(CLOSED_FORM[name], backend.array, r["s1"], r["s2"], r["t"])
    # Rounding of the covariances reaches the angle 0.05 as 20 eps, and sin of small inputs as eps / K.
    assert np.max(np.abs(backend.host(dual.value) - r["value"]) / r["value_scale"]) < 64 * backend.eps
    assert np.max(np.abs(backend.host(dual.slope) - r["slope"]) / r["slope_scale"]) < 64 * backend.eps


@pytest.mark.parametrize("name", ["elu", "hard_tanh", "sigmoid"])
@pytest.mark.parametrize("stds", [((1.0, 1.0),), ((0.3, 2.5), (2.5, 0.3))], ids=["equal", "unequal"])
def test_numerical_duals_on_every_library(backend, name, stds):
    r = reference(name, stds)
    dual, _ = evaluate(NUMERICAL[name], backend.array, r["s1"], r["s2"], r["t"])
    # Tables round relative to their largest value; the angle 0.05 has 20 eps of the covariances.
    backend.close(dual.value, r["value"], factor=64, scale=np.max(r["value_scale"]))
    backend.close(dual.slope, r["slope"], factor=64, scale=np.max(r["slope_scale"]))


@pytest.mark.host
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "tanh_8x"])
def test_symmetry_in_the_standard_deviations(name):
    s1, s2, t = (x.ravel() for x in np.meshgrid([0.4, 0.9, 1.0], [0.5, 0.7], [0.3, 1.8, 2.9]))
    forward, _ = evaluate(ACTIVATIONS[name], np.asarray, s1, s2, t)
    backward, _ = evaluate(ACTIVATIONS[name], np.asarray, s2, s1, t)
    for one, two in zip(forward[:2], backward[:2], strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=2e-14 * np.max(np.abs(one)))


@pytest.mark.host
@pytest.mark.parametrize("name", ["elu", "sigmoid", "hard_tanh"])
def test_blocks_and_pairs_agree(name):
    """The (N1, N2) form of a table is the one of N1 N2 pairs."""
    s1, s2, t = np.asarray([0.5, 1.0, 1.4]), np.asarray([0.6, 0.9]), np.asarray([[0.1, 0.4], [1.2, 2.0], [2.7, 3.1]])
    k11, k22 = (s1**2)[:, None], (s2**2)[None, :]
    k12 = s1[:, None] * s2 * np.cos(t)
    state = Covariance(k12, k11, k22)
    fitted = NUMERICAL[name].fitted(*std_range(k11, k22))
    assert isinstance(fitted.table, DirectDual if name == "hard_tanh" else DualTable)
    one, two = (k.ravel() for k in np.broadcast_arrays(k11, k22))
    of_pairs = fitted.dual(state.to(k12=k12.ravel(), k11=one, k22=two))
    for block, pairs in zip(fitted.dual(state)[:2], of_pairs[:2], strict=True):
        np.testing.assert_allclose(block.ravel(), pairs, rtol=0, atol=1e-14)


@pytest.mark.host
@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh"])
def test_variances_are_second_moments(name):
    std = np.asarray([0.3, 0.6, 1.1])
    got = NUMERICAL[name].dual(Covariance(std**2, std**2, std**2, sine=0.0 * std)).value
    expected = [float(variance(ORACLES[name], s)[0]) for s in std]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("name", NUMERICAL)
def test_coincident_and_opposite_inputs(name):
    """At t = 0 the value and the slope are the second moments of one variable."""
    s = 0.6
    zero, turn = np.asarray([0.0, math.pi]), np.full(2, s)
    dual, _ = evaluate(NUMERICAL[name], np.asarray, turn, turn, zero)
    value, slope = (float(e) for e in variance(ORACLES[name], s))
    assert abs(dual.value[0] - value) < 1e-13 * value
    assert abs(dual.slope[0] - slope) < 1e-13 * slope
    if name in ("tanh", "tanh_8x", "hard_tanh"):  # odd functions with an even derivative
        assert abs(dual.value[1] + value) < 1e-13 * value
        assert abs(dual.slope[1] - slope) < 1e-13 * slope


# ---- kinks -----------------------------------------------------------------------------------------------------------

CIRCLE = np.stack([np.cos([0.0, 0.3, 1.5, 2.6]), np.sin([0.0, 0.3, 1.5, 2.6])], axis=1)


def shifted_relu(*breakpoints):
    return ntk.nn.Elementwise(
        lambda xp, x: xp.clip(x - 0.5, min=0.0),
        lambda xp, x: xp.where(x > 0.5, xp.ones_like(x), xp.zeros_like(x)),
        breakpoints,
        "shifted_relu",
    )


@pytest.mark.host
@pytest.mark.parametrize("make", [hard_tanh, shifted_relu])
def test_an_undeclared_kink_warns(make):
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation=make()))
    with pytest.warns(RuntimeWarning, match="estimated relative error .* a kink of the function that is not in breakp"):
        assert kernel.quadrature_error(CIRCLE) > 1e-9


@pytest.mark.host
@pytest.mark.parametrize("phi", [hard_tanh(-1.0, 1.0), shifted_relu(0.5)], ids=repr)
def test_declared_kinks_do_not_warn(phi):
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation=phi))
    assert np.isfinite(kernel(CIRCLE)).all()  # warnings are errors
    assert 0 < kernel.quadrature_error(CIRCLE) < 1e-12


@pytest.mark.host
def test_the_error_of_an_undeclared_kink_is_stated():
    r = reference("hard_tanh", ((1.0, 1.0),))
    with pytest.warns(RuntimeWarning, match="kink"):
        dual, estimate = evaluate(hard_tanh(), np.asarray, r["s1"], r["s2"], r["t"])
    worst = max(
        np.max(np.abs(part - r[key])) / np.max(r[f"{key}_scale"])
        for key, part in zip(("value", "slope"), dual[:2], strict=True)
    )
    assert 1e-9 < worst <= 10 * estimate


@pytest.mark.host
def test_closed_forms_have_no_quadrature_error():
    assert ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="gelu")).quadrature_error(CIRCLE) == 0.0


# ---- whole networks --------------------------------------------------------------------------------------------------

NETWORKS = sorted(
    {tuple(r[k] for k in ("activation", "weight_std", "bias_std", "depth")) for r in REFERENCE["networks"]}
)


def network_reference(setting):
    keys = ("activation", "weight_std", "bias_std", "depth")
    rows = [r for r in REFERENCE["networks"] if tuple(r[k] for k in keys) == setting]
    i, j = np.asarray([[r["i"], r["j"]] for r in rows]).T
    return i, j, {key: np.asarray([float(r[key]) for r in rows]) for key in ("nngp", "ntk", "nngp_scale", "ntk_scale")}


def network_of(setting):
    name, weight_std, bias_std, depth = setting
    hidden = (1,) * depth
    return ntk.nn.mlp(hidden, 1, activation=ACTIVATIONS[name], weight_std=weight_std, bias_std=bias_std)


@pytest.mark.host
@pytest.mark.parametrize("setting", NETWORKS, ids=str)
def test_whole_networks(setting):
    """NNGP and NTK of inputs of unequal norm against the recursion in mpmath, the diagonal included."""
    i, j, r = network_reference(setting)
    x = np.asarray(REFERENCE["inputs"])
    if setting[1] == 5.0:  # without the input of a fifth of the norm, with which this table is slow to make
        x = x[:3]
        r = {key: part[(i < 3) & (j < 3)] for key, part in r.items()}
        i, j = i[(i < 3) & (j < 3)], j[(i < 3) & (j < 3)]
    net = network_of(setting)
    for key, kernel in (("nngp", ntk.InfiniteNNGP(net)), ("ntk", ntk.InfiniteNTK(net))):
        assert np.max(np.abs(kernel.block(x, None)[i, j] - r[key]) / r[f"{key}_scale"]) < ACCURACY


@pytest.mark.parametrize("name", ["relu", "elu"])
def test_whole_networks_on_every_library(backend, name):
    (setting,) = (s for s in NETWORKS if s[0] == name)
    i, j, r = network_reference(setting)
    x, net = backend.array(REFERENCE["inputs"]), network_of(setting)
    for key, kernel in (("nngp", ntk.InfiniteNNGP(net)), ("ntk", ntk.InfiniteNTK(net))):
        block = backend.host(kernel(x))
        assert np.max(np.abs(block[i, j] - r[key]) / r[f"{key}_scale"]) < 200 * backend.eps
        assert (block == block.T).all()


def elementwise(f, derivative, **options):
    return nn.Elementwise(lambda xp, x: f(x), lambda xp, x: derivative(x), **options)


def power(p):
    return elementwise(lambda x: x**p, lambda x: p * x ** (p - 1), name=f"x^{p}")


def double_factorial(n):
    return math.prod(range(n, 0, -2))


@pytest.mark.host
@pytest.mark.parametrize("std", [0.5, 1.0, 2.0, 4.0, 5.0])
def test_the_error_of_functions_that_grow_is_stated(std):
    """E[exp(u) exp(v)] = exp((k11 + k22) / 2 + k12), at standard deviations where the tail decides."""
    kernel = ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1, std), elementwise(np.exp, np.exp), nn.Dense(1)))
    k = std**2 * CIRCLE @ CIRCLE.T / 2
    right = np.exp(std**2 / 2 + k)
    error = np.max(np.abs(kernel(CIRCLE) - right)) / np.max(right)
    assert error <= kernel.quadrature_error(CIRCLE) < 1e-12


@pytest.mark.host
@pytest.mark.parametrize("p", [4, 8, 12])
def test_the_error_of_powers_is_stated(p):
    """E[u^(2 p)] = (2 p - 1)!! and E[u^p] = (p - 1)!! at a standard deviation of 1."""
    x = np.asarray([[1.0, 1.0], [1.0, -1.0]])
    kernel = ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1), power(p), nn.Dense(1)))
    together, apart = double_factorial(2 * p - 1), double_factorial(p - 1) ** 2
    right = np.asarray([[together, apart], [apart, together]])
    assert np.max(np.abs(kernel(x) - right)) / together <= kernel.quadrature_error(x) < 1e-12


@pytest.mark.host
def test_errors_of_layers_add_up():
    """Tables of a function whose dual is known in closed form, three layers deep."""
    gelu, host = nn.GELU(), standard_namespace(np)
    phi = elementwise(partial(gelu.function, host), partial(gelu.derivative, host))
    table, exact = (
        ntk.InfiniteNTK(nn.mlp((1, 1, 1), 1, activation=activation, weight_std=1.5)) for activation in (phi, gelu)
    )
    x = np.random.default_rng(0).normal(size=(6, 3))
    scale = np.sqrt(exact.diag(x))
    assert np.max(np.abs(table(x) - exact(x)) / np.outer(scale, scale)) <= table.quadrature_error(x) < 1e-11


@pytest.mark.host
@pytest.mark.parametrize("std", [200.0, 1000.0])
def test_saturating_functions_of_raw_data(std):
    """tanh at an angle of 0 and pi / 2, where the expectations are integrals in one variable."""

    def mean(f):
        with mpmath.workdps(30):
            panels = [0, 1, 3, 8, 20, 60, std, 3 * std, 6 * std, 12 * std]
            half = mpmath.quad(lambda u: f(u) * mpmath.exp(-((u / std) ** 2) / 2), panels)
            return float(2 * half / (std * mpmath.sqrt(2 * mpmath.pi)))

    stds, angles = np.full(2, std), np.asarray([0.0, math.pi / 2])
    dual, error = evaluate(ACTIVATIONS["tanh"], np.asarray, stds, stds, angles)
    value, slope = mean(lambda u: mpmath.tanh(u) ** 2), mean(lambda u: mpmath.sech(u) ** 4)
    assert error < 1e-9
    assert np.max(np.abs(dual.value - [value, 0.0])) / value <= error
    assert np.max(np.abs(dual.slope - [slope, mean(lambda u: mpmath.sech(u) ** 2) ** 2])) / slope <= error


@pytest.mark.host
@pytest.mark.parametrize(
    ("f", "derivative", "message"),
    [
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), r"the function is NaN or infinite at x = -.*: an activation must be"),
        (np.sin, lambda x: np.where(x > 2.0, np.nan, np.cos(x)), r"its derivative is NaN or infinite at x = 2"),
        (lambda x: np.exp(x * x), lambda x: 2 * x * np.exp(x * x), "grows too fast: its Gaussian expectations at"),
        (lambda x: x[:3], np.ones_like, r"the function makes shape \(3,\) of \(3040,\): an activation acts on each"),
    ],
    ids=["sqrt", "nan", "exp(x^2)", "shape"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_without_expectations_are_refused(f, derivative, message):
    with pytest.raises(ValueError, match=message):
        ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1), elementwise(f, derivative), nn.Dense(1)))(CIRCLE)


@pytest.mark.host
def test_a_fast_oscillation_is_integrated():
    """sin(6 u) is sin at inputs six times as large; of unequal norm, so that the table has three variables."""
    w, x = 6.0, np.asarray([[1.0, 0.3], [0.2, -0.9], [-1.0, 0.5]])
    wave = elementwise(lambda u: np.sin(w * u), lambda u: w * np.cos(w * u))
    kernel, exact = (ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1), phi, nn.Dense(1))) for phi in (wave, nn.Sin()))
    assert np.max(np.abs(kernel(x) - exact(w * x))) / 0.5 <= kernel.quadrature_error(x) < 1e-10


@pytest.mark.host
def test_standard_deviations_beyond_all_tables_are_refused():
    with pytest.raises(
        ValueError, match=r"standard deviations up to .*e\+\d+ are too large to integrate .*: scale the inputs"
    ):
        ntk.InfiniteNTK(nn.mlp((1,), 1, activation="tanh"))(1e100 * CIRCLE)
