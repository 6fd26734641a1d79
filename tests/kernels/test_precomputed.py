"""A matrix as a kernel on row numbers."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import InfiniteNTK, Precomputed, nn
from ntk_array.gram import stored

MATRIX = np.asarray([[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, 0.1], [0.5, 0.2, 2.0, 0.3], [0.0, 0.1, 0.3, 1.0]])


@pytest.mark.parametrize("dtype", [np.int64, np.int8, float])
def test_rows_and_columns_are_picked(backend, dtype):
    kernel = Precomputed(backend.array(MATRIX))
    if np.dtype(dtype).kind == "i" and backend.name == "torch":
        pytest.skip("PyTorch promotes integers to float32, whatever the dtype of the matrix")
    rows, columns = (backend.array(np.asarray(r, dtype=dtype)[:, None]) for r in ([3, 0, 0], [1, 2]))
    backend.close(kernel(rows, columns), MATRIX[np.ix_([3, 0, 0], [1, 2])], factor=1)
    backend.close(kernel(rows), MATRIX[np.ix_([3, 0, 0], [3, 0, 0])], factor=1)
    backend.close(kernel.diag(rows), np.asarray([1.0, 4.0, 4.0]), factor=1)
    assert kernel(rows).dtype == backend.dtype


def test_it_is_a_kernel_like_others(backend, rng):
    kernel = 2 * Precomputed(backend.array(MATRIX)) + Precomputed(backend.array(np.eye(4)))
    rows = backend.array(np.arange(4.0)[:, None])
    v = rng.normal(size=(4, 2))
    backend.close(kernel.matvec(rows, None, backend.array(v)), (2 * MATRIX + np.eye(4)) @ v, factor=20)


def test_a_gram_matrix_computed_elsewhere_comes_back(backend, rng):
    x = backend.array(rng.normal(size=(6, 3)))
    k = InfiniteNTK(nn.mlp((4,), 1))(x)
    rows = backend.array(np.arange(6.0)[:, None])
    np.testing.assert_array_equal(backend.host(Precomputed(k)(rows)), backend.host(k))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2, 2, 2)])
def test_a_gram_matrix_is_square(backend, shape):
    with pytest.raises(ValueError, match=r"^matrix has shape .*; a Gram matrix is \(n, n\)"):
        Precomputed(backend.array(np.ones(shape)))


def test_a_gram_matrix_is_finite_and_symmetric(backend):
    bad = MATRIX.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"^matrix has NaN or infinity in 1 of its 4 rows, first in row 2"):
        Precomputed(backend.array(bad))
    bad[2, 1] = 0.3
    with pytest.raises(ValueError, match=r"^matrix is not symmetric; use \(matrix \+ matrix.T\) / 2"):
        Precomputed(backend.array(bad))
    rounding = MATRIX.copy()
    rounding[2, 1] += 4 * backend.eps
    Precomputed(backend.array(rounding))


@pytest.mark.parametrize("rows", [[[4]], [[-1]], [[0.5]], [[0, 1]], [[[0]]]], ids=repr)
def test_row_numbers_are_checked(rows):
    kernel = Precomputed(MATRIX)
    good, bad = np.asarray([[0.0]]), np.asarray(rows, dtype=float)
    with pytest.raises(
        ValueError, match=r"^x1 must hold row numbers of the matrix, \(N, 1\) of whole numbers 0 \.\. 3"
    ):
        kernel(bad)
    with pytest.raises(ValueError, match=r"^x1 must hold row numbers"):
        kernel.diag(bad)
    if bad.shape[1:] == (1,):
        with pytest.raises(ValueError, match=r"^x2 must hold row numbers"):
            kernel(good, bad)


def test_row_numbers_of_another_library():
    strict = pytest.importorskip("array_api_strict", reason="the second library")
    with pytest.raises(TypeError, match=r"^one call takes arrays of one library"):
        Precomputed(MATRIX)(strict.asarray([[1.0]]))
    with pytest.raises(TypeError, match=r"^matrix is a list, not an array"):
        Precomputed([[1.0]])


# ---- other kinds, and matrices on disk -------------------------------------------------------------------------------


def _matrix(kind):
    """Of 20 inputs and 3 outputs."""
    factor = np.random.default_rng(0).normal(size=(60, 60))
    full = factor @ factor.T
    full = (full + full.T) / 2
    return {"scalar": full[:20, :20], "classwise": np.stack([full[:20, :20], full[20:40, 20:40], np.eye(20)])}.get(
        kind, full
    )


def _stored(kind, path, dtype="float64"):
    known = Precomputed(_matrix(kind).astype(dtype), kind, 3 if kind == "full" else None)
    return ntk.gram.assemble(known, np.arange(20)[:, None], store=path)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("kind", ["scalar", "classwise", "full"])
def test_every_kind_is_picked_and_multiplied(backend, rng, tmp_path, monkeypatch, kind, on_disk):
    """Against NumPy's ways to index a matrix."""
    monkeypatch.setattr(stored, "BLOCK", 24**2)
    matrix = _matrix(kind)
    if on_disk:
        store = _stored(kind, tmp_path / "theta", backend.dtype_name)
        assert len(store.layout) > 1 or kind == "scalar"
        known = Precomputed(store)
    else:
        known = Precomputed(backend.array(matrix), kind, 3 if kind == "full" else None)
    assert (known.kind, known.outputs) == (kind, 1 if kind == "scalar" else 3)
    one, two = [17, 2, 2, 9], [0, 19, 5]
    rows, columns = (backend.array(np.asarray(chosen, dtype=float)[:, None]) for chosen in (one, two))
    pairs = matrix.reshape(20, 3, 20, 3) if kind == "full" else matrix

    def picked(a, b):
        return pairs[a][:, :, b] if kind == "full" else pairs[..., a, :][..., b]

    backend.close(known(rows, columns), picked(one, two), factor=1)
    backend.close(known(rows), picked(one, one), factor=1)
    axes = {"scalar": "ii->i", "classwise": "cii->ci", "full": "icid->icd"}[kind]
    backend.close(known.diag(rows), np.einsum(axes, picked(one, one)), factor=1)
    assert known(rows).dtype == backend.dtype
    v = rng.normal(size=(3, 3))
    product = {"scalar": "ij,jc->ic", "classwise": "cij,jc->ic", "full": "icjd,jd->ic"}[kind]
    backend.close(known.matvec(rows, columns, backend.array(v)), np.einsum(product, picked(one, two), v), factor=100)
    gram = picked(one, two).reshape(12, 9) if kind == "full" else picked(one, two)
    backend.close(ntk.gram.assemble(known, rows, columns), gram, factor=1)


@pytest.mark.host
def test_dynamics_on_a_matrix_on_disk(rng, tmp_path, monkeypatch):
    """Train and test rows together in one matrix, against the kernel itself."""
    monkeypatch.setattr(stored, "BLOCK", 10**2)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=24)
    kernel = InfiniteNTK(nn.mlp((1,), 1, bias_std=0.1))
    rows = np.arange(30.0)[:, None]
    known = Precomputed(ntk.gram.assemble(kernel, x, store=tmp_path / "theta"))
    flows = [
        ntk.dynamics.GradientFlow(k, ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(own[:24]), y))
        for k, own in ((known, rows), (kernel, x))
    ]
    got, expected = (flow.predict(own[24:], t=3.0) for flow, own in zip(flows, (rows, x), strict=True))
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.host
def test_equations_are_solved_from_disk(rng, tmp_path, monkeypatch):
    """By conjugate gradients, which never have the matrix in memory; against LAPACK."""
    from ntk_array.gram.store import Store

    monkeypatch.setattr(stored, "BLOCK", 60**2)
    x = rng.normal(size=(300, 3))
    y, rows = np.sin(x[:, 0]), np.arange(300.0)[:, None]
    kernel = InfiniteNTK(nn.mlp((1,), 1, bias_std=0.1))
    matrix = ntk.solve.KernelMatrix(Precomputed(ntk.gram.assemble(kernel, x, store=tmp_path / "theta")), rows)
    read, part = [], Store.__getitem__
    monkeypatch.setattr(Store, "__getitem__", lambda self, index: read.append(part(self, index)) or read[-1])
    found = ntk.solve.solve(matrix, y, ridge=0.1, solver="conjugate_gradient")
    np.testing.assert_allclose(found.x, np.linalg.solve(kernel(x) + 0.1 * np.eye(300), y), atol=1e-7)
    assert max(values.size for values in read) < 300**2 / 4


@pytest.mark.host
def test_only_the_blocks_that_are_asked_for_are_read(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "BLOCK", 10**2)
    x = rng.normal(size=(30, 3))
    store = ntk.gram.assemble(InfiniteNTK(nn.mlp((1,), 1)), x, store=tmp_path / "theta")
    for name in ("0/0", "1/1", "1/2", "2/2"):
        (store.path / "matrix" / "c" / name).unlink()
    known = Precomputed(store)
    assert known(np.arange(10)[:, None], np.arange(10, 30)[:, None]).shape == (10, 20)
    with pytest.raises(ValueError, match=r"rows 0:10 and columns 0:10 in .* is damaged: its file is missing"):
        known(np.arange(2)[:, None])


@pytest.mark.host
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        (
            {"kind": "classwise"},
            (4, 4),
            r'matrix has shape \(4, 4\); a Gram matrix is \(C, n, n\) for kind="classwise"',
        ),
        ({"kind": "full"}, (4, 4), 'kind="full" needs outputs='),
        ({"kind": "full", "outputs": 3}, (4, 4), r"a Gram matrix is \(n C, n C\), with C = 3"),
        ({"outputs": 2}, (4, 4), "outputs=2 is not that of the matrix"),
        ({"kind": "round"}, (4, 4), "kind must be one of 'scalar', 'classwise', 'full'"),
    ],
)
def test_kinds_and_shapes_agree(options, shape, message):
    with pytest.raises(ValueError, match=message):
        Precomputed(np.ones(shape), **options)


@pytest.mark.host
def test_stores_that_are_no_gram_matrix(tmp_path):
    kernel, x = InfiniteNTK(nn.mlp((1,), 1)), np.eye(3)
    two = ntk.gram.assemble(kernel, x, x, store=tmp_path / "two")
    with pytest.raises(ValueError, match=r"is between two batches; a Gram matrix is assembled with x2=None"):
        Precomputed(two)
    with pytest.raises(ValueError, match="is between two batches and has no diagonal"):
        two.diagonal()
    with pytest.raises(ValueError, match="that of a scalar kernel of 1 outputs, not of a full one of 3"):
        Precomputed(ntk.gram.assemble(kernel, x, store=tmp_path / "one"), kind="full", outputs=3)
    full = Precomputed(_stored("full", tmp_path / "full"))
    with pytest.raises(ValueError, match="v has 2 columns, the kernel has 3 outputs"):
        full.matvec(np.asarray([[0]]), None, np.ones((1, 2)))
