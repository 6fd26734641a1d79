"""Checks of the limit of infinite width."""

from functools import cache

import numpy as np

from ntk_array import InfiniteNNGP, InfiniteNTK, MonteCarloNNGP, MonteCarloNTK
from ntk_array.infinite.inputs import Inputs
from ntk_array.infinite.positions import Frame

from .case import Case
from .finite import check_at_home
from .problem import placed, problem, richardson


def check_limit(case: Case, which: str) -> None:
    """Infinite width within 4 standard errors of random networks, the standard error at most 1 % of the kernel.

    Wide networks have a bias of O(1 / width), which is below that at the widths of the table. Fixed seeds.
    """
    x = case.inputs(np.random.default_rng(3), 4)
    x[2:] *= 0.95
    x[3] = -0.95 * x[0]
    if which == "ntk":
        net = case.build(case.width, 8)
        exact, drawn = InfiniteNTK(net), MonteCarloNTK
    else:  # many outputs: they are the samples here
        net = case.build(min(case.width, 512), 256)
        exact, drawn = InfiniteNNGP(net), MonteCarloNNGP
    k = exact(x)
    scale = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    mean, error = drawn(net, 40, 10).estimate(x)
    more = int(40 * (np.max(error / scale) / 0.0085) ** 2) - 40
    if more >= 2:  # a mean of two independent means, by their numbers of draws
        (other, its_error), share = drawn(net, more, 11).estimate(x), more / (40 + more)
        mean = (1.0 - share) * mean + share * other
        error = np.hypot((1.0 - share) * error, share * its_error)
    assert np.max(error / scale) <= 0.01, f"standard error {np.max(error / scale):.4f} of the kernel"
    # the second term: kernels without any randomness, such as that of one dense layer
    excess = np.abs(k - mean) / (4 * error + 1e-12 * scale)
    assert np.max(excess) <= 1, f"{4 * np.max(excess):.1f} standard errors off"


@cache
def infinite_on_host(case: Case) -> tuple[np.ndarray, np.ndarray]:
    host = problem(case)
    both = np.concatenate([host.x, host.x2])
    return case.kernel(case.net)(both), InfiniteNNGP(case.net)(both)


def check_infinite(case: Case, backend) -> None:
    """Infinite-width kernels on a backend: the host's values, exact symmetry, diagonal, semidefinite, home."""
    here, n = placed(case, backend), len(problem(case).x)
    ntk, nngp = infinite_on_host(case)
    cross = case.kernel(case.net)(here.x, here.x2)
    backend.close(cross, ntk[:n, n:], factor=200, scale=ntk.max())
    block = case.kernel(case.net)(here.x)
    # the angle between inputs loses digits near 0 and pi: these are random inputs and up to 3 layers
    backend.close(block, ntk[:n, :n], factor=200)
    diagonal = InfiniteNNGP(case.net).diag(here.x)
    backend.close(diagonal, np.diag(nngp)[:n], factor=50)
    check_at_home(here.x, cross, block, diagonal)
    k = backend.host(block)
    np.testing.assert_array_equal(k, k.T)
    values = np.linalg.eigvalsh(k.astype(float))
    assert values[0] >= -200 * backend.eps * values[-1]


def check_gradient(case: Case, which: type[InfiniteNTK] | type[InfiniteNNGP]) -> None:
    """The derivative of the limit in hyper-parameters, against differences of rescaled kernels, to 1e-8 of the scale;
    rescaling by a factor that is no hyper-parameter changes nothing."""
    kernel, x = which(case.net), problem(case).x
    k = kernel(x)
    for name in ("log_weight_std", "log_bias_std"):
        factor = name.removeprefix("log_")
        if name not in kernel.hyperparameters:
            np.testing.assert_array_equal(kernel.rescaled(**{factor: 2.0})(x), k)
            continue
        expected = richardson(lambda t, factor=factor: kernel.rescaled(**{factor: float(np.exp(t))})(x))
        slope = kernel.gradient(x, wrt=name)[name]
        np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-8 * np.max(np.abs(k)))
        np.testing.assert_array_equal(slope, slope.T)
        if case.noisy:
            continue
        copied = kernel.gradient(x, x.copy(), wrt=name)[name]
        np.testing.assert_allclose(copied, slope, rtol=0, atol=1e-7 * np.max(np.abs(k)))


def check_angles(case: Case) -> None:
    """At every place the angle that travels is that of the covariances, or there is none."""
    x = case.inputs(np.random.default_rng(5), 6)
    one, two = Inputs.of(x[:3]), Inputs.of(1.7 * x[3:])
    program = case.kernel(case.net).program(case.shape).fitted(Inputs.of(np.concatenate([x, 1.7 * x])), {})
    walks = [program.walk(batch, ntk=case.ntk).rows for batch in (one, two)]
    for place in range(len(program.steps) + 1):
        upto = program.upto(place)
        sine, k12 = (upto.run(program.between(one, two, ntk=case.ntk), *walks, read) for read in ("sine", "k12"))
        if sine is not None:
            count = len(program.signals[place].shape) - 1
            frame = Frame(count, count > 0 and sine.ndim == 2 * count + 2)
            row, column = frame.row(walks[0][place].variance), frame.column(walks[1][place].variance)
            # A zero row, such as padding, has no angle.
            known = row * column > 0
            squares = sine**2 + k12**2 / np.where(known, row * column, 1.0)
            np.testing.assert_allclose(squares[known], 1.0, rtol=0, atol=1e-10)


def check_tables(case: Case) -> None:
    """Unequal norms, and parts of a batch, whose tables have other ranges: the same kernel."""
    kernel = case.kernel(case.net)
    x = case.inputs(np.random.default_rng(6), 5)
    x = x * np.geomspace(0.8, 1.25, 5).reshape(-1, *[1] * len(case.shape))
    whole, error = kernel(x), kernel.quadrature_error(x)
    assert error < 1e-9
    scale = np.sqrt(np.outer(np.diag(whole), np.diag(whole)))
    rows = slice(0, 2) if case.noisy else slice(1, 3)  # the second has an input in common with the columns
    part = kernel(x[rows], x[2:4])
    assert np.max(np.abs(part - whole[rows, 2:4]) / scale[rows, 2:4]) < 1e-12 + 10 * error
    np.testing.assert_allclose(np.diag(whole), kernel.diag(x), rtol=4e-15)
    if not case.noisy:
        np.testing.assert_allclose(kernel(x, x.copy()), whole, rtol=0, atol=1e-7 * np.max(whole))
