"""Checks of finite networks: derivatives, Jacobians and kernels."""

import numpy as np

from ntk_array import EmpiricalNTK
from ntk_array._array.namespace import home
from ntk_array.nn.parameters import flatten

from .case import OUTPUTS, Case
from .problem import gram_of, jacobian_rows, moved, placed, problem, subsets


def check_derivative(case: Case, backend) -> None:
    """Output and J v against the host's difference quotient."""
    host, here = problem(case), placed(case, backend)
    backend.close(here.net(here.params, here.x), host.output, factor=100)
    # float64: 1e-10, what the difference quotient is good for; float32: rounding of the forward pass
    change = here.net.jvp(here.params, here.direction, here.x)
    backend.close(change, host.change, factor=1e-10 / backend.eps if backend.dtype_name == "float64" else 200)


def check_complex_step(case: Case) -> None:
    """J v against Im f(theta + i h v) / h, which has no rounding error of a difference."""
    host, h = problem(case), 1e-30
    f, _ = case.net.forward(moved(host.params, host.direction, 1j * h), host.x)
    change = case.net.jvp(host.params, host.direction, host.x)
    np.testing.assert_allclose(change, f.imag / h, rtol=0, atol=1e-14 * np.abs(change).max())


def check_adjoint(case: Case, backend) -> None:
    """<u, J v> = <J^T u, v>."""
    here = placed(case, backend)
    forward = backend.host(here.u * here.net.jvp(here.params, here.direction, here.x)).astype(float)
    pulled = here.net.vjp(here.params, here.x, here.u)
    assert {k: v.shape for k, v in flatten(pulled).items()} == {k: v.shape for k, v in flatten(here.params).items()}
    pairs = zip(flatten(pulled).values(), flatten(here.direction).values(), strict=True)
    back = [backend.host(one).astype(float) * backend.host(two) for one, two in pairs]
    scale = sum(np.abs(b).sum() for b in back)
    backend.close(forward.sum(), np.asarray(sum(b.sum() for b in back)), factor=50, scale=scale)


def check_jacobian(case: Case, backend) -> None:
    """Structure, shapes, and J v."""
    here = placed(case, backend)
    jacobian = flatten(here.net.jacobian(here.params, here.x))
    n, outputs = here.u.shape
    shapes = {name: (n, outputs, *leaf.shape) for name, leaf in flatten(here.params).items()}
    assert {name: tuple(leaf.shape) for name, leaf in jacobian.items()} == shapes
    v = np.concatenate([backend.host(leaf).astype(float).ravel() for leaf in flatten(here.direction).values()])
    change = here.net.jvp(here.params, here.direction, here.x)
    rows = np.concatenate(list(jacobian_rows(here, backend, here.x).values()), axis=2)
    scale = float(np.max(np.abs(rows) @ np.abs(v)))
    backend.close(change, rows @ v, factor=50, scale=scale)


def check_gram(case: Case, backend, outputs: str) -> None:
    """Blocks, diagonals and products of the empirical NTK against J J^T, for subsets of the parameters."""
    here = placed(case, backend)
    all1, all2 = (jacobian_rows(here, backend, x) for x in (here.x, here.x2))
    for trainable, names in subsets(here.params)[: None if outputs == "full" else 2]:
        kernel = EmpiricalNTK(here.net, here.params, outputs, trainable)
        j1, j2 = (np.concatenate([j for name, j in rows.items() if name in names], axis=2) for rows in (all1, all2))
        symmetric, rectangular = gram_of(j1, j1, outputs), gram_of(j1, j2, outputs)
        scale = float(np.max(np.abs(symmetric)))
        # float64: 4e-14 of the largest entry
        backend.close(kernel(here.x), symmetric, factor=200, scale=scale)
        backend.close(kernel(here.x, here.x2), rectangular, factor=200, scale=scale)
        pairs = {"full": "icid->icd", "classwise": "cii->ci"}.get(outputs, "ii->i")
        backend.close(kernel.diag(here.x), np.einsum(pairs, symmetric), factor=200, scale=scale)
        if trainable in (None, "last"):
            _check_products(kernel, here, backend, symmetric, rectangular, scale)


def _check_products(kernel, here, backend, symmetric, rectangular, scale) -> None:
    rng = np.random.default_rng(1)
    formula = {"scalar": "ij,jc->ic", "classwise": "cij,jc->ic", "full": "icjd,jd->ic"}[kernel.kind]
    columns = 2 if kernel.kind == "scalar" else here.u.shape[1]
    v = rng.normal(size=(here.x2.shape[0], columns))
    product = kernel.matvec(here.x, here.x2, backend.array(v))
    backend.close(product, np.einsum(formula, rectangular, v), factor=500, scale=scale)
    v = rng.normal(size=(here.x.shape[0], columns))
    expected = np.einsum(formula, symmetric, v)
    if kernel.kind == "scalar":
        v, expected = v[:, 0], expected[:, 0]
    backend.close(kernel.matvec(here.x, None, backend.array(v)), expected, factor=500, scale=scale)


def check_symmetry(case: Case, backend, outputs: str) -> None:
    """Exactly symmetric, positive semidefinite up to rounding, and the same against a copy."""
    here = placed(case, backend)
    kernel = EmpiricalNTK(here.net, here.params, outputs)
    k = backend.host(kernel(here.x))
    backend.close(kernel(here.x, backend.array(problem(case).x)), k, factor=100)
    if outputs == "full":
        k = k.reshape(k.shape[0] * k.shape[1], -1)
    np.testing.assert_array_equal(k, np.swapaxes(k, -1, -2))
    smallest, largest = np.linalg.eigvalsh(k.astype(float))[..., [0, -1]].T
    assert np.all(smallest >= -100 * backend.eps * largest)


def check_batches(case: Case, backend) -> None:
    """Rows computed by themselves agree with those of the whole batch."""
    here = placed(case, backend)
    rows = [here.x[i : i + 1, ...] for i in range(here.x.shape[0])]
    whole = backend.host(here.net(here.params, here.x))
    backend.close(np.concatenate([backend.host(here.net(here.params, row)) for row in rows]), whole, factor=50)
    kernel = EmpiricalNTK(here.net, here.params)
    whole = backend.host(kernel(here.x))
    parts = [[backend.host(kernel(one, two)) for two in rows] for one in rows]
    backend.close(np.concatenate([np.concatenate(part, axis=2) for part in parts]), whole, factor=100)


def check_home(case: Case, backend) -> None:
    """Every result has the library, dtype and device of the inputs, and the inputs are as they were."""
    here, host = placed(case, backend), problem(case)
    net, params, x, x2, u = here.net, here.params, here.x, here.x2, here.u
    check_at_home(x, net(params, x), net.jvp(params, here.direction, x))
    check_at_home(
        x, *(leaf for tree in (net.vjp(params, x, u), net.init(0, like=x)) for leaf in flatten(tree).values())
    )
    for outputs in OUTPUTS:
        kernel = EmpiricalNTK(net, params, outputs)
        v = u[: x2.shape[0], :]
        check_at_home(x, kernel(x), kernel(x, x2), kernel.diag(x), kernel.matvec(x, x2, v))
    for array, before in ((x, host.x), (x2, host.x2), (u, host.u)):
        np.testing.assert_array_equal(backend.host(array), before.astype(backend.dtype_name))
    for tree, before in ((params, host.params), (here.direction, host.direction)):
        for array, old in zip(flatten(tree).values(), flatten(before).values(), strict=True):
            np.testing.assert_array_equal(backend.host(array), old.astype(backend.dtype_name))


def check_at_home(x, *results) -> None:
    for result in results:
        assert type(result) is type(x)
        assert home(result)[1:] == home(x)[1:]
