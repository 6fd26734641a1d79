"""Padding in numbers, transposed and local convolutions: their formulas, and errors."""

import numpy as np
import pytest

from ntk_array import InfiniteNNGP, InfiniteNTK, nn


def test_transposed_convolution_element_by_element(backend, rng):
    """Each input position adds its products to the output positions that the kernel reaches from it."""
    layer = nn.ConvTranspose(2, (3, 2), stride=(2, 1), padding="valid", dilation=(1, 2), weight_std=1.5, bias_std=0.5)
    x, w, b = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(2, 3, 2, 4)), rng.normal(size=2)
    expected = np.zeros((2, 7, 4, 2))
    for p, q, d, e in np.ndindex(3, 2, 3, 2):
        expected[:, 2 * p + d, q + 2 * e] += x[:, p, q] @ w[:, d, e].T
    params = {"weight": backend.array(w), "bias": backend.array(b)}
    backend.close(layer(params, backend.array(x)), 1.5 / np.sqrt(24) * expected + 0.5 * b, factor=20)


@pytest.mark.parametrize("padding", ["same", "circular"])
def test_transposed_convolution_is_the_adjoint_of_convolution(rng, padding):
    """<y, conv(x)> = <conv^T(y), x> for one weight, turned."""
    w = rng.normal(size=(2, 3, 4))  # from 4 channels to 2
    down = nn.Conv(2, (3,), stride=2, padding=padding)
    up = nn.ConvTranspose(4, (3,), stride=2, padding=padding)
    x, y = rng.normal(size=(1, 6, 4)), rng.normal(size=(1, 3, 2))
    forward = np.sum(y * down({"weight": w}, x)) * np.sqrt(3 * 4)
    back = np.sum(up({"weight": w.transpose(2, 1, 0)}, y) * x) * np.sqrt(3 * 2)
    assert abs(forward - back) < 1e-12


def test_as_in_torch(backend, rng):
    if backend.name != "torch":
        pytest.skip("compared with PyTorch on its own arrays")
    x, w = backend.array(rng.normal(size=(2, 4, 3, 2))), backend.array(rng.normal(size=(5, 3, 2, 2)))
    layer = nn.ConvTranspose(5, (3, 2), stride=(2, 1), padding="valid", parameterization="standard")
    functional = backend.xp.nn.functional
    z = functional.conv_transpose2d(x.permute(0, 3, 1, 2), w.permute(3, 0, 1, 2), stride=(2, 1))
    backend.close(layer({"weight": w}, x), backend.host(z.permute(0, 2, 3, 1)), factor=20)


def test_local_convolution_position_by_position(backend, rng):
    layer = nn.ConvLocal(3, (2,), stride=2, padding="valid", weight_std=1.5, bias_std=0.5)
    x, w, b = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(2, 3))
    expected = np.stack([np.einsum("nec,oec->no", x[:, 2 * p : 2 * p + 2], w[p]) for p in range(2)], axis=1)
    params = {"weight": backend.array(w), "bias": backend.array(b)}
    backend.close(layer(params, backend.array(x)), 1.5 / np.sqrt(8) * expected + 0.5 * b, factor=20)


def test_values_of_a_local_convolution_at_different_positions_are_independent(rng):
    """Their mean over P positions has 1 / P of the mean covariance of the windows."""
    x = rng.normal(size=(3, 4, 2))
    windows = np.stack([x[:, :2], x[:, 1:3], x[:, 2:]], axis=1).reshape(3, 3, -1)
    expected = np.einsum("ipc,jpc->ij", windows, windows) / 4 / 3 / 3
    net = nn.Sequential(nn.ConvLocal(1, (2,), padding="valid"), nn.GlobalAvgPool(), nn.Dense(1))
    np.testing.assert_allclose(InfiniteNNGP(net)(x), expected, rtol=1e-13)


def test_parameters_for_other_positions_are_refused():
    layer = nn.ConvLocal(2, (3,))
    params = layer.init(0, input_shape=(4, 1))
    with pytest.raises(ValueError, match=r"ConvLocal\(2, \(3,\)\) needs parameters of shapes"):
        layer(params, np.ones((1, 5, 1)))


def test_padding_in_numbers(backend, rng):
    """As zeros put around the inputs by hand, before a convolution and before pooling."""
    x, pairs = rng.normal(size=(2, 4, 3, 2)), ((1, 2), (0, 1))
    around = np.pad(x, ((0, 0), *pairs, (0, 0)))
    conv, bare = (nn.Conv(3, (2, 3), stride=(2, 1), padding=padding) for padding in (pairs, "valid"))
    params = conv.init(0, like=backend.array(x))
    backend.close(conv(params, backend.array(x)), bare(params, backend.array(around)), factor=10)
    pool, bare = (nn.AvgPool((3, 2), 1, padding) for padding in (pairs, "valid"))
    backend.close(pool({}, backend.array(x)), bare({}, backend.array(around)), factor=10)
    lowest = np.pad(x - 10.0, ((0, 0), *pairs, (0, 0)), constant_values=-1e3)
    largest = nn.MaxPool((3, 2), 1, pairs)({}, backend.array(x - 10.0))
    backend.close(largest, nn.MaxPool((3, 2), 1)({}, backend.array(lowest)), factor=10)


def test_the_limit_with_padding_in_numbers_is_that_of_the_same_zeros(backend, rng):
    x = backend.array(rng.normal(size=(2, 4, 4, 2)))
    kernels = []
    for padding in (((1, 1), (1, 1)), "same"):
        layers = nn.Conv(1, (3, 3), padding=padding, bias_std=0.3), nn.ReLU(), nn.Conv(1, (3, 3), 2, "valid"), nn.ReLU()
        kernels.append(InfiniteNTK(nn.Sequential(*layers, nn.GlobalAvgPool(), nn.Dense(1)))(x))
    backend.close(kernels[0], backend.host(kernels[1]), factor=100)


@pytest.mark.host
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Conv(1, (3, 3), stride=(1, 1, 1)), "stride has 3 numbers; there are 2 axes of positions"),
        (lambda: nn.Conv(1, ()), "kernel_size is empty; without positions use Dense"),
        (lambda: nn.Conv(3, (3,), groups=2), "width 3 is no multiple of groups 2"),
        (lambda: nn.Conv(2, (3,), groups=2).init(0, input_shape=(5, 3)), "3 channels are no multiple of groups 2"),
        (lambda: nn.Conv(1, (3,), padding="valid").init(0, input_shape=(2, 1)), r"^Conv\(1, \(3,\)\): .*2"),
        (
            lambda: nn.ConvTranspose(1, (2,), padding=((1, 1),)).init(0, input_shape=(3, 1)),
            'padding of a transposed convolution must be "same", "valid" or "circular"',
        ),
    ],
)
def test_what_no_convolution_takes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("padding", [((1, 1),), ((1, -1), (0, 0)), (1, 1), "full", ((1, 1), (1,))])
def test_paddings_that_are_none(padding):
    with pytest.raises(ValueError, match="padding must be"):
        nn.Conv(3, (2, 2), padding=padding)
    with pytest.raises(ValueError, match="room for whole windows"):
        nn.MaxPool((2,), padding=((1, 2),))
