"""Errors that nothing else runs into: each says what is wrong."""

import importlib
import re
import sys

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import cli, nn
from ntk_array.infinite.signal import Signal
from ntk_array.kernels.base import Kernel
from ntk_array.nn.activations.higher import higher_derivative
from ntk_array.nn.layer import Layer
from ntk_array.study import load_dataset
from ntk_array.study.comparison import home_of

pytestmark = pytest.mark.host
X = np.asarray([[1.0, 2.0], [0.5, -1.0]])


class Silent(Kernel):
    """A full kernel that does not say what it costs."""

    kind = "full"

    def prepared_block(self, prepared1, prepared2):
        raise AssertionError("nobody asks for it")

    block_diagonal = prepared_block


def test_a_kernel_with_outputs_states_its_costs():
    with pytest.raises(TypeError, match=r"Silent is full and must say by costs\(\)"):
        ntk.gram.plan(Silent(), X)


def test_kernels_of_other_outputs_do_not_combine():
    two, three = (ntk.EmpiricalNTK(net, net.init(0, like=X)) for net in (nn.mlp((4,), outputs) for outputs in (2, 3)))
    with pytest.raises(ValueError, match="kernels of 2 and of 3 outputs"):
        ntk.gram.plan(two + three, X)


def test_features_side_by_side_have_the_same_positions():
    with pytest.raises(ValueError, match="must have the same positions"):
        nn.Concatenate(nn.Identity(), nn.Identity()).join_signals([Signal((3, 4)), Signal((2, 4))])


def test_a_layer_says_what_it_does_not_give():
    layer = nn.Dense(2)
    with pytest.raises(TypeError, match="does not give its infinite-width limit"):
        Layer.propagate(layer, None, None)
    with pytest.raises(TypeError, match="derivative of its mean"):
        layer.limit_mean_change([], [], [])
    with pytest.raises(TypeError, match="arranges inputs, and has no state"):
        nn.ChannelsLast().of_state(None)
    with pytest.raises(TypeError, match=r"the third derivative of .* is not known here"):
        higher_derivative(nn.Mish(), np, X, 3)


def test_values_of_the_wrong_type():
    with pytest.raises(TypeError, match="hidden must be a sequence of widths"):
        nn.mlp(5, 1)
    with pytest.raises(TypeError, match="coefficients must be a sequence of numbers, got 3"):
        nn.Polynomial(3)


def test_an_affine_layer_has_parameters_of_its_inputs():
    with pytest.raises(ValueError, match="Affine has neither factors nor shifts"):
        nn.Affine(0.0)
    with pytest.raises(ValueError, match=r"needs parameters of the shape \(2,\) for inputs \(2, 2\), got .*\(3,\)"):
        nn.Affine()({"weight": np.ones(3)}, X)


def test_parameters_are_arrays():
    with pytest.raises(TypeError, match="weight is a str"):
        nn.Dense(1)({"weight": "many"}, X)


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (np.zeros((4, 2)), "auto", r"the target has shape \(4, 2\)"),
        (np.arange(101.0), "classification", "the target has 101 classes"),
    ],
)
def test_targets_of_data_sets(tmp_path, y, task, message):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones((len(y), 3)), y=y)
    with pytest.raises(ValueError, match=message):
        load_dataset(str(path), "y", task)


def test_the_command_says_what_widths_are(capsys):
    with pytest.raises(SystemExit):
        cli.main(["study", "--widths", "many"])
    assert "'many' is no list of whole numbers such as 64,256,1024" in capsys.readouterr().err


def test_a_study_asks_for_the_pictures_before_it_trains(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["study", "wine"]) == 2
    assert re.search(r"pip install .*(\[study\]|matplotlib)", capsys.readouterr().err)


def test_what_a_study_needs_is_installed_or_named(monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "sklearn", None)
        without.delitem(sys.modules, "ntk_array.sklearn", raising=False)
        with pytest.raises(ImportError, match=r"ntk_array\.sklearn needs scikit-learn: pip install"):
            importlib.import_module("ntk_array.sklearn")
        with pytest.raises(ImportError, match=r"pip install .*(\[study\]|scikit-learn)"):
            load_dataset("wine")
        without.setitem(sys.modules, "torch", None)
        with pytest.raises(ImportError, match="torch is not installed"):
            home_of("torch")
    with pytest.raises(ValueError, match="library must be one of"):
        home_of("tensorflow")
