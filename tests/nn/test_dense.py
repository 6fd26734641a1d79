"""The fully connected layer: its formula, its parameters and its errors."""

import dataclasses

import numpy as np
import pytest

from ntk_array import nn


@pytest.mark.parametrize("bias_std", [0.0, 0.5])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_the_formula(backend, rng, parameterization, bias_std):
    layer = nn.Dense(3, 1.5, bias_std, parameterization)
    x, w, b = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    params = {"weight": backend.array(w)} | ({"bias": backend.array(b)} if bias_std else {})
    z = x @ w.T + b if parameterization == "standard" else 1.5 / np.sqrt(4) * x @ w.T + 0.5 * b
    z = z if bias_std else z - (b if parameterization == "standard" else 0.5 * b)
    backend.close(layer(params, backend.array(x)), z, factor=20)


def test_parameters_and_their_shapes():
    assert {k: v.shape for k, v in nn.Dense(3, 1.0, 0.1).init(0, input_shape=(4,)).items()} == {
        "weight": (3, 4),
        "bias": (3,),
    }
    assert set(nn.Dense(3).init(0, input_shape=(4,))) == {"weight"}


def test_the_standard_parameterization_scales_the_same_draws():
    plain = nn.Dense(300, 1.5, 0.5).init(0, input_shape=(400,))
    scaled = nn.Dense(300, 1.5, 0.5, "standard").init(0, input_shape=(400,))
    np.testing.assert_allclose(scaled["weight"], plain["weight"] * 1.5 / 20, rtol=1e-15)
    np.testing.assert_allclose(scaled["bias"], plain["bias"] * 0.5, rtol=1e-15)


def test_both_parameterizations_are_one_function(rng):
    """At initialization from one seed."""
    x = rng.normal(size=(5, 4))
    plain, scaled = (nn.mlp((6, 7), 2, bias_std=0.3, parameterization=p) for p in ("ntk", "standard"))
    np.testing.assert_allclose(plain(plain.init(0, like=x), x), scaled(scaled.init(0, like=x), x), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": 0}, ValueError, r"^width must be a whole number of at least 1, got 0"),
        ({"width": 2.5}, ValueError, r"^width must be a whole number of at least 1, got 2.5"),
        ({"width": 2, "weight_std": 0.0}, ValueError, r"^weight_std must be positive"),
        ({"width": 2, "weight_std": -1.0}, ValueError, r"^weight_std must be finite and not negative"),
        ({"width": 2, "weight_std": "1"}, TypeError, r"^weight_std must be a number"),
        ({"width": 2, "bias_std": -0.1}, ValueError, r"^bias_std must be finite and not negative"),
        ({"width": 2, "bias_std": np.nan}, ValueError, r"^bias_std must be finite and not negative"),
        ({"width": 2, "parameterization": "mup"}, ValueError, r"^parameterization must be one of 'ntk', 'standard'"),
    ],
)
def test_bad_descriptions(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.Dense(**arguments)


def test_descriptions_are_immutable_plain_and_comparable():
    layer = nn.Dense(np.int64(3), np.float64(2), np.float32(0.5))
    assert (type(layer.width), type(layer.weight_std), type(layer.bias_std)) == (int, float, float)
    assert layer == nn.Dense(3, 2.0, 0.5)
    assert hash(layer) == hash(nn.Dense(3, 2.0, 0.5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.width = 4


def test_inputs_of_another_width(backend):
    layer = nn.Dense(3)
    params = layer.init(0, like=backend.array(np.ones((1, 4))))
    message = r"^Dense\(3\) has a weight for 4 features and needs inputs \(N, 4\), got"
    with pytest.raises(ValueError, match=message):
        layer(params, backend.array(np.ones((2, 5))))
    with pytest.raises(ValueError, match=message):
        layer(params, backend.array(np.ones((2, 4, 5))))


def test_positions_share_its_weights(backend):
    layer, x = nn.Dense(3, 1.2, 0.3), np.random.default_rng(0).normal(size=(2, 4, 5))
    params = layer.init(0, like=backend.array(x))
    rows = backend.host(layer(params, backend.array(x.reshape(8, 5))))
    backend.close(layer(params, backend.array(x)), rows.reshape(2, 4, 3), factor=10)


@pytest.mark.parametrize("other", [nn.Dense(4), nn.Dense(3, bias_std=1.0)])
def test_parameters_of_another_layer(backend, other):
    x = backend.array(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"^Dense\(width=3.* got parameters of another layer: weight \(\d, 4\)"):
        nn.Dense(3)(other.init(0, like=x), x)
