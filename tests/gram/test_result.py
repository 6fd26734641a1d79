"""Arrays that are filled tile by tile."""

import numpy as np
import pytest

from ntk_array._array.namespace import home
from ntk_array.gram.result import Result


def test_stacks_of_matrices(backend):
    there = home(backend.array(np.ones(1)))
    host = np.random.default_rng(0).normal(size=(2, 5, 7))
    for expected in (host, host[0]):
        result = Result(there, expected.shape, None)
        for rows in (slice(0, 3), slice(3, 5)):
            for columns in (slice(0, 4), slice(4, 7)):
                result.write(backend.array(expected[..., rows, columns]), rows.start, columns.start)
        backend.close(result.array, expected, factor=1)
        assert home(result.array) == there


@pytest.mark.session("jax")
def test_jax_takes_over_the_buffer():
    jax = pytest.importorskip("jax")
    result = Result(home(jax.numpy.ones(1)), (40, 40), None)
    before = result.array
    address = before.unsafe_buffer_pointer()
    result.write(jax.numpy.ones((2, 3)), 5, 6)
    assert result.array.unsafe_buffer_pointer() == address
    assert before.is_deleted()


@pytest.mark.session("torch")
def test_torch_keeps_no_graph():
    torch = pytest.importorskip("torch")
    weight = torch.ones(1, requires_grad=True)
    result = Result(home(weight), (2, 2), None)
    result.write(weight * torch.ones(2, 2), 0, 0)
    assert not result.array.requires_grad


def test_an_array_of_the_user(backend):
    there = home(backend.array(np.ones(1)))
    out = backend.zeros((2, 3))
    if backend.name == "jax":
        with pytest.raises(TypeError, match=r"^JAX arrays cannot be written in place: leave out=None"):
            Result(there, (2, 3), out)
        return
    assert Result(there, (2, 3), out).array is out
    with pytest.raises(ValueError, match=r"^out must have shape \(3, 2\), dtype .*; it has shape \(2, 3\), dtype"):
        Result(there, (3, 2), out)
    other = backend.xp.float64 if backend.dtype_name == "float32" else backend.xp.float32
    if backend.name != "strict-float32":
        with pytest.raises(ValueError, match=r"^out must have shape \(2, 3\), dtype .*float64"):
            Result(there, (2, 3), backend.zeros((2, 3), dtype=other))
    if backend.name.startswith("strict"):
        with pytest.raises(ValueError, match=r" on .*; it has shape .* on .*CPU_DEVICE"):
            Result(there, (2, 3), backend.xp.zeros((2, 3), dtype=there.dtype))
    if not backend.name.startswith("numpy"):
        with pytest.raises(ValueError, match=r"^out must .*; it has .* and is of array_api_compat.numpy on cpu"):
            Result(there, (2, 3), np.zeros((2, 3), dtype=backend.dtype_name))
    with pytest.raises(TypeError, match=r"^out must be an array of shape \(2, 3\) and dtype .*, got a list"):
        Result(there, (2, 3), [[0.0] * 3] * 2)


def test_an_array_that_cannot_be_written_to():
    out = np.zeros((2, 3))
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out is read-only"):
        Result(home(np.ones(1)), (2, 3), out)
