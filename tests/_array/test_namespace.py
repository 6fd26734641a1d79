"""Where arrays live, and the ways across to the host."""

import subprocess
import sys

import numpy as np
import pytest

from ntk_array import nn
from ntk_array._array.namespace import default_dtype, home, is_array, standard_namespace, to_host, true_indices


def test_home_is_that_of_the_array(backend):
    x = backend.array(np.ones((2, 3)))
    place = home(x)
    assert place.dtype == backend.dtype
    made = place.asarray(np.eye(2))
    assert type(made) is type(x)
    assert made.dtype == x.dtype
    assert home(made).device == place.device
    assert place.eps == backend.eps
    np.testing.assert_array_equal(to_host(place.eye(3)), np.eye(3))


def test_arrays_from_the_host_do_not_alias_it(backend):
    place = home(backend.array(np.ones(1)))
    for dtype in (np.float64, np.float32):
        host = np.ones(3, dtype=dtype)
        made = place.asarray(host)
        host[:] = 7.0
        np.testing.assert_array_equal(to_host(made), np.ones(3))


def test_to_host_round_trip(backend):
    host = np.arange(6.0).reshape(2, 3).astype(backend.dtype_name)
    back = to_host(backend.array(host))
    assert type(back) is np.ndarray
    assert back.dtype == host.dtype
    np.testing.assert_array_equal(back, host)
    assert to_host(backend.array(np.asarray([3, 4]))).tolist() == [3, 4]


def test_the_default_dtype_is_the_devices(backend):
    expected = {"torch": "float32"}.get(backend.name, backend.dtype_name)
    xp = standard_namespace(backend.xp)
    assert str(default_dtype(xp, backend.device)).endswith(expected)


def test_what_is_an_array(backend):
    assert is_array(backend.array(np.ones(2)))
    for other in (1.0, [1.0], None, "x"):
        assert not is_array(other)


@pytest.mark.parametrize("other", [None, "numpy", sys, 3], ids=repr)
def test_what_is_not_an_array_library_is_a_type_error(other):
    with pytest.raises(TypeError, match=r"^xp must be an array library such as numpy"):
        standard_namespace(other)


@pytest.mark.session("jax")
def test_jax_without_x64_refuses_float64():
    """In a process of its own: the switch is global."""
    pytest.importorskip("jax", reason="the x64 switch is JAX's")
    code = """
import warnings
import jax.numpy as jnp, numpy as np, ntk_array as ntk
warnings.simplefilter("ignore")  # JAX warns that it truncates
net = ntk.nn.mlp((4,), 1)
try:
    net.init(0, input_shape=(2,), xp=jnp, dtype=jnp.float64)
except ValueError as error:
    print(error)
params = net.init(0, input_shape=(2,), xp=jnp)
print(params[0]["weight"].dtype, ntk.InfiniteNTK(net)(jnp.ones((2, 2))).dtype)
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "made float32 where" in answer
    assert "jax.config.update('jax_enable_x64', True)" in answer
    assert answer.splitlines()[-1] == "float32 float32"


def test_a_network_takes_its_home_from_its_inputs(backend):
    x = backend.array(np.ones((2, 3)))
    for leaf in nn.mlp((4,), 1, bias_std=0.1).init(0, like=x)[0].values():
        assert type(leaf) is type(x)
        assert leaf.dtype == x.dtype
        assert home(leaf).device == home(x).device


def test_true_indices(backend):
    mask = np.asarray([False, True, True, False, True, True, True])
    found = backend.host(true_indices(backend.array(mask)))
    np.testing.assert_array_equal(found[:5], [1, 2, 4, 5, 6])
    assert len(found) == (8 if backend.name == "jax" else 5)
    assert (found[5:] == 0).all()
