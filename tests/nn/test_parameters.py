"""Parameters as nested tuples and dictionaries, and their names."""

import numpy as np
import pytest

from ntk_array import nn
from ntk_array.nn.parameters import check_structure, flatten, select, tree_map, unflatten

TREE = ({"weight": 1, "bias": 2}, {}, ({"weight": 3}, ()), {"weight": 4})


def test_names_are_paths_in_order():
    assert flatten(TREE) == {"0.weight": 1, "0.bias": 2, "2.0.weight": 3, "3.weight": 4}
    assert flatten({"weight": 5}) == {"weight": 5}
    assert flatten(({}, ())) == {}


def test_unflatten_undoes_flatten():
    assert unflatten(TREE, flatten(TREE)) == TREE
    assert unflatten({}, {}) == {}


def test_tree_map_keeps_the_structure():
    assert tree_map(lambda a, b: a + b, TREE, TREE) == (
        {"weight": 2, "bias": 4},
        {},
        ({"weight": 6}, ()),
        {"weight": 8},
    )
    with pytest.raises(ValueError):
        tree_map(lambda a, b: a, TREE, TREE[:2])


def test_structures_are_compared_by_name_and_shape():
    one, two = {"a": np.ones((2, 3))}, {"a": np.ones((3, 2))}
    check_structure("tree", one, {"a": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"^tree does not match .*: expected a \(3, 2\), got a \(2, 3\)"):
        check_structure("tree", one, two)
    with pytest.raises(ValueError, match=r"expected none, got a \(2, 3\)"):
        check_structure("tree", one, {})
    with pytest.raises(ValueError, match=r"expected b \(2, 3\), got a"):
        check_structure("tree", one, {"b": one["a"]})


@pytest.mark.parametrize(
    ("trainable", "chosen"),
    [
        (None, ["0.weight", "0.bias", "2.0.weight", "3.weight"]),
        ("last", ["3.weight"]),
        ("0", ["0.weight", "0.bias"]),
        ("2", ["2.0.weight"]),
        ("0.bias", ["0.bias"]),
        (["0.bias", "3"], ["0.bias", "3.weight"]),
        (("2.0",), ["2.0.weight"]),
    ],
)
def test_parameters_are_selected_by_name(trainable, chosen):
    names = [name for name, kept in flatten(select(TREE, trainable)).items() if kept]
    assert names == chosen


def test_last_is_the_last_layer_that_has_parameters():
    net = nn.Sequential(nn.Dense(3, bias_std=1.0), nn.Tanh(), nn.Dense(2, bias_std=1.0), nn.Identity())
    kept = flatten(select(net.init(0, input_shape=(3,)), "last"))
    assert [name for name in kept if kept[name]] == ["2.weight", "2.bias"]
    assert select({"weight": 1, "bias": 2}, "last") == {"weight": True, "bias": True}


@pytest.mark.parametrize("word", ["1", "weight", "0.wei", "9", "0.", ""])
def test_a_name_that_is_not_there(word):
    with pytest.raises(ValueError, match=r"^trainable names .*; the network's parameters are 0\.weight, 0\.bias"):
        select(TREE, word)


def test_nothing_selected():
    with pytest.raises(ValueError, match=r"^trainable selects no parameter; use None for all of them"):
        select(TREE, [])
    with pytest.raises(ValueError, match=r"^the network has no parameters"):
        select(({}, ()), None)
