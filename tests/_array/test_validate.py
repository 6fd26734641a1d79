"""What bad input gets: the right error, naming the argument and what to do."""

import numpy as np
import pytest

from ntk_array import InfiniteNTK, nn
from ntk_array._array.namespace import home
from ntk_array._array.validate import (
    count,
    inputs,
    momentum_below_one,
    nonnegative,
    one_of,
    positive,
    real_array,
    same_home,
    targets,
    time_points,
)

KERNEL = InfiniteNTK(nn.mlp((4,), 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_inputs_name_the_first_bad_row(backend, bad):
    host = np.ones((6, 3))
    host[2, 1] = host[4, 0] = host[4, 2] = bad
    with pytest.raises(ValueError, match=r"^X has NaN or infinity in 2 of its 6 rows, first in row 2;"):
        inputs("X", backend.array(host))
    with pytest.raises(ValueError, match=r"^x2 has NaN or infinity in 2 of its 6 rows, first in row 2;"):
        KERNEL(backend.array(np.ones((2, 3))), backend.array(host))


def test_nonfinite_targets_name_the_first_bad_row(backend):
    host = np.ones(5)
    host[3] = np.nan
    with pytest.raises(ValueError, match=r"^y has NaN or infinity in 1 of its 5 rows, first in row 3;"):
        targets("y", backend.array(host), backend.array(np.ones((5, 1))))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_inputs_need_two_axes(backend, shape):
    with pytest.raises(ValueError, match=r"^x1 has shape \(3?,?\); inputs are \(N, features\).*x1\[:, None\]"):
        KERNEL(backend.array(np.ones(shape)))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_empty_inputs_are_refused(backend, shape):
    with pytest.raises(ValueError, match=r"^x1 is empty: its shape is"):
        KERNEL(backend.array(np.ones(shape)))


def test_targets_fit_the_inputs(backend):
    for shape in [(4,), (5, 0), (5, 1, 1), ()]:
        with pytest.raises(ValueError, match=r"^y has shape .* expected \(5,\) or \(5, C\)"):
            targets("y", backend.array(np.ones(shape)), backend.array(np.ones((5, 1))))
    for shape in [(5,), (5, 2)]:
        assert targets("y", backend.array(np.ones(shape)), backend.array(np.ones((5, 1)))).shape == shape


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 2), dtype=complex), "X has dtype complex128"),
        (np.asarray([[1.0, None]], dtype=object), "X has dtype object"),
        (np.asarray([["1", "2"]]), "X has dtype <U1"),
        (np.asarray([["2020-01-01"]], dtype="datetime64[D]"), "X has dtype datetime64"),
        (np.ones((2, 2), dtype=np.float16), "X has dtype float16; kernels need float32 or float64"),
        (np.ma.masked_array(np.ones((2, 2)), mask=np.eye(2)), r"X is a masked array; .*X\.filled\(0\.0\)"),
        ([[1.0, 2.0]], "X is a list, not an array"),
        (((1.0, 2.0),), "X is a tuple, not an array"),
        (3.0, "X is a float, not an array"),
        (None, "X is a NoneType, not an array"),
        ("text", "X is a str, not an array"),
    ],
    ids=lambda value: (getattr(value, "dtype", None) and str(value.dtype)) or None,
)
def test_what_is_not_a_real_array_is_a_type_error(x, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        inputs("X", x)
    with pytest.raises(TypeError, match=message.replace("X", "x1")):
        KERNEL(x)


def test_complex_arrays_of_every_library_are_refused(backend):
    if backend.dtype_name == "float32":
        x = backend.xp.zeros((2, 2), dtype=backend.xp.complex64, device=backend.device)
    else:
        x = backend.array(np.ones((2, 2), dtype=complex))
    with pytest.raises(TypeError, match=r"^x has dtype .*complex"):
        real_array("x", x)


@pytest.mark.parametrize("name", ["int8", "uint8", "int32", "int64", "bool"])
def test_integers_and_booleans_are_promoted_before_any_product(backend, name):
    """The products of 100 with itself overflow int8 and uint8."""
    host = np.asarray([[100, 3], [1, 0], [0, 90]]).astype(name)
    x = backend.array(host)
    promoted = real_array("x", x)
    assert home(promoted).xp.isdtype(promoted.dtype, "real floating")
    # PyTorch promotes to its default, float32
    scale = 100 * float(np.finfo(np.float32).eps) / backend.eps if backend.name == "torch" else 100
    backend.close(KERNEL(x), KERNEL(host.astype(np.float64)), factor=scale)
    assert backend.host(KERNEL(x))[0, 0] > 0


def test_promotion_takes_the_widest_default_of_the_device(backend):
    expected = {"torch": "float32"}.get(backend.name, backend.dtype_name)
    assert str(real_array("x", backend.array(np.ones((2, 2), dtype=np.int64))).dtype).endswith(expected)


def test_floats_pass_untouched(backend):
    x = backend.array(np.ones((2, 3)))
    assert real_array("x", x).dtype == backend.dtype
    if backend.name != "torch":  # detach makes a new torch.Tensor around the same memory
        assert real_array("x", x) is x


def test_two_libraries_in_one_call_are_a_type_error():
    strict = pytest.importorskip("array_api_strict", reason="the second library")
    with pytest.raises(TypeError, match=r"^one call takes arrays of one library, got array_api_strict.*numpy\.ndarray"):
        KERNEL(np.ones((2, 2)), strict.ones((2, 2)))


@pytest.mark.session("torch")
def test_numpy_and_torch_in_one_call_are_a_type_error():
    torch = pytest.importorskip("torch", reason="the second library")
    with pytest.raises(TypeError, match=r"^one call takes arrays of one library, got numpy\.ndarray, torch\.Tensor"):
        KERNEL(np.ones((2, 2)), torch.ones((2, 2)))
    net = nn.mlp((4,), 1)
    params = net.init(0, input_shape=(2,))
    with pytest.raises(TypeError, match="one library"):
        net(params, torch.ones((2, 2), dtype=torch.float64))


def test_two_dtypes_in_one_call_are_a_type_error(backend):
    if backend.dtype_name == "float32":
        pytest.skip("this device has one floating-point dtype only")
    x = backend.array(np.ones((2, 2)))
    narrow = backend.xp.asarray(x, dtype=backend.xp.float32)
    with pytest.raises(TypeError, match=r"^x1 has dtype .*float64, x2 has .*float32; cast one"):
        KERNEL(x, narrow)


def test_two_devices_in_one_call_are_a_value_error():
    strict = pytest.importorskip("array_api_strict", reason="a library with several devices on any machine")
    one, two = (strict.ones((2, 2), device=strict.Device(name)) for name in ("device1", "device2"))
    with pytest.raises(ValueError, match=r"^x1 is on device .*device1.*, x2 on .*device2"):
        same_home(x1=one, x2=two)


@pytest.mark.session("torch")
def test_torch_inputs_that_require_gradients_are_refused_while_gradients_are_recorded():
    torch = pytest.importorskip("torch", reason="tensors that record gradients")
    x = torch.ones((2, 3), dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match=r"^x1 requires a gradient, .* give x1.detach\(\)$"):
        KERNEL.diag(x)
    with torch.no_grad():
        assert not KERNEL.diag(x).requires_grad


def test_dask_arrays_are_refused():
    dask_array = pytest.importorskip("dask.array", reason="arrays without values")
    with pytest.raises(TypeError, match=r"^x1 is a dask array, which has no values yet; call its compute\(\) first"):
        KERNEL(dask_array.ones((2, 3)))


@pytest.mark.parametrize("rows", [3, 400])
def test_long_doubles_are_refused_at_every_size(rows):
    if np.finfo(np.longdouble).bits == 64:
        pytest.skip("long doubles are doubles here")
    with pytest.raises(TypeError, match=r"^x1 has dtype .*; kernels need float32 or float64: convert x1 first"):
        KERNEL(np.ones((rows, 2), dtype=np.longdouble))


def test_arrays_of_another_byte_order_are_read():
    x = np.random.default_rng(0).normal(size=(400, 3))
    foreign = x.astype(x.dtype.newbyteorder())
    np.testing.assert_array_equal(KERNEL(foreign), KERNEL(x))
    np.testing.assert_array_equal(KERNEL(x, foreign[:5]), KERNEL(x, x[:5]))


def test_integer_targets_take_the_dtype_of_the_inputs(backend):
    x, y = backend.array(np.ones((3, 1))), backend.array(np.asarray([1, 2, 3]))
    assert targets("y", y, x).dtype == x.dtype


@pytest.mark.session("jax")
def test_jax_tracers_are_refused():
    jax = pytest.importorskip("jax", reason="tracers")
    with pytest.raises(TypeError, match=r"^x1 is a JAX tracer; call ntk_array outside jax.jit"):
        jax.jit(KERNEL)(jax.numpy.ones((2, 2)))


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "3", None, np.float64(3)])
def test_counts_are_whole_numbers_from_one(bad):
    with pytest.raises(ValueError, match=r"^width must be a whole number of at least 1, got"):
        count("width", bad)


def test_counts_become_python_integers():
    assert type(count("width", np.int32(3))) is int


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (-1.0, ValueError, "finite and not negative"),
        (np.nan, ValueError, "finite and not negative"),
        (np.inf, ValueError, "finite and not negative"),
        ("1", TypeError, "must be a number"),
        (None, TypeError, "must be a number"),
        (True, TypeError, "must be a number"),
        (1j, TypeError, "must be a number"),
        (np.ones(1), TypeError, "must be a number"),
    ],
    ids=repr,
)
def test_hyperparameters_are_finite_numbers(bad, error, message):
    for check in (nonnegative, positive):
        with pytest.raises(error, match=f"^sigma must be|^sigma {message}"):
            check("sigma", bad)
    with pytest.raises(error, match=message):
        nonnegative("sigma", bad)


def test_positive_refuses_zero_and_nonnegative_takes_it():
    assert nonnegative("sigma", 0) == 0.0
    with pytest.raises(ValueError, match=r"^sigma must be positive, got 0"):
        positive("sigma", 0)


def test_hyperparameters_become_python_floats():
    """A NumPy scalar would turn float32 arrays into float64."""
    for value in (2, np.float32(2), np.float64(2), np.int8(2)):
        assert type(positive("sigma", value)) is float


def test_words_are_listed_in_the_error():
    assert one_of("kind", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match=r"^kind must be one of 'a', 'b', got 'c'"):
        one_of("kind", "c", ("a", "b"))


def test_momentum_is_below_one():
    assert momentum_below_one(0.9) == 0.9
    with pytest.raises(ValueError, match=r"^momentum must be below 1, got 1\.0"):
        momentum_below_one(1.0)


def test_times_go_from_zero_to_infinity(backend):
    assert time_points(2).tolist() == 2.0
    assert time_points([0, np.inf]).tolist() == [0.0, np.inf]
    np.testing.assert_array_equal(time_points(backend.array([0.5, 1.0])), [0.5, 1.0])
    for bad in (-1.0, [0.0, np.nan], [], [[1.0]]):
        with pytest.raises(ValueError, match=r"^t must be a time or a sequence of times, from 0 to inf, got"):
            time_points(bad)
