"""Networks on graphs: the graph NTK of Du et al. written out, padding that counts for nothing, and what is refused."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.nn.parameters import flatten

SIZES = (5, 1, 7, 3)


def some_graphs(rng, sizes=SIZES, channels=3):
    """Features, and symmetric adjacency matrices with self-loops."""
    found = []
    for n in sizes:
        edges = np.triu(rng.random((n, n)) < 0.4, 1)
        found.append((rng.normal(size=(n, channels)), (edges | edges.T) + np.eye(n)))
    return [x for x, _ in found], [a for _, a in found]


# ---- the recursion of Du et al. 2019, section 3, graph by graph -----------------------------------------------------


def relu_duals(k, k11, k22):
    """2 E[relu(u) relu(v)] and 2 E[relu'(u) relu'(v)]."""
    scale = np.sqrt(np.outer(k11, k22))
    angle = np.arccos(np.clip(k / scale, -1, 1))
    return scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi, (np.pi - angle) / np.pi


def gntk(one, two, blocks, layers, jumping_knowledge):
    """Sums over all pairs of nodes of Theta, behind the last block or all of them; no graph is padded."""
    (x, a), (y, b) = one, two
    k, theta = {"12": x @ y.T, "11": x @ x.T, "22": y @ y.T}, x @ y.T
    readouts = [theta.sum()]
    for _ in range(blocks):
        k = {"12": a @ k["12"] @ b.T, "11": a @ k["11"] @ a.T, "22": b @ k["22"] @ b.T}
        theta = a @ theta @ b.T
        for _ in range(layers):
            own = {"1": np.diag(k["11"]), "2": np.diag(k["22"])}
            duals = {pair: relu_duals(k[pair], own[pair[0]], own[pair[1]]) for pair in k}
            k = {pair: value for pair, (value, _) in duals.items()}
            theta = theta * duals["12"][1] + k["12"]
        readouts.append(theta.sum())
    return sum(readouts) if jumping_knowledge else readouts[-1]


@pytest.mark.parametrize(("blocks", "layers", "jumping"), [(1, 1, False), (2, 2, False), (3, 1, True)])
def test_the_graph_ntk_of_du_et_al(backend, rng, blocks, layers, jumping):
    """Graphs of different sizes, 1e-12 in float64; theirs has no 1 / channels, and the readout and the first layer of
    ours have weight_std sqrt(2)."""
    features, adjacency = some_graphs(rng)
    x = backend.array(nn.graphs(features, adjacency))
    kernel = ntk.InfiniteNTK(nn.gnn((1,) * blocks, 1, layers=layers, jumping_knowledge=jumping))
    pairs = list(zip(features, adjacency, strict=True))
    wanted = np.asarray([[gntk(one, two, blocks, layers, jumping) for two in pairs] for one in pairs]) * 2 / 3
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    found, across = backend.host(kernel(x)), backend.host(kernel(x[:2, ...], x[2:, ...]))
    # The diagonal of the recursion above has angles from cosines, which in float64 are good to 1e-8 near 0.
    off = ~np.eye(len(pairs), dtype=bool)
    tolerance = 4000 * backend.eps  # 9e-13
    assert np.max((np.abs(found - wanted) / scale)[off]) < tolerance
    np.testing.assert_allclose(np.diag(found), np.diag(wanted), rtol=max(tolerance, 1e-7))
    np.testing.assert_allclose(across / scale[:2, 2:], wanted[:2, 2:] / scale[:2, 2:], rtol=0, atol=tolerance)


def test_a_finite_network_graph_by_graph(rng):
    """Jumping knowledge: a readout of the features and behind every block, written out for one graph at a time."""
    features, adjacency = some_graphs(rng)
    net = nn.gnn((4, 6), 2, pooling="mean", jumping_knowledge=True, weight_std=1.3)
    x = nn.graphs(features, adjacency)
    params = net.init(0, like=x)
    readout, first, readout1, second, readout2 = (1.3 * w / w.shape[1] ** 0.5 for w in flatten(params).values())
    for i, (h, a) in enumerate(zip(features, adjacency, strict=True)):
        h1 = np.maximum(a @ h @ first.T, 0)
        h2 = np.maximum(a @ h1 @ second.T, 0)
        wanted = readout @ h.mean(axis=0) + readout1 @ h1.mean(axis=0) + readout2 @ h2.mean(axis=0)
        np.testing.assert_allclose(net(params, x)[i], wanted, rtol=1e-12)


# ---- padding -------------------------------------------------------------------------------------------------------

LAYERS = (nn.Dense(4, 1.2, 0.5), nn.Erf(), nn.Aggregate(), nn.Dense(3, 1.1, 0.3), nn.LayerNorm(), nn.ReLU())
"""With biases, which make the values at padding other than zero."""


@pytest.mark.parametrize("pool", ["mean", "sum", "root"])
def test_padding_counts_for_nothing(pool, rng):
    """A batch of graphs of different sizes against each graph by itself, without padding: finite and infinite."""
    features, adjacency = some_graphs(rng)
    net = nn.GraphNetwork(*LAYERS, nn.GraphPool(pool), nn.Dense(2, 1.1, 0.2))
    x = nn.graphs(features, adjacency, nodes=9)
    x[0, 6:, :3], x[2, 8:, 4:] = 7.0, 3.0  # whatever stands in padding
    alone = [nn.graphs([h], [a]) for h, a in zip(features, adjacency, strict=True)]
    params = net.init(0, like=x)
    np.testing.assert_allclose(net(params, x), np.concatenate([net(params, one) for one in alone]), rtol=1e-13)
    u = rng.normal(size=(4, 2))
    pulled, parts = net.vjp(params, x, u), [net.vjp(params, one, u[i : i + 1]) for i, one in enumerate(alone)]
    np.testing.assert_allclose(pulled[0]["bias"], sum(part[0]["bias"] for part in parts), rtol=1e-12, atol=1e-13)
    for kernel in (ntk.InfiniteNTK(net), ntk.EmpiricalNTK(net, params, outputs="trace")):
        np.testing.assert_allclose(kernel.diag(x), [kernel.diag(one)[0] for one in alone], rtol=1e-12)
    pairs = [nn.graphs(features[i : i + 2], adjacency[i : i + 2]) for i in range(3)]
    found = np.diagonal(ntk.InfiniteNTK(net)(x), 1)
    np.testing.assert_allclose(found, [ntk.InfiniteNTK(net)(pair)[0, 1] for pair in pairs], rtol=1e-12)


def test_the_order_of_nodes_does_not_matter(rng):
    features, adjacency = some_graphs(rng, (6, 4))
    order = rng.permutation(6)
    turned = [features[0][order], features[1]], [adjacency[0][np.ix_(order, order)], adjacency[1]]
    kernel = ntk.InfiniteNTK(nn.gnn((1, 1), 1, bias_std=0.1))
    one, two = kernel(nn.graphs(features, adjacency)), kernel(nn.graphs(*turned))
    np.testing.assert_allclose(one, two, rtol=1e-12)


def test_means_of_aggregated_features(rng):
    """A sum of features and of values behind ReLU: K = A K A'^T + E[relu relu'] + both products of the two means."""
    features, adjacency = some_graphs(rng, (3, 2), channels=2)
    net = nn.GraphNetwork(
        nn.Sum(nn.Aggregate(), nn.Sequential(nn.Dense(2), nn.ReLU())), nn.GraphPool("sum"), nn.Dense(1)
    )

    def moments(i, j):
        x, y = features[i], features[j]
        one, two = (adjacency[k] @ features[k] for k in (i, j))
        k, k11, k22 = x @ y.T / 2, np.sum(x * x, axis=1) / 2, np.sum(y * y, axis=1) / 2
        means = [np.sqrt(v / (2 * np.pi)) for v in (k11, k22)]
        crossed = np.outer(one.mean(axis=1), means[1]) + np.outer(means[0], two.mean(axis=1))
        return np.sum(one @ two.T / 2 + relu_duals(k, k11, k22)[0] / 2 + crossed)

    wanted = [[moments(i, j) for j in range(2)] for i in range(2)]
    x = nn.graphs(features, adjacency)
    np.testing.assert_allclose(ntk.InfiniteNNGP(net)(x), wanted, rtol=1e-7)  # arccos on the diagonal
    np.testing.assert_allclose(ntk.InfiniteNNGP(net)(x)[0, 1], wanted[0][1], rtol=1e-13)


def test_tiles_and_training_take_graphs(rng):
    """Tiles agree with one block, and mini-batches are batches of graphs."""
    x = nn.graphs(*some_graphs(rng, (4, 2, 3, 4, 1, 2)))
    kernel = ntk.InfiniteNTK(nn.gnn((1,), 1))
    tiled = ntk.gram.assemble(kernel, x, memory="20 kB")
    np.testing.assert_allclose(tiled, kernel(x), rtol=1e-12)
    net = nn.gnn((8,), 1, pooling="mean")
    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), rng.normal(size=6))
    training = nn.train(net, net.init(0, like=x), cost, step=0.01, steps=20, batch_size=3, seed=0)
    assert training.costs[-1] < training.costs[0]


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize(
    "layer",
    [
        nn.GlobalAvgPool(),
        nn.Flatten(),
        nn.Conv(2, (3,)),
        nn.SelfAttention(4),
        nn.Index(0),
        nn.MaxPool((2,)),
        nn.LayerNorm(axes=(-2, -1)),
        nn.Residual(nn.ConvLocal(2, (3,))),
        nn.GraphNetwork(nn.Aggregate()),
        nn.PaddedNetwork(nn.GlobalAvgPool()),
    ],
    ids=repr,
)
def test_layers_that_know_the_order_of_positions(layer):
    with pytest.raises(
        TypeError, match=r"mixes positions by their order|has another one inside|packed in different ways"
    ):
        nn.GraphNetwork(nn.Dense(2), layer)


@pytest.mark.host
def test_layers_on_nodes():
    """Those that act on each node by itself are taken, at random too."""
    layers = (nn.Dense(8), nn.BatchNorm(0.0, 1.0), nn.LayerNorm(), nn.GELU(), nn.Dropout(0.5, "train"))
    net = nn.GraphNetwork(*layers, nn.Aggregate(), nn.Dense(8), nn.Dropout(0.5, "train"), nn.GraphPool(), nn.Dense(1))
    x = nn.graphs([np.ones((3, 2))], [np.ones((3, 3))])
    assert net(net.init(0, like=x), x, rng=0).shape == (1, 1)
    assert ntk.InfiniteNTK(net)(x).shape == (1, 1)


@pytest.mark.host
def test_inputs_that_are_no_graphs(rng):
    net, x = nn.gnn((4,), 1), nn.graphs(*some_graphs(rng, (3, 2)))
    params = net.init(0, like=x)
    for kernel in (net.bind(params), ntk.InfiniteNTK(net), ntk.InfiniteNTK(net).diag):
        with pytest.raises(ValueError, match=r"GraphNetwork needs graphs, \(N, nodes, channels \+ 1 \+ nodes\)"):
            kernel(rng.normal(size=(2, 5, 6)))
        # Features alone that have the shape of graphs.
        with pytest.raises(ValueError, match="the inputs are no graphs"):
            kernel(rng.normal(size=(2, 5, 9)))
        with pytest.raises(ValueError, match="the inputs are no graphs"):
            kernel(np.concatenate([x, np.zeros((1, *x.shape[1:]))]))
    for kernel in (ntk.InfiniteNTK(net), ntk.EmpiricalNTK(net, params)):
        with pytest.raises(ValueError, match=r"for graphs, give both as many nodes: graphs\(..., nodes=4\)"):
            kernel(x, nn.graphs(*some_graphs(rng, (4, 2))))


@pytest.mark.host
def test_graph_layers_alone_and_behind_others(rng):
    x = nn.graphs(*some_graphs(rng, (3, 2)))
    for layer in (nn.Aggregate(), nn.GraphPool()):
        with pytest.raises(ValueError, match="put it into a GraphNetwork"):
            layer({}, x)
        with pytest.raises(ValueError, match="put it into a GraphNetwork"):
            ntk.InfiniteNTK(nn.Sequential(nn.Dense(2), layer, nn.Dense(1)))(x)
        with pytest.raises(ValueError, match=r"needs values at nodes, \(N, nodes, channels\); got \(N, 3\)"):
            nn.GraphNetwork(nn.GraphPool(), nn.Dense(3), layer).init(0, like=x)
    behind = nn.Sequential(nn.Dense(7), nn.gnn((4,), 1))
    with pytest.raises(ValueError, match="put the layers before it into it"):
        behind.init(0, like=x)
    with pytest.raises(ValueError, match="no infinite-width limit where another layer is before it"):
        ntk.InfiniteNTK(nn.Sequential(nn.Identity(), nn.gnn((4,), 1)))(x)
    net = nn.gnn((4,), 1)
    params = net.init(0, like=x)
    tape = net.forward(params, x)[1]
    with pytest.raises(ValueError, match="no derivative in its graphs"):
        net.backward(params, tape, np.ones((2, 1, 1)), True)
    with pytest.raises(ValueError, match="no derivative in its graphs"):
        net.tangent(params, tape, x, params)
