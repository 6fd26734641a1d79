"""Self-attention against loops over positions, its limit against sums over positions written out, and transformers."""

import numpy as np
import pytest

from ntk_array import EmpiricalNTK, InfiniteNNGP, InfiniteNTK, MonteCarloNNGP, MonteCarloNTK, nn
from ntk_array.infinite.program import Program
from ntk_array.infinite.signal import Signal
from ntk_array.kernels import empirical
from ntk_array.nn.parameters import flatten

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
WORDS = RNG.normal(size=(3, 4, 5))


def softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


MECHANISM = {
    "softmax": softmax,
    "identity": lambda s: s,
    "relu": lambda s: np.maximum(s, 0.0),
    "abs": np.abs,
}


@pytest.mark.parametrize("mechanism", MECHANISM)
def test_forward_is_that_of_loops_over_heads_and_positions(mechanism):
    layer = nn.SelfAttention(
        3, 2, 4, 6, mechanism, "sqrt", "concat", 2, 0.7, 1.5, False, 1.1, 0.9, 1.3, 0.8, bias_std=0.4
    )  # fmt: skip
    params = layer.init(1, like=WORDS)
    # Embeddings whose covariance between positions p and q is 0.7^2 exp(-(p - q)^2 / 1.5^2).
    r = np.exp(-((np.arange(4.0)[:, None] - np.arange(4.0)) ** 2) / 1.5**2)
    values, vectors = np.linalg.eigh(r)
    embedded = 0.7 * (vectors * np.sqrt(values)) @ vectors.T @ params["position"]
    expected = np.zeros((3, 4, 3))
    for i, x in enumerate(WORDS):
        seen = np.concatenate([x, embedded], axis=1)
        heads = []
        for h in range(2):
            keys, own = slice(4 * h, 4 * h + 4), slice(6 * h, 6 * h + 6)
            q = 1.1 / np.sqrt(7) * seen @ params["query"]["weight"][keys].T
            k = 0.9 / np.sqrt(7) * seen @ params["key"]["weight"][keys].T
            v = 1.3 / np.sqrt(5) * x @ params["value"]["weight"][own].T
            a = [MECHANISM[mechanism](np.asarray([q[p] @ k[t] for t in range(4)]) / np.sqrt(4)) for p in range(4)]
            heads.append([sum(a[p][t] * v[t] for t in range(4)) for p in range(4)])
        together = np.concatenate(heads, axis=1)
        expected[i] = 0.8 / np.sqrt(12) * together @ params["output"]["weight"].T + 0.4 * params["output"]["bias"]
    np.testing.assert_allclose(layer(params, WORDS), expected, rtol=1e-12, atol=1e-13)


def test_linear_scaling_has_the_same_queries_and_keys():
    layer = nn.SelfAttention(2, key_width=3, mechanism="identity", query_std=2.0, key_std=0.5, value_std=0.7)
    params = layer.init(1, like=WORDS)
    key = WORDS @ params["key"]["weight"].T / np.sqrt(5)
    value = 0.7 * WORDS @ params["value"]["weight"].T / np.sqrt(5)
    mixed = np.einsum("npk,nqk,nqv->npv", key, key, value) / 3
    expected = mixed @ params["output"]["weight"].T / np.sqrt(2)
    np.testing.assert_allclose(layer(params, WORDS), expected, rtol=1e-12)


@pytest.mark.parametrize("options", [{"mechanism": "abs"}, {"mechanism": "identity", "scaling": "sqrt"}])
def test_weights_of_degree_two_times_values(options):
    layer = nn.SelfAttention(4, **options)
    params = layer.init(0, like=WORDS)
    assert layer.signal(Signal((4, 5))).degree == 3
    np.testing.assert_allclose(layer(params, 2.0 * WORDS), 8.0 * layer(params, WORDS), rtol=1e-12)
    assert nn.SelfAttention(4).signal(Signal((4, 5))).degree is None


def test_few_inputs_at_a_time_give_the_same_kernel(monkeypatch):
    net = nn.transformer(1, 6, 2, heads=2, scaling="sqrt", position_embedding="concat", bias_std=0.1)
    params = net.init(0, like=WORDS)
    jacobian = [leaf.reshape(3, 2, -1) for leaf in flatten(net.jacobian(params, WORDS)).values()]
    expected = sum(np.einsum("icp,jdp->icjd", j, j) for j in jacobian)
    monkeypatch.setattr(empirical, "CHUNK", 1)
    np.testing.assert_allclose(EmpiricalNTK(net, params)(WORDS), expected, rtol=1e-11)


# ---- the limit, written out for every pair of inputs ----------------------------------------------------------------

WAYS = (
    {"mechanism": "softmax", "query_std": 1.5, "bias_std": 0.3},
    {"mechanism": "softmax", "position_embedding": "sum", "position_std": 0.6, "position_length": 1.2},
    {"mechanism": "relu", "position_embedding": "concat", "position_width": 32, "position_in_values": True},
    {"mechanism": "abs", "key_std": 0.8},
    {"mechanism": "identity", "position_embedding": "concat", "position_length": 2.0},
    {"mechanism": "identity", "scaling": "sqrt", "query_std": 0.8, "output_std": 1.2, "bias_std": 0.2},
    {"mechanism": "identity", "scaling": "sqrt", "position_embedding": "sum", "position_std": 0.6},
    {"mechanism": "identity", "scaling": "sqrt", "position_embedding": "concat", "position_in_values": True},
)


def written_out(x, y, options):
    """K and Theta of Dense(64), SelfAttention(64, ...), GlobalAvgPool and Dense(1, 0.9) for inputs (P, d)."""
    options = {"scaling": "linear", "position_embedding": None, "position_in_values": False, "bias_std": 0.0} | options
    std = {name: options.get(f"{name}_std", 1.0) for name in ("query", "key", "value", "output", "position")}
    positions, d = x.shape
    apart = np.arange(positions)[:, None] - np.arange(positions)
    length = options.get("position_length")
    r = std["position"] ** 2 * (np.eye(positions) if length is None else np.exp(-(apart**2) / length**2))

    def seen(k, r):
        if options["position_embedding"] is None:
            return k
        if options["position_embedding"] == "sum":
            return k + r
        e = options.get("position_width", 64)
        return (64 * k + e * r) / (64 + e)

    def behind_dense(x, y):
        k = 1.2**2 * x @ y.T / d
        return k, k  # the first layer learns its own output covariance

    k, theta = behind_dense(x, y)
    q, theta_q = seen(k, r), seen(theta, r)
    v, theta_v = (q, theta_q) if options["position_in_values"] else (k, theta)
    after, learned = np.zeros_like(k), np.zeros_like(k)
    scale = (std["value"] * std["output"]) ** 2
    if options["scaling"] == "linear":
        strength = std["query"] * std["key"]
        row = [MECHANISM[options["mechanism"]](strength * line) for line in seen(behind_dense(x, x)[0], r)]
        column = [MECHANISM[options["mechanism"]](strength * line) for line in seen(behind_dense(y, y)[0], r)]
        for p in range(positions):
            for t in range(positions):
                for a in range(positions):
                    for b in range(positions):
                        weight = scale * row[p][a] * column[t][b]
                        after[p, t] += weight * v[a, b]
                        learned[p, t] += weight * (theta_v[a, b] + 2 * v[a, b])
    else:
        scale *= (std["query"] * std["key"]) ** 2
        for p in range(positions):
            for t in range(positions):
                for a in range(positions):
                    for b in range(positions):
                        after[p, t] += scale * q[p, t] * q[a, b] * v[a, b]
                        # Four maps learn, and inputs as queries, keys and values.
                        learned[p, t] += scale * 4 * q[p, t] * q[a, b] * v[a, b]
                        learned[p, t] += scale * theta_q[p, t] * q[a, b] * v[a, b]
                        learned[p, t] += scale * q[p, t] * (theta_q[a, b] * v[a, b] + q[a, b] * theta_v[a, b])
    bias = options["bias_std"] ** 2
    nngp, ntk = (after + bias).mean(), (learned + bias).mean()
    return 0.81 * nngp, 0.81 * (nngp + ntk)


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_limit_is_that_of_sums_written_out(options):
    attention = nn.SelfAttention(64, **options)
    net = nn.Sequential(nn.Dense(64, 1.2), attention, nn.GlobalAvgPool(), nn.Dense(1, 0.9))
    x, y = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(3, 3, 4))
    expected = np.asarray([[written_out(one, two, options) for two in y] for one in x])
    np.testing.assert_allclose(InfiniteNNGP(net)(x, y), expected[..., 0], rtol=1e-12)
    np.testing.assert_allclose(InfiniteNTK(net)(x, y), expected[..., 1], rtol=1e-12)
    diagonal = [written_out(one, one, options)[1] for one in y]
    np.testing.assert_allclose(InfiniteNTK(net).diag(y), diagonal, rtol=1e-12)
    np.testing.assert_allclose(np.diag(InfiniteNTK(net)(y)), diagonal, rtol=1e-12)


def test_two_axes_of_positions_are_one():
    """Attention asks for the order of positions in embeddings only, and these are independent here."""
    x = RNG.normal(size=(4, 2, 3, 5))
    net = nn.transformer(2, 8, 1, position_embedding="sum", activation="erf", bias_std=0.1)
    np.testing.assert_allclose(InfiniteNTK(net)(x), InfiniteNTK(net)(x.reshape(4, 6, 5)), rtol=1e-12)


def test_one_position_leaves_two_dense_layers():
    """The softmax over one position is 1."""
    x = RNG.normal(size=(4, 1, 3))
    attention = nn.SelfAttention(8, value_std=1.3, output_std=0.8, bias_std=0.2)
    around = nn.Sequential(attention, nn.Erf(), nn.Flatten(), nn.Dense(1))
    plain = nn.Sequential(nn.Dense(8, 1.3), nn.Dense(8, 0.8, 0.2), nn.Erf(), nn.Dense(1))
    np.testing.assert_allclose(InfiniteNTK(around)(x), InfiniteNTK(plain)(x[:, 0, :]), rtol=1e-12)


@pytest.mark.parametrize("normalization", ["pre", "post"])
def test_transformers_with_normalization_by_hand(normalization):
    """With one position attention is two linear maps: the covariance of a block is a sum of closed forms."""
    x, w2, b2, eps = RNG.normal(size=(4, 1, 3)), 1.2**2, 0.3**2, 1e-5
    net = nn.transformer(2, 8, 1, activation="relu", normalization=normalization, weight_std=1.2, bias_std=0.3)

    def normalized(k, where):
        scale = np.sqrt(np.diag(k) + eps) if where == normalization else np.ones(len(k))
        return k / scale / scale[:, None]

    def relu(k):
        """Cho and Saul 2009."""
        s = np.sqrt(np.outer(np.diag(k), np.diag(k)))
        t = np.arccos(np.clip(k / s, -1, 1))
        return s / (2 * np.pi) * (np.sin(t) + (np.pi - t) * np.cos(t))

    k = w2 * x[:, 0] @ x[:, 0].T / 3 + b2
    for _ in range(2):
        k = normalized(k + w2 * w2 * normalized(k, "pre") + b2, "post")
        k = normalized(k + w2 * relu(w2 * normalized(k, "pre") + b2) + b2, "post")
    np.testing.assert_allclose(InfiniteNNGP(net)(x), w2 * normalized(k, "pre") + b2, rtol=1e-7)
    assert net(net.init(0, like=x), x).shape == (4, 1)


@pytest.mark.parametrize("normalization", ["pre", "post"])
def test_normalized_transformers_tend_to_their_limit(normalization):
    x = RNG.normal(size=(3, 3, 2))

    def net(width):
        return nn.transformer(
            1, width, 1, position_embedding="sum", activation="erf", normalization=normalization, bias_std=0.2
        )

    limit = InfiniteNTK(net(1))(x)
    for width, draws in ((16, 60), (64, 40)):
        mean, error = MonteCarloNTK(net(width), draws, 0).estimate(x)
        assert np.all(np.abs(mean - limit) < 5 * error + 2 * np.max(limit) / width)


def test_another_normalization_is_refused():
    with pytest.raises(ValueError, match="normalization must be one of 'pre', 'post', got 'none'"):
        nn.transformer(1, 8, 1, normalization="none")


def test_large_scores_do_not_overflow():
    x = 1e3 * RNG.normal(size=(2, 3, 4))
    net = nn.Sequential(nn.SelfAttention(4, heads=2), nn.GlobalAvgPool(), nn.Dense(1))
    assert np.isfinite(net(net.init(0, like=x), x)).all()
    assert np.isfinite(InfiniteNTK(net)(x)).all()


def test_behind_convolutions_on_many_images():
    """Where kernels of convolutional networks run plane by plane, attention does not."""
    x = RNG.normal(size=(24, 4, 4, 2))
    net = nn.Sequential(
        nn.Conv(8, (3, 3)),
        nn.ReLU(),
        nn.SelfAttention(8),
        nn.Conv(8, (3, 3)),
        nn.Erf(),
        nn.GlobalAvgPool(),
        nn.Dense(1),
    )
    whole, kernel = InfiniteNTK(net)(x), InfiniteNTK(net)
    np.testing.assert_allclose(whole[:2, 5:8], kernel(x[:2], x[5:8]), rtol=1e-12)
    np.testing.assert_array_equal(np.diag(whole), kernel.diag(x))


def test_covariances_within_inputs_are_kept_where_they_are_read():
    net = nn.Sequential(nn.Dense(4), nn.SelfAttention(4), nn.Erf(), nn.Flatten(), nn.Dense(1))
    program = Program.of(net, (3, 2))
    assert program.within == (False, True, False, False, False, False)
    assert not any(Program.of(nn.transformer(1, 4, 1, mechanism="identity", scaling="sqrt"), (3, 2)).within)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_no_limit_says_why():
    x = RNG.normal(size=(2, 3, 4))
    rest = (nn.GlobalAvgPool(), nn.Dense(1))
    softmax = nn.Sequential(nn.SelfAttention(4, scaling="sqrt"), *rest)
    with pytest.raises(ValueError, match=r"SelfAttention.*no closed form.*Monte Carlo"):
        InfiniteNTK(softmax)(x)
    assert MonteCarloNNGP(softmax, 3, 0)(x).shape == (2, 2)
    with pytest.raises(ValueError, match=r"4 channels of the data.*put a Dense layer before it"):
        InfiniteNTK(nn.Sequential(nn.SelfAttention(4, position_embedding="sum"), *rest))(x)
    # Wide on one side of a sum only.
    half = nn.Residual(nn.Dense(4))
    with pytest.raises(ValueError, match="put a Dense layer before it"):
        InfiniteNTK(nn.Sequential(half, nn.SelfAttention(4, position_embedding="sum"), *rest))(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 0}, "heads must be a whole number"),
        ({"key_width": 0}, "key_width must be a whole number"),
        ({"mechanism": "max"}, "mechanism must be one of"),
        ({"scaling": "none"}, "scaling must be one of"),
        ({"query_std": 0.0}, "query_std must be positive"),
        ({"bias_std": -1.0}, "bias_std must be finite and not negative"),
        ({"position_embedding": "product"}, "position_embedding must be one of"),
        ({"position_length": 1.0}, "position_length is given without embeddings"),
        ({"position_in_values": True}, "position_in_values is given without embeddings"),
        ({"position_embedding": "sum", "position_width": 3}, "added embeddings have the width of the inputs"),
        ({"position_embedding": "sum", "position_length": 0.0}, "position_length must be positive"),
    ],
)
def test_arguments_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        nn.SelfAttention(4, **options)


def test_other_inputs_and_parameters_are_refused():
    layer = nn.SelfAttention(4, position_embedding="sum")
    with pytest.raises(ValueError, match="needs inputs with positions"):
        layer.init(0, input_shape=5)
    params = layer.init(0, like=WORDS)
    for other in (WORDS[:, :3, :], WORDS[:, :, :3]):
        with pytest.raises(ValueError, match=r"the parameters of SelfAttention\(4, heads=1\)"):
            layer(params, other)


def test_damaged_parameters_are_found_in_files(tmp_path):
    options = {"position_embedding": "concat", "position_in_values": True, "position_width": 3}
    net = nn.Sequential(nn.SelfAttention(4, **options), nn.Flatten(), nn.Dense(1))
    params = net.init(0, like=WORDS)
    nn.save(tmp_path / "net.npz", net, params)
    assert nn.load(tmp_path / "net.npz")[0] == net
    params[0]["output"]["weight"] = params[0]["output"]["weight"][:, 1:]
    nn.save(tmp_path / "net.npz", net, params)
    with pytest.raises(ValueError, match="damaged"):
        nn.load(tmp_path / "net.npz")


# ---- transformers ----------------------------------------------------------------------------------------------------


def test_a_transformer_is_its_parts():
    net = nn.transformer(2, 8, 3, heads=2, position_embedding="sum", weight_std=1.1, bias_std=0.1)
    names = [type(layer).__name__ for layer in net.layers]
    assert names == ["Dense", *["Residual"] * 4, "GlobalAvgPool", "Dense"]
    first, second = net.layers[1].layers[0], net.layers[3].layers[0]
    assert (first.heads, first.key_width, first.position_embedding) == (2, 4, "sum")
    assert first.position_in_values
    assert second.position_embedding is None
    assert net.layers[2].layers[0].layers[0].width == 32
    params = net.init(0, like=WORDS)
    assert EmpiricalNTK(net, params)(WORDS).shape == (3, 3, 3, 3)
    with pytest.raises(ValueError, match="depth"):
        nn.transformer(0, 8, 1)


@pytest.mark.parametrize(
    ("options", "finite", "infinite"),
    [
        ({}, True, True),
        ({"position_embedding": "sum"}, False, True),
        ({"position_embedding": "sum", "position_in_values": True}, False, False),
        ({"position_embedding": "sum", "position_length": 1.0}, False, False),
    ],
)
def test_only_embeddings_tell_the_order_of_positions(options, finite, infinite):
    other = WORDS[:, [1, 0, 2, 3], :]
    net = nn.Sequential(nn.Dense(16), nn.SelfAttention(16, **options), nn.GlobalAvgPool(), nn.Dense(2))
    params, kernel = net.init(0, like=WORDS), InfiniteNTK(net)
    assert np.allclose(net(params, WORDS), net(params, other), rtol=0, atol=1e-10) == finite
    assert np.allclose(kernel(WORDS, WORDS.copy()), kernel(WORDS, other), rtol=0, atol=1e-10) == infinite
