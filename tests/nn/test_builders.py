"""Networks by name: their layouts, and their kernels against the recursion over all pairs of positions, written out."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

E, M = 5, 2
"""The side and the number of images."""


# ---- the convolutional NTK, as covariances K[n, i, j, m, k, l] of whole images (Arora et al. 2019, section 4) --------


class State:
    """NNGP and NTK of every pair of positions."""

    def __init__(self, k, theta):
        self.k, self.theta = k, theta

    def __add__(self, other):
        return State(self.k + other.k, self.theta + other.theta)

    def each(self, function):
        return State(function(self.k), function(self.theta))


def start(x):
    k = np.einsum("nijc,mklc->nijmkl", x, x) / x.shape[-1]
    return State(k, np.zeros_like(k))


def conv(state, size=3, stride=1, weight_std=2**0.5):
    """With zeros outside, where an odd number of them puts the odd one at the end."""
    side = state.k.shape[1]
    outputs = -(-side // stride)
    needed = max((outputs - 1) * stride + size - side, 0)
    around = [(0, 0) if axis in (0, 3) else (needed // 2, needed - needed // 2) for axis in range(6)]
    places = stride * np.arange(outputs)

    def summed(k):
        padded, total = np.pad(k, around), 0.0
        for i in range(size):
            for j in range(size):
                rows, columns = places + i, places + j
                total = total + padded[:, rows][:, :, columns][:, :, :, :, rows][:, :, :, :, :, columns]
        return weight_std**2 / size**2 * total

    k = summed(state.k)
    return State(k, k + summed(state.theta))


def relu(state):
    """The arc-cosine kernels of degree 1 and 0 (Cho, Saul 2009)."""
    n, side = state.k.shape[:2]
    matrix = state.k.reshape(n * side**2, -1)
    std = np.sqrt(np.diag(matrix))
    norms = np.outer(std, std).reshape(state.k.shape)
    cosine = np.clip(state.k / norms, -1, 1)
    angle = np.arccos(cosine)
    k = norms * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    return State(k, state.theta * (np.pi - angle) / (2 * np.pi))


def pool(state):
    """Means over windows of 2 x 2, without what does not fill one."""
    half = state.k.shape[1] // 2

    def mean(k):
        k = k[:, : 2 * half, : 2 * half, :, : 2 * half, : 2 * half]
        return k.reshape(M, half, 2, half, 2, M, half, 2, half, 2).mean(axis=(2, 4, 7, 9))

    return state.each(mean)


def dense(k, theta, weight_std=2**0.5):
    return weight_std**2 * (k + theta)


def over_all_positions(state):
    return dense(*(a.mean(axis=(1, 2, 4, 5)) for a in (state.k, state.theta)))


def over_equal_positions(state):
    return dense(*(np.einsum("nijmij->nm", a) / a.shape[1] ** 2 for a in (state.k, state.theta)))


def block(state, stride=1, changes=False):
    branch = conv(relu(conv(relu(state), stride=stride)))
    return branch + (conv(state, 1, stride, 1.0) if changes else state)


def stack(state, times):
    for _ in range(times):
        state = relu(conv(state))
    return state


ORACLES = {
    "cnn, global": (nn.cnn((3, 4), 2), lambda s: over_all_positions(stack(s, 2))),
    "cnn, flatten": (nn.cnn((3, 4), 2, pooling="flatten"), lambda s: over_equal_positions(stack(s, 2))),
    "myrtle": (nn.myrtle(5, 2, width=3), lambda s: over_all_positions(stack(pool(stack(pool(stack(s, 2)), 1)), 1))),
    "resnet": (
        nn.resnet((3, 4), 2),
        lambda s: over_all_positions(relu(block(block(conv(s)), stride=2, changes=True))),
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("name", ORACLES)
def test_kernels_are_those_of_the_recursion(name):
    """Every layer by itself is tested on all libraries; here it is the layout."""
    net, recursion = ORACLES[name]
    x = np.random.default_rng(5).normal(size=(M, E, E, 2))
    # Arc cosines of rounded cosines: half of the digits of the oracle are lost where positions nearly coincide.
    np.testing.assert_allclose(ntk.InfiniteNTK(net)(x), recursion(start(x)), rtol=1e-7)


# ---- layouts --------------------------------------------------------------------------------------------------------


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


@pytest.mark.host
@pytest.mark.parametrize(("depth", "convolutions"), [(5, (2, 1, 1)), (7, (2, 2, 2)), (10, (3, 3, 3))])
def test_myrtle_networks_have_the_layout_of_the_paper(depth, convolutions):
    net = nn.myrtle(depth, 10, width=6, activation="gelu")
    first, second, third = (["Conv", "GELU"] * count for count in convolutions)
    assert kinds(net) == [*first, "AvgPool", *second, "AvgPool", *third, "GlobalAvgPool", "Dense"]
    assert sum(layer.factor_count for layer in net.layers) == depth


@pytest.mark.host
def test_the_end_of_a_myrtle_network_is_that_of_the_paper_on_images_of_32_x_32():
    net = nn.myrtle(5, 3, width=2)
    pools = [nn.AvgPool((2, 2))] * 3
    papers = nn.Sequential(*net.layers[:-2], *pools, nn.Flatten(), net.layers[-1])
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    params = net.init(0, like=x)
    np.testing.assert_allclose(papers((*params[:-1], {}, {}, {}, params[-1]), x), net(params, x), rtol=1e-12)


@pytest.mark.host
def test_wide_resnets_have_the_layout_of_the_paper():
    """WRN-16-1: three stages of two blocks, where two convolutions on ways around count among the 16 layers."""
    net = nn.resnet((16, 32, 64), 10, blocks=(16 - 4) // 6)
    assert kinds(net) == ["Conv", *["Residual"] * 6, "ReLU", "GlobalAvgPool", "Dense"]
    around = [block.layers[1] for block in net.layers[1:7]]
    assert [type(way).__name__ for way in around] == ["Identity", "Identity", "Conv", "Identity", "Conv", "Identity"]
    assert [(way.width, way.kernel_size, way.stride) for way in around[2::2]] == [
        (32, (1, 1), (2, 2)),
        (64, (1, 1), (2, 2)),
    ]
    assert net.factor_count == 16


@pytest.mark.host
def test_residual_blocks_with_one_stride_keep_the_positions():
    net = nn.resnet((4, 4, 6), 2, stride=1, pooling="flatten", padding="circular", bias_std=0.1)
    x = np.ones((1, 5, 3, 2))
    params = net.init(0, like=x)
    assert params[-1]["weight"].shape == (2, 5 * 3 * 6)
    assert [type(block.layers[1]).__name__ for block in net.layers[1:4]] == ["Identity", "Identity", "Conv"]
    assert net.layers[3].layers[1].bias_std == 0


@pytest.mark.host
def test_options_reach_the_layers():
    net = nn.cnn(
        (4,),
        3,
        kernel_size=(5,),
        activation=nn.LeakyReLU(0.1),
        pooling="flatten",
        padding="valid",
        weight_std=1.2,
        bias_std=0.3,
        readout_weight_std=0.7,
        parameterization="standard",
    )
    assert net == nn.Sequential(
        nn.Conv(4, (5,), padding="valid", weight_std=1.2, bias_std=0.3, parameterization="standard"),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Dense(3, 0.7, 0.3, "standard"),
    )


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.cnn(64, 1), TypeError, r"hidden must be a sequence .* got 64; \(64,\) is one layer"),
        (lambda: nn.cnn((64, 0), 1), ValueError, "width must be a whole number"),
        (lambda: nn.cnn((64,), 1, pooling="max"), ValueError, "pooling must be one of 'global', 'flatten', got 'max'"),
        (lambda: nn.cnn((64,), 1, kernel_size=3), TypeError, "kernel_size must have a number for each axis"),
        (lambda: nn.cnn((64,), 1, padding="zero"), ValueError, "padding must be one of"),
        (lambda: nn.resnet((), 1), ValueError, "stages is empty"),
        (lambda: nn.resnet((8,), 1, kernel_size=3), TypeError, "kernel_size must have a number for each axis"),
        (lambda: nn.resnet((8,), 1, blocks=0), ValueError, "blocks must be a whole number"),
        (lambda: nn.resnet((8,), 1, padding="valid"), ValueError, "padding must be one of 'same', 'circular'"),
        (lambda: nn.myrtle(6, 1), ValueError, "depth must be one of 5, 7, 10 for a Myrtle network, got 6"),
        (lambda: nn.myrtle("5", 1), ValueError, "depth must be one of 5, 7, 10"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.host
def test_images_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match=r"AvgPool.*window"):
        nn.myrtle(5, 1).init(0, like=np.ones((2, 3, 3, 1)))
    with pytest.raises(ValueError, match=r"needs inputs with 2 axes of positions"):
        nn.cnn((4,), 1).init(0, like=np.ones((2, 12)))
