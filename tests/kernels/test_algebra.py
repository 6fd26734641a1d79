"""Sums, products and multiples of kernels."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

RELU = ntk.InfiniteNTK(nn.mlp((1,), 1))
ERF = ntk.InfiniteNNGP(nn.mlp((1,), 1, activation="erf", bias_std=0.5))


def empirical(backend, x, outputs):
    net = nn.mlp((6,), 2, activation="tanh")
    return ntk.EmpiricalNTK(net, net.init(0, like=x), outputs)


@pytest.fixture
def x(backend, rng):
    return backend.array(rng.normal(size=(5, 3)))


@pytest.mark.parametrize("outputs", ["trace", "classwise", "full"])
def test_algebra_is_entry_by_entry(backend, x, outputs):
    one = empirical(backend, x, outputs)
    two = 0.5 * one
    for x2 in (None, x[:2, :]):
        k = backend.host(one(x, x2)).astype(float)
        backend.close(two(x, x2), 0.5 * k, factor=4)
        backend.close((one + two)(x, x2), 1.5 * k, factor=4)
        backend.close((one * two)(x, x2), 0.5 * k * k, factor=4)
    d = backend.host(one.diag(x)).astype(float)
    backend.close((one * two + one).diag(x), 0.5 * d * d + d, factor=8)
    assert (one + two).kind == (one * two).kind == (3 * one).kind == one.kind


@pytest.mark.parametrize("outputs", ["trace", "classwise", "full"])
def test_products_with_vectors_follow_the_block(backend, x, rng, outputs):
    one = empirical(backend, x, outputs)
    kernel = 2.0 * one * one + 3.0 * one
    v = rng.normal(size=(5, 2))
    formula = {"trace": "ij,jc->ic", "classwise": "cij,jc->ic", "full": "icjd,jd->ic"}[outputs]
    k = backend.host(kernel(x)).astype(float)
    backend.close(kernel.matvec(x, None, backend.array(v)), np.einsum(formula, k, v), factor=50, scale=k.max())


def test_different_kernels_of_one_kind(backend, x):
    k = backend.host(RELU(x)) + 2 * backend.host(ERF(x)) * backend.host(empirical(backend, x, "trace")(x))
    kernel = RELU + ERF * 2 * empirical(backend, x, "trace")
    backend.close(kernel(x), k, factor=8)
    got = backend.host(kernel(x))
    np.testing.assert_array_equal(got, got.T)
    assert np.linalg.eigvalsh(got)[0] > -100 * backend.eps * got.max()
    assert kernel(x).dtype == backend.dtype


def test_factors_from_either_side_and_of_any_number_type(x, backend):
    expected = 2 * backend.host(RELU(x))
    for kernel in (2 * RELU, RELU * 2, 2.0 * RELU, RELU * np.float32(2), np.float64(2) * RELU):
        assert isinstance(kernel, ntk.Kernel)
        np.testing.assert_array_equal(backend.host(kernel(x)), expected)
        assert kernel(x).dtype == backend.dtype


@pytest.mark.parametrize(("factor", "error"), [(0, ValueError), (-1.0, ValueError), (np.nan, ValueError)])
def test_factors_are_positive(factor, error):
    with pytest.raises(error, match=r"^the factor of a kernel must be"):
        factor * RELU
    with pytest.raises(error, match=r"^the factor of a kernel must be"):
        RELU * factor


@pytest.mark.parametrize("other", ["2", None, True, [1.0], 1j])
def test_factors_are_numbers(other):
    with pytest.raises(TypeError, match=r"^the factor of a kernel must be a number"):
        RELU * other


@pytest.mark.parametrize("other", [1.0, "k", None, nn.ReLU()], ids=repr)
def test_only_kernels_are_added(other):
    with pytest.raises(TypeError, match=r"^a kernel can be combined with another kernel, not with"):
        RELU + other
    with pytest.raises(TypeError, match=r"^a kernel can be combined with another kernel, not with"):
        other + RELU


def test_what_python_and_numpy_do_with_kernels():
    """``sum`` begins with 0, and NumPy would make an array of kernels of an array times a kernel."""
    x = np.random.default_rng(0).normal(size=(3, 2))
    np.testing.assert_array_equal(sum([RELU, RELU])(x), (RELU + RELU)(x))
    np.testing.assert_array_equal((np.float32(2.0) * RELU)(x), (2.0 * RELU)(x))
    with pytest.raises(TypeError, match=r"^the factor of a kernel must be a number, got array"):
        np.ones(3) * RELU
    with pytest.raises(TypeError, match=r"^a kernel can be combined with another kernel, not with array"):
        np.ones(3) + RELU


@pytest.mark.parametrize(("one", "two"), [("trace", "full"), ("classwise", "full"), ("sum_of_logits", "classwise")])
def test_kernels_of_two_kinds_do_not_combine(backend, x, one, two):
    left, right = empirical(backend, x, one), empirical(backend, x, two)
    message = r'^kernels of one kind can be combined, got .* choose outputs="trace"'
    for combine in (lambda: left + right, lambda: left * right, lambda: RELU + right):
        with pytest.raises(ValueError, match=message):
            combine()


def test_vectors_that_do_not_fit(backend, x):
    for shape in [(4,), (4, 2), (5, 2, 1), ()]:
        with pytest.raises(ValueError, match=r"^v has shape .*; expected \(5,\) or \(5, C\)"):
            RELU.matvec(x, None, backend.array(np.ones(shape)))
    three = backend.array(np.ones((5, 3)))
    for outputs in ("classwise", "full"):
        kernel = empirical(backend, x, outputs)
        for broken in (kernel, kernel + kernel, 2 * kernel):
            with pytest.raises(ValueError, match=r"^v has 3 columns, the kernel has 2 outputs"):
                broken.matvec(x, None, three)


def test_batches_of_different_inputs(backend, x):
    other = backend.array(np.ones((2, 4)))
    for kernel in (RELU, RELU + ERF, 2 * RELU, empirical(backend, x, "trace")):
        with pytest.raises(ValueError, match=r"^x1 and x2 are batches of different inputs: \(5, 3\) and \(2, 4\)"):
            kernel(x, other)
        with pytest.raises(ValueError, match=r"^x1 and x2 are batches of different inputs"):
            kernel.matvec(x, other, backend.array(np.ones(2)))


@pytest.mark.parametrize(
    "combine", [lambda k: k + k, lambda k: k * k, lambda k: 2.0 * k], ids=["sum", "product", "multiple"]
)
def test_inputs_are_validated_by_the_parts(backend, combine):
    kernel = combine(ntk.Precomputed(backend.array(np.eye(3))))
    backend.close(kernel.diag(backend.array(np.asarray([[1.0]]))), np.asarray([float(combine(1.0))]))
    with pytest.raises(ValueError, match=r"whole numbers 0 \.\. 2"):
        kernel(backend.array(np.asarray([[0.5]])))


@pytest.mark.host
def test_kernels_without_hyperparameters_have_none_together():
    fixed = ntk.Precomputed(np.eye(3))
    for kernel in (fixed, fixed + fixed, fixed * fixed, 2.0 * fixed):
        with pytest.raises(TypeError, match="does not depend on hyper-parameters: it has no gradient"):
            kernel.gradient(np.asarray([[0], [1]]), wrt="log_weight_std")
        with pytest.raises(TypeError, match="does not depend on hyper-parameters: it cannot be rescaled"):
            kernel.rescaled(weight_std=2.0)
