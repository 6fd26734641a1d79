"""Networks of layers: composition, initialization, calling, and their errors."""

import numpy as np
import pytest
from scipy.special import erf

from ntk_array import EmpiricalNTK, nn
from ntk_array._array.namespace import home
from ntk_array.nn.parameters import flatten


def test_it_composes(backend, rng):
    """Against the same network written out by hand."""
    net = nn.Sequential(nn.Dense(6, 1.5, 0.2), nn.Erf(), nn.Sequential(nn.Dense(5), nn.Tanh()), nn.Dense(2))
    x = rng.normal(size=(4, 3))
    params = net.init(0, input_shape=(3,))
    h = erf(1.5 / np.sqrt(3) * x @ params[0]["weight"].T + 0.2 * params[0]["bias"])
    h = np.tanh(h @ params[2][0]["weight"].T / np.sqrt(6))
    expected = h @ params[3]["weight"].T / np.sqrt(5)
    here = backend.array(x)
    backend.close(net(net.init(0, like=here), here), expected, factor=50)


def test_bad_layers():
    with pytest.raises(ValueError, match=r"Sequential needs at least one layer"):
        nn.Sequential()
    with pytest.raises(TypeError, match=r"^layer 0 of Sequential is .*; write Sequential\(a, b, c\), not a list"):
        nn.Sequential([nn.Dense(2), nn.ReLU()])
    with pytest.raises(TypeError, match=r"^layer 1 of Sequential is 'relu', not a layer"):
        nn.Sequential(nn.Dense(2), "relu")
    with pytest.raises(TypeError, match=r"^layer 1 of Sequential"):
        nn.Sequential(nn.Dense(2), nn.ReLU)


def test_parameters_of_another_network(backend):
    x = backend.array(np.ones((2, 3)))
    net = nn.mlp((5,), 2)
    with pytest.raises(ValueError, match=r"^params has 5 entries; the network has 3 layers"):
        net(nn.mlp((5, 5), 2).init(0, like=x), x)
    with pytest.raises(ValueError, match=r"got parameters of another layer"):
        net(nn.mlp((6,), 2).init(0, like=x), x)
    with pytest.raises(ValueError, match=r"^dparams does not match the network's parameters: expected 0\.weight"):
        net.jvp(net.init(0, like=x), nn.mlp((6,), 2).init(0, like=x), x)


def test_cotangents_of_another_shape(backend):
    x = backend.array(np.ones((2, 3)))
    net = nn.mlp((5,), 2)
    params = net.init(0, like=x)
    with pytest.raises(ValueError, match=r"^u has shape \(2, 3\); expected the output's, \(2, 2\)"):
        net.vjp(params, x, x)


def test_cotangents_are_left_as_they_are(rng):
    """Activations multiply in place: at the end of a network, and one after the other."""
    x, u = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    net = nn.Sequential(nn.Dense(5), nn.Tanh(), nn.Sin(), nn.Dense(2), nn.Erf(), nn.Tanh())
    params, before = net.init(0, like=x), u.copy()
    _, pull = net.forward_and_pullback(params, x)
    first, second = (flatten(pull(u)) for _ in range(2))
    np.testing.assert_array_equal(u, before)
    for name, j in flatten(net.jacobian(params, x)).items():
        expected = np.tensordot(u, j, axes=((0, 1), (0, 1)))
        np.testing.assert_allclose(first[name], expected, rtol=1e-10, atol=1e-13)
        np.testing.assert_array_equal(first[name], second[name])


def test_outputs_that_are_no_vectors():
    """A network of activations keeps the shape of its inputs; kernels need (N, C)."""
    net = nn.Sequential(nn.Tanh())
    x = np.ones((2, 3, 4))
    assert net(net.init(0, like=x), x).shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"^the network's output has shape \(2, 3, 4\); .* end the network"):
        net.jacobian(net.init(0, like=x), x)


def test_equal_networks_are_equal():
    assert nn.mlp((5,), 2) == nn.mlp((5,), 2)
    assert hash(nn.mlp((5,), 2)) == hash(nn.mlp((5,), 2))
    assert nn.mlp((5,), 2) != nn.mlp((6,), 2)
    inner = nn.Sequential(nn.Dense(2), nn.ReLU())
    assert nn.Sequential(inner, nn.Dense(1)) != nn.Sequential(*inner.layers, nn.Dense(1))


def test_it_prints_as_it_is_written():
    net = nn.Sequential(nn.Dense(2, 1.5), nn.Sequential(nn.LeakyReLU(0.5), nn.Dense(1)))
    assert eval(repr(net), vars(nn).copy()) == net


# ---- init ----------------------------------------------------------------------------------------------------------


def test_init_needs_exactly_one_source_of_shape():
    for arguments in ({}, {"like": np.ones((2, 3)), "input_shape": (3,)}):
        with pytest.raises(ValueError, match=r"^give either like= .* or input_shape="):
            nn.mlp((4,), 1).init(0, **arguments)


def test_init_like_inputs_and_by_shape_agree(backend):
    net = nn.mlp((4,), 2, bias_std=0.1)
    x = backend.array(np.ones((2, 3)))
    one = net.init(3, like=x)
    two = net.init(3, input_shape=(3,), xp=backend.xp, device=backend.device, dtype=backend.dtype)
    for a, b in zip(flatten(one).values(), flatten(two).values(), strict=True):
        assert home(a)[1:] == home(b)[1:]
        np.testing.assert_array_equal(backend.host(a), backend.host(b))


def test_init_like_integers_gives_the_default_float(backend):
    x = backend.array(np.ones((2, 3), dtype=np.int64))
    net = nn.mlp((4,), 2)
    params = net.init(0, like=x)
    expected = {"torch": "float32"}.get(backend.name, backend.dtype_name)
    assert str(params[0]["weight"].dtype).endswith(expected)
    assert net(params, x).dtype == params[0]["weight"].dtype


def test_init_with_a_dtype_of_ones_own(backend):
    x = backend.array(np.ones((2, 3)))
    assert nn.Dense(2).init(0, like=x, dtype=backend.xp.float32)["weight"].dtype == backend.xp.float32


def test_init_by_shape_is_numpy_float64():
    weight = nn.Dense(2).init(0, input_shape=(3,))["weight"]
    assert type(weight) is np.ndarray
    assert weight.dtype == np.float64


def test_init_refuses_bad_inputs_and_libraries():
    with pytest.raises(ValueError, match=r"^like has NaN or infinity"):
        nn.Dense(2).init(0, like=np.asarray([[np.nan]]))
    with pytest.raises(TypeError, match=r"^xp must be an array library"):
        nn.Dense(2).init(0, input_shape=(3,), xp="numpy")


# ---- calling -------------------------------------------------------------------------------------------------------


def test_bind_is_the_network_with_its_parameters(backend):
    x = backend.array(np.ones((2, 3)))
    net = nn.mlp((4,), 2)
    params = net.init(0, like=x)
    np.testing.assert_array_equal(backend.host(net.bind(params)(x)), backend.host(net(params, x)))


def test_inputs_are_checked_at_every_door():
    net = nn.mlp((4,), 1)
    params = net.init(0, input_shape=(3,))
    bad = np.full((2, 3), np.nan)
    calls = (
        lambda: net(params, bad),
        lambda: net.jacobian(params, bad),
        lambda: net.jvp(params, params, bad),
        lambda: net.vjp(params, bad, np.ones((2, 1))),
        lambda: EmpiricalNTK(net, params)(bad),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"^x1? has NaN or infinity in 2 of its 2 rows"):
            call()
    with pytest.raises(TypeError, match=r"^x has dtype float32, params has float64"):
        net(params, np.ones((2, 3), dtype=np.float32))


# ---- mlp -----------------------------------------------------------------------------------------------------------


def test_mlp_is_the_layers_one_would_write():
    assert nn.mlp((5, 4), 2, activation="tanh", weight_std=1.5, bias_std=0.1) == nn.Sequential(
        nn.Dense(5, 1.5, 0.1), nn.Tanh(), nn.Dense(4, 1.5, 0.1), nn.Tanh(), nn.Dense(2, 1.5, 0.1)
    )
    assert nn.mlp((5,), 1) == nn.Sequential(nn.Dense(5, 2**0.5), nn.ReLU(), nn.Dense(1, 2**0.5))
    assert nn.mlp((), 3, weight_std=1.0) == nn.Sequential(nn.Dense(3))


def test_mlp_options():
    net = nn.mlp([5], 2, activation=nn.LeakyReLU(0.1), readout_weight_std=0.3, parameterization="standard")
    assert net.layers[1] == nn.LeakyReLU(0.1)
    assert net.layers[0].weight_std == 2**0.5
    assert net.layers[2].weight_std == 0.3
    assert {layer.parameterization for layer in net.layers[::2]} == {"standard"}


@pytest.mark.parametrize("activation", ["swish", "", "ReLU", None, nn.ReLU], ids=repr)
def test_mlp_names_the_activations_it_knows(activation):
    with pytest.raises(ValueError, match=r"^activation must be one of identity, relu, .* or an Activation layer, got"):
        nn.mlp((5,), 1, activation=activation)


def test_mlp_refuses_bad_widths():
    with pytest.raises(ValueError, match=r"^width must be a whole number"):
        nn.mlp((5, 0), 1)
    with pytest.raises(ValueError, match=r"^width must be a whole number"):
        nn.mlp((5,), 0)
    with pytest.raises(ValueError, match=r"^weight_std must be positive"):
        nn.mlp((5,), 1, readout_weight_std=0.0)
