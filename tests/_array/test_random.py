"""Draws are made on the host: one seed, one network, whatever the library."""

import numpy as np
import pytest

from ntk_array import nn
from ntk_array._array.random import normal, seed_sequence
from ntk_array.nn.parameters import flatten

NET = nn.mlp((5, 4), 2, bias_std=0.5)


def drawn(seed):
    return flatten(NET.init(seed, input_shape=(3,)))


def test_one_seed_gives_one_network_on_every_backend(backend):
    reference = drawn(7)
    there = flatten(NET.init(7, like=backend.array(np.ones((2, 3)))))
    assert list(there) == list(reference)
    for name, leaf in there.items():
        np.testing.assert_array_equal(backend.host(leaf), reference[name].astype(backend.dtype_name))


def test_other_seeds_give_other_networks():
    one, two = drawn(0), drawn(1)
    assert all(np.all(one[name] != two[name]) for name in one)


def test_the_draws_of_a_network_are_independent_standard_normals():
    weight = nn.Dense(400, bias_std=1.0).init(3, input_shape=(500,))
    w = weight["weight"]
    # 200 000 draws: the standard errors of mean and variance are 1/447 and 1/316; 5 of them
    assert abs(w.mean()) < 5 / 447
    assert abs(w.var() - 1) < 5 / 316
    assert abs(np.corrcoef(w[:, 0], weight["bias"])[0, 1]) < 5 / 20


def test_layers_have_streams_of_their_own():
    net = nn.Sequential(nn.Dense(4), nn.Tanh(), nn.Dense(4))
    first, _, last = net.init(0, input_shape=(4,))
    assert np.all(first["weight"] != last["weight"])
    deeper = nn.Sequential(nn.Dense(4), nn.Tanh(), nn.Dense(4), nn.Tanh(), nn.Dense(9)).init(0, input_shape=(4,))
    np.testing.assert_array_equal(deeper[0]["weight"], first["weight"])


def test_a_generator_advances_and_starts_like_its_twin():
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    first, second = drawn(one), drawn(one)
    assert np.all(first["0.weight"] != second["0.weight"])
    np.testing.assert_array_equal(drawn(two)["0.weight"], first["0.weight"])


def test_the_global_numpy_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    drawn(0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, np.int64(0), np.random.SeedSequence(0)], ids=repr)
def test_equal_seeds_of_any_type(seed):
    np.testing.assert_array_equal(normal(seed_sequence(seed), 3), normal(np.random.SeedSequence(0), 3))


@pytest.mark.parametrize(
    "bad",
    [-1, 1.0, "0", None, True, [1, 2], np.random.RandomState(0)],
    ids=lambda bad: "RandomState" if isinstance(bad, np.random.RandomState) else repr(bad),
)
def test_bad_seeds_are_a_type_error(bad):
    with pytest.raises(TypeError, match=r"^seed must be a whole number of at least 0 or a numpy.random.Generator"):
        NET.init(bad, input_shape=(3,))
