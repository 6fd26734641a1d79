"""Networks on inputs of several lengths: each input as it would be alone, and what is refused."""

import pickle

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.nn.parameters import flatten

SIZES = (7, 4, 9, 5)


def some_sequences(rng, sizes=SIZES, channels=3):
    return [rng.normal(size=(n, channels)) for n in sizes]


# ---- the recursion written out, for two sequences of any lengths without padding -------------------------------------


def relu_duals(k, k11, k22):
    """E[relu(u) relu(v)] and E[relu'(u) relu'(v)]."""
    scale = np.sqrt(np.outer(k11, k22))
    angle = np.arccos(np.clip(k / scale, -1, 1))
    return scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def windows(k, size, stride, before, after):
    """The mean over the elements e of a window of k(p stride + e - before, q stride + e - before), zero outside."""
    padded = np.pad(k, ((before, after), (before, after)))
    one, two = ((n - size) // stride + 1 for n in padded.shape)
    parts = [padded[e:, e:][: (one - 1) * stride + 1 : stride, : (two - 1) * stride + 1 : stride] for e in range(size)]
    return sum(parts) / size


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def kernels_of(x, y):
    """K and Theta of LAYERS."""
    k = {"12": x @ y.T / 3, "11": x @ x.T / 3, "22": y @ y.T / 3}
    theta = np.zeros_like(k["12"])
    for size, stride, before, after in ((3, 1, 1, 1), (2, 2, 1, 1)):
        k = {pair: 1.3**2 * windows(value, size, stride, before, after) + 0.09 for pair, value in k.items()}
        theta = k["12"] + 1.3**2 * windows(theta, size, stride, before, after)
        own = {"1": np.diag(k["11"]), "2": np.diag(k["22"])}
        duals = {pair: relu_duals(k[pair], own[pair[0]], own[pair[1]]) for pair in k}
        k, theta = {pair: value for pair, (value, _) in duals.items()}, theta * duals["12"][1]
    one, two = softmax(1.5 * k["11"]), softmax(1.5 * k["22"])
    mixed = one @ k["12"] @ two.T
    theta = one @ theta @ two.T + 2 * mixed + 0.04
    return mixed.mean() + 0.04, theta.mean() + mixed.mean() + 0.04


LAYERS = (
    nn.Conv(8, (3,), weight_std=1.3, bias_std=0.3),
    nn.ReLU(),
    nn.Conv(8, (2,), stride=2, padding=((1, 1),), weight_std=1.3, bias_std=0.3),
    nn.ReLU(),
    nn.SelfAttention(8, query_std=1.5, bias_std=0.2),
    nn.GlobalAvgPool(),
    nn.Dense(1),
)


def test_kernels_of_sequences_of_different_lengths(backend, rng):
    """Every pair of sequences, against the recursion for the two without padding; 1e-12 in float64."""
    sequences = some_sequences(rng)
    x = nn.padded([backend.array(one) for one in sequences], positions=11)
    net = nn.PaddedNetwork(*LAYERS)
    wanted = np.asarray([[kernels_of(one, two) for two in sequences] for one in sequences])
    for which, kernel in ((1, ntk.InfiniteNTK(net)), (0, ntk.InfiniteNNGP(net))):
        expected, found = wanted[..., which], backend.host(kernel(x))
        # The diagonal of the recursion has angles from cosines, which in float64 are good to 1e-8 near 0.
        off, tolerance = ~np.eye(len(sequences), dtype=bool), 4000 * backend.eps
        np.testing.assert_allclose(found[off], expected[off], rtol=tolerance)
        np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=max(tolerance, 1e-7))
        across = backend.host(kernel(x[:1, ...], x[1:, ...]))
        np.testing.assert_allclose(across, expected[:1, 1:], rtol=tolerance)
        if backend.name == "jax":
            return  # it compiles every operation for every shape, for half a minute


# ---- each input alone, through the network without padding ----------------------------------------------------------

WIDE = nn.Dense(6, 1.2, 0.4)
"""With biases, which make the values at padding other than zero."""
NETWORKS = {
    "convolutions": (
        WIDE,
        nn.ReLU(),
        nn.Conv(5, (3,), dilation=2, bias_std=0.3),
        nn.Residual(nn.Sequential(nn.Erf(), nn.Conv(5, (2,), groups=5, bias_std=0.3))),
        nn.GELU(),
        nn.GlobalSumPool(),
    ),
    "strides": (
        nn.Conv(5, (3,), stride=2, padding=((2, 0),), bias_std=0.3),
        nn.ReLU(),
        nn.Concatenate(nn.Conv(3, (2,), padding="valid", bias_std=0.2), nn.AvgPool((2,), stride=1)),
        nn.LayerNorm(),
        nn.GlobalAvgPool(),
        nn.Dense(4),
        nn.Identity(),
    ),
    "pooling": (
        WIDE,
        nn.Cos(),
        nn.SumPool((2,), padding="same"),
        nn.Conv(4, (1,), bias_std=0.3),
        nn.AvgPool((3,), stride=1, padding="same"),
        nn.Sequential(nn.Sin(), nn.GlobalAvgPool()),
    ),
    "attention": (
        WIDE,
        nn.SelfAttention(6, heads=2, bias_std=0.2),
        nn.Sum(nn.SelfAttention(6, mechanism="abs"), nn.SelfAttention(6, mechanism="relu", bias_std=0.3)),
        nn.Erf(),
        nn.GlobalAvgPool(),
    ),
    "attention, square root": (
        WIDE,
        nn.SelfAttention(6, scaling="sqrt", mechanism="identity", bias_std=0.2, position_embedding="sum"),
        nn.ReLU(),
        nn.GlobalAvgPool(),
    ),
    "means": (
        nn.Sum(nn.Sequential(nn.Conv(5, (3,), bias_std=0.3), nn.ReLU()), nn.Sequential(nn.Dense(5), nn.ReLU())),
        nn.Sum(nn.AvgPool((2,), 1, "same"), nn.Sequential(nn.Conv(5, (2,), bias_std=0.2), nn.ReLU())),
        nn.LayerNorm(),
        nn.Sum(nn.GlobalAvgPool(), nn.Sequential(nn.Conv(5, (3,)), nn.ReLU(), nn.GlobalSumPool())),
    ),
    "first position": (
        nn.Conv(5, (3,), bias_std=0.3),
        nn.ReLU(),
        nn.Conv(5, (3,), stride=2, padding=((1, 1),), bias_std=0.3),
        nn.Residual(nn.Sequential(nn.Erf(), nn.Conv(5, (3,), bias_std=0.2))),
        nn.Index(0),
    ),
    "embedded": (
        WIDE,
        nn.SelfAttention(6, position_embedding="concat", position_in_values=True, bias_std=0.2),
        nn.Conv(5, (2,), bias_std=0.2),
        nn.ReLU(),
        nn.Index(0),
    ),
}
FINITE = {
    "maxima": (WIDE, nn.MaxPool((2,)), nn.Affine(1.2, 0.3, positions=True), nn.Conv(4, (3,)), nn.GlobalAvgPool()),
    "scores with biases": (
        WIDE,
        nn.SelfAttention(6, scaling="sqrt", input_bias_std=0.5, position_embedding="concat", position_in_values=True),
        nn.Conv(4, (3,)),
        nn.GlobalAvgPool(),
    ),
}


def own(params, net, one):
    """The parameters of a network for one input: of those of positions, its own."""
    shapes = {name: leaf.shape for name, leaf in flatten(net.init(0, like=one)).items()}

    def cut(prefix, tree):
        if isinstance(tree, tuple):
            return tuple(cut(f"{prefix}{i}.", part) for i, part in enumerate(tree))
        if isinstance(tree, dict):
            return {name: cut(f"{prefix}{name}.", part) for name, part in tree.items()}
        return tree[tuple(slice(n) for n in shapes[prefix[:-1]])]

    return cut("", params)


def rows_alone(plain, params, inputs):
    """The output and the Jacobian (C, number of parameters) of each input by itself."""
    outputs, rows = [], []
    for one in inputs:
        mine = own(params, plain, one[None])
        outputs.append(plain(mine, one[None])[0])
        parts = []
        for j, whole in zip(flatten(plain.jacobian(mine, one[None])).values(), flatten(params).values(), strict=True):
            full = np.zeros((j.shape[1], *whole.shape))
            full[(slice(None), *(slice(n) for n in j.shape[2:]))] = j[0]
            parts.append(full.reshape(len(full), -1))
        rows.append(np.concatenate(parts, axis=1))
    return np.asarray(outputs), np.asarray(rows)


@pytest.mark.parametrize("name", [*NETWORKS, *FINITE])
def test_each_input_is_as_it_would_be_alone(name, rng):
    """Outputs, Jacobians, gradients and both kinds of kernels, 1e-12; whatever stands in padding, and more of it."""
    layers = (*(NETWORKS | FINITE)[name], nn.Dense(2, 1.1, 0.2))
    net, plain, sequences = nn.PaddedNetwork(*layers), nn.Sequential(*layers), some_sequences(rng)
    x = nn.padded(sequences)
    x[..., :3] += 5.0 * (1.0 - x[..., 3:])
    params = net.init(0, like=x)
    outputs, rows = rows_alone(plain, params, sequences)
    np.testing.assert_allclose(net(params, x), outputs, rtol=1e-12, atol=1e-14)
    full = np.einsum("icp,jdp->icjd", rows, rows)
    for kind, wanted in (("full", full), ("trace", np.einsum("icjc->ij", full) / 2)):
        found = ntk.EmpiricalNTK(net, params, outputs=kind)(x)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(full).max())
    u = rng.normal(size=(4, 2))
    pulled = np.concatenate([leaf.ravel() for leaf in flatten(net.vjp(params, x, u)).values()])
    np.testing.assert_allclose(pulled, np.einsum("icp,ic->p", rows, u), rtol=0, atol=1e-12 * np.abs(rows).max())
    if name in FINITE:
        return
    more = nn.padded(sequences, positions=12)
    for kernel in (ntk.InfiniteNTK, ntk.InfiniteNNGP):
        k = kernel(net)(x)
        np.testing.assert_allclose(kernel(net)(more), k, rtol=1e-12)
        alone = [kernel(plain)(one[None])[0, 0] for one in sequences]
        np.testing.assert_allclose(np.diag(k), alone, rtol=1e-12)
        pair = nn.padded([sequences[1], sequences[3]])
        np.testing.assert_allclose(kernel(net)(pair), k[1::2, 1::2], rtol=1e-12)
        for wrt, slope in kernel(net).gradient(x).items():
            alone = [kernel(plain).gradient(one[None])[wrt][0, 0] for one in sequences]
            np.testing.assert_allclose(np.diag(slope), alone, rtol=1e-12, err_msg=wrt)
    # Of the first layer with parameters: only these are trained.
    some, alone = (ntk.InfiniteNTK(own, trainable="0") for own in (net, plain))
    np.testing.assert_allclose(some.diag(x), [alone.diag(one[None])[0] for one in sequences], rtol=1e-12)


def test_images_of_several_sizes(rng):
    """As above."""
    images = [rng.normal(size=(n, m, 2)) for n, m in ((5, 4), (3, 6), (4, 4))]
    layers = (
        nn.Conv(4, (3, 2), bias_std=0.3),
        nn.ReLU(),
        nn.Conv(4, (2, 2), stride=(2, 1), padding=((0, 1), (1, 0)), bias_std=0.2),
        nn.SelfAttention(4, bias_std=0.2),
        nn.GlobalAvgPool(),
        nn.Dense(2),
    )
    net, plain, x = nn.PaddedNetwork(*layers), nn.Sequential(*layers), nn.padded(images)
    params = net.init(0, like=x)
    outputs, rows = rows_alone(plain, params, images)
    np.testing.assert_allclose(net(params, x), outputs, rtol=1e-12)
    np.testing.assert_allclose(
        ntk.EmpiricalNTK(net, params)(x), np.einsum("icp,jdp->icjd", rows, rows), rtol=0, atol=1e-12
    )
    alone = [ntk.InfiniteNTK(plain)(one[None])[0, 0] for one in images]
    np.testing.assert_allclose(ntk.InfiniteNTK(net).diag(x), alone, rtol=1e-12)


def test_derivatives_in_the_inputs(rng):
    """Those of each input alone; of padding and of marks they are zero."""
    sequences = some_sequences(rng)
    net, plain, x = nn.PaddedNetwork(*LAYERS), nn.Sequential(*LAYERS), nn.padded(sequences)
    params = net.init(0, like=x)
    slopes = net.input_jacobian(params, x)
    for i, one in enumerate(sequences):
        alone = plain.input_jacobian(params, one[None])[0]
        np.testing.assert_allclose(slopes[i], np.pad(alone, ((0, 0), (0, 9 - len(one)), (0, 1))), rtol=0, atol=1e-13)
    dx = rng.normal(size=x.shape)
    zeros = nn.parameters.tree_map(np.zeros_like, params)
    moved = net.tangent(params, net.forward(params, x)[1], dx, zeros)
    np.testing.assert_allclose(moved, np.einsum("icpk,ipk->ic", slopes, dx), rtol=1e-12)


def test_all_that_takes_arrays_takes_padded_inputs(rng, tmp_path):
    """Tiles, kernels by Monte Carlo, the linearized network, training by mini-batches, files and pickles."""
    sequences = some_sequences(rng, (4, 2, 6, 3, 5, 2))
    net, x = nn.PaddedNetwork(*LAYERS), nn.padded(sequences)
    kernel, params = ntk.InfiniteNTK(net), net.init(0, like=x)
    np.testing.assert_allclose(ntk.gram.assemble(kernel, x, memory="200 kB"), kernel(x), rtol=1e-12)
    drawn, plain = ntk.MonteCarloNTK(net, 3, 0)(x), ntk.MonteCarloNTK(nn.Sequential(*LAYERS), 3, 0)
    np.testing.assert_allclose(np.diag(drawn), [plain(one[None])[0, 0] for one in sequences], rtol=1e-12)
    direction = nn.parameters.tree_map(lambda leaf: rng.normal(size=leaf.shape), params)
    line = nn.Linearized(net, params)
    moved = nn.parameters.tree_map(lambda leaf, d: leaf + 0.3 * d, params, direction)
    np.testing.assert_allclose(line(moved, x), net(params, x) + 0.3 * net.jvp(params, direction, x), rtol=1e-12)
    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), rng.normal(size=6))
    training = nn.train(net, params, cost, step=0.05, steps=20, batch_size=3, seed=0)
    assert training.costs[-1] < training.costs[0]
    nn.save(tmp_path / "net.npz", net, params)
    loaded, kept = nn.load(tmp_path / "net.npz")
    assert loaded == net == pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded(kept, x), net(params, x))


def test_compiled_blocks(backend, rng):
    """Blocks that are large enough for compilers: the same numbers."""
    if backend.name == "jax":
        pytest.skip("it compiles every operation for every shape, for minutes")
    sequences = some_sequences(rng, tuple(rng.integers(2, 7, size=40)), channels=1)
    x = nn.padded([backend.array(one) for one in sequences])
    net = nn.PaddedNetwork(nn.Conv(1, (3,), bias_std=0.3), nn.ReLU(), nn.Conv(1, (2,)), nn.GlobalAvgPool(), nn.Dense(1))
    k, kernel = backend.host(ntk.InfiniteNTK(net)(x)), ntk.InfiniteNTK(net)
    few = backend.host(kernel(x[:3, ...], x[3:6, ...]))
    np.testing.assert_allclose(k[:3, 3:6], few, rtol=1000 * backend.eps)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize(
    "layer",
    [
        nn.Flatten(),
        nn.Index(1),
        nn.Index((0, slice(2))),
        nn.Resize((4,)),
        nn.ConvTranspose(2, (3,)),
        nn.ConvLocal(2, (3,)),
        nn.LayerNorm(axes=(-2, -1)),
        nn.Residual(nn.ConvLocal(2, (3,))),
        nn.Aggregate(),
        nn.GraphPool(),
        nn.ChannelsLast(),
        nn.PaddedNetwork(nn.GlobalAvgPool()),
        nn.gnn((2,), 1),
    ],
    ids=repr,
)
def test_layers_that_mix_positions_in_other_ways(layer):
    message = "mixes positions in a way that is not known|has another one inside|packed in different ways"
    with pytest.raises(TypeError, match=message):
        nn.PaddedNetwork(nn.Dense(2), layer, nn.GlobalAvgPool())


@pytest.mark.host
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv(2, (3,), padding="circular"), "the other end of an input is not at one place"),
        (nn.Conv(2, (3,), stride=2), "how many zeros come before an input depends on its length"),
        (nn.SumPool((3,), padding="same"), "how many zeros come before an input depends on its length"),
        (nn.AvgPool((2,), 1, "same", normalize_edges=True), "divides by numbers of positions"),
        (nn.MaxPool((2,), 1, "same"), "leaves out positions around the input"),
        (
            nn.Sum(nn.Conv(2, (2,), stride=2, padding="valid"), nn.Conv(2, (2,), stride=2, padding=((0, 1),))),
            "the branches of Sum leave different positions",
        ),
        (nn.Sum(nn.Identity(), nn.GlobalAvgPool()), "the branches of Sum leave different positions"),
    ],
    ids=repr,
)
def test_windows_that_an_input_alone_would_not_see(layer, message):
    with pytest.raises(ValueError, match=message):
        nn.PaddedNetwork(nn.Dense(2), layer, nn.GlobalAvgPool())


@pytest.mark.host
def test_networks_that_leave_positions():
    with pytest.raises(ValueError, match="PaddedNetwork leaves positions"):
        nn.PaddedNetwork(nn.Conv(2, (3,)), nn.ReLU())
    net, x = nn.PaddedNetwork(nn.Index(0), nn.Dense(1)), nn.padded(np.ones((2, 3, 3, 1)))
    for call in (lambda: net.init(0, like=x), lambda: ntk.InfiniteNTK(net)(x)):
        with pytest.raises(ValueError, match="leaves axes of positions of padded inputs: give an index for each"):
            call()


@pytest.mark.host
def test_inputs_that_are_not_padded(rng):
    net, x = nn.PaddedNetwork(*LAYERS), nn.padded(some_sequences(rng))
    params = net.init(0, like=x)
    for kernel in (net.bind(params), ntk.InfiniteNTK(net), ntk.InfiniteNTK(net).diag):
        with pytest.raises(ValueError, match="the inputs are not padded: their last channel does not mark"):
            kernel(rng.normal(size=x.shape))
        with pytest.raises(ValueError, match="the inputs are not padded"):
            kernel(np.concatenate([x, np.zeros_like(x[:1])]))
        with pytest.raises(ValueError, match=r"PaddedNetwork needs padded inputs, \(N, \*positions, channels \+ 1\)"):
            kernel(rng.normal(size=(2, 4)))
    short = nn.PaddedNetwork(nn.Conv(2, (3,), padding="valid"), nn.AvgPool((2,)), nn.GlobalAvgPool(), nn.Dense(1))
    for kernel in (short.bind(short.init(0, like=x)), ntk.InfiniteNTK(short)):
        with pytest.raises(ValueError, match=r"an input has 3 positions along axis 0, number 1 .* need at least 4"):
            kernel(nn.padded(some_sequences(rng, (5, 3))))
    with pytest.raises(ValueError, match=r"for inputs of several lengths, .*padded\(..., positions=\(9,\)\)"):
        ntk.InfiniteNTK(net)(x, nn.padded(some_sequences(rng, (4, 2))))
    behind = nn.Sequential(nn.Dense(7), net)
    with pytest.raises(ValueError, match="put the layers before it into it"):
        behind.init(0, like=x)
    with pytest.raises(ValueError, match="no infinite-width limit where another layer is before it"):
        ntk.InfiniteNTK(nn.Sequential(nn.Identity(), net))(x)
