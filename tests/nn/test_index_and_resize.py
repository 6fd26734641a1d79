"""Index and Resize: as NumPy and PyTorch do, and errors."""

import numpy as np
import pytest

from ntk_array import InfiniteNNGP, nn


def test_index_is_that_of_numpy(backend, rng):
    x = rng.normal(size=(2, 4, 5, 3))
    for index in (-2, slice(1, None, 2), (slice(None, None, -1), 3), (0, 1)):
        expected = x[(slice(None), *index)] if isinstance(index, tuple) else x[:, index]
        backend.close(nn.Index(index)({}, backend.array(x)), expected, factor=1)


def test_resize_in_known_cases(backend):
    x = np.asarray([0.0, 3.0, 6.0])[None, :, None]
    for method, size, expected in (
        ("nearest", 6, [0, 0, 3, 3, 6, 6]),
        ("nearest", 2, [0, 6]),
        ("linear", 6, [0, 0.75, 2.25, 3.75, 5.25, 6]),
        ("linear", 2, [0.75, 5.25]),
        ("linear", 1, [3]),
    ):
        backend.close(nn.Resize((size,), method)({}, backend.array(x))[0, :, 0], np.asarray(expected, float), factor=4)


def test_resize_as_in_torch(backend, rng):
    if backend.name != "torch":
        pytest.skip("compared with PyTorch on its own arrays")
    x, resize = backend.array(rng.normal(size=(2, 4, 5, 3))), backend.xp.nn.functional.interpolate
    for method, mode in (("nearest", "nearest-exact"), ("linear", "bilinear")):
        expected = resize(x.permute(0, 3, 1, 2), (7, 3), mode=mode).permute(0, 2, 3, 1)
        backend.close(nn.Resize((7, 3), method)({}, x), backend.host(expected), factor=10)


def test_the_limit_on_inputs_is_that_of_their_values(rng):
    x = rng.normal(size=(3, 4, 2))
    net = nn.Sequential(nn.Resize((3,), "linear"), nn.Index(1), nn.Dense(1))
    y = 0.5 * (x[:, 1] + x[:, 2])
    np.testing.assert_allclose(InfiniteNNGP(net)(x), y @ y.T / 2, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Index("a"), TypeError, "index must be"),
        (lambda: nn.Index((0, 0)).init(0, input_shape=(3, 1)), ValueError, "has 2 axes"),
        (lambda: nn.Index(3).init(0, input_shape=(3, 1)), ValueError, "needs the position 3"),
        (lambda: nn.Index(slice(3, None)).init(0, input_shape=(3, 1)), ValueError, "selects nothing"),
        (lambda: nn.Index(0).init(0, input_shape=3), ValueError, "needs inputs with positions"),
        (lambda: nn.Resize((2, 2)).init(0, input_shape=(3, 1)), ValueError, "2 axes of positions"),
        (lambda: nn.Resize((0,)), ValueError, "shape"),
        (lambda: nn.Resize((2,), "cubic"), ValueError, "method"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
