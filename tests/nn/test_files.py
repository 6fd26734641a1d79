"""Saving and loading: bitwise, without pickle, and with an error for whatever is not such a file."""

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.namespace import home
from ntk_array.nn.activations import NAMED
from ntk_array.nn.parameters import flatten


def bump(xp, x):
    return xp.sin(x) + x


def bump_prime(xp, x):
    return xp.cos(x) + 1


BUMP = nn.Elementwise(bump, bump_prime, breakpoints=(0.5,), name="bump")
NETWORKS = {
    **{name: nn.mlp((5,), 2, activation=name, bias_std=0.1) for name in NAMED},
    "leaky": nn.mlp((5, 4), 2, activation=nn.LeakyReLU(0.3), weight_std=1.25, readout_weight_std=0.1),
    "standard": nn.mlp((5,), 2, bias_std=0.3, parameterization="standard"),
    "nested": nn.Sequential(nn.Sequential(nn.Dense(4), nn.Tanh()), nn.Dense(2, 0.1 + 0.2)),
    "dense": nn.Dense(2, bias_std=1 / 3),
    "no matrix": nn.Sequential(nn.LayerNorm(), nn.Affine(bias_std=0.1)),
    "custom": nn.mlp((5,), 2, activation=BUMP),
}


@pytest.fixture
def saved(tmp_path):
    net = NETWORKS["nested"]
    path = tmp_path / "net.npz"
    params = net.init(0, input_shape=(3,))
    nn.save(path, net, params)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip_is_bitwise(name, tmp_path, backend):
    net = NETWORKS[name]
    x = backend.array(np.random.default_rng(0).normal(size=(4, 3)))
    params = net.init(1, like=x)
    nn.save(tmp_path / "net", net, params)
    again, loaded = nn.load(tmp_path / "net", xp=backend.xp, device=backend.device, activations={"bump": BUMP})
    assert again == net
    assert list(flatten(loaded)) == list(flatten(params))
    for one, two in zip(flatten(loaded).values(), flatten(params).values(), strict=True):
        assert home(one)[1:] == home(two)[1:]
        np.testing.assert_array_equal(backend.host(one), backend.host(two))
    np.testing.assert_array_equal(backend.host(again(loaded, x)), backend.host(net(params, x)))


def test_dtype_is_kept_or_chosen(tmp_path):
    net = NETWORKS["dense"]
    nn.save(tmp_path / "net", net, net.init(0, input_shape=(3,), dtype=np.float32))
    assert nn.load(tmp_path / "net")[1]["weight"].dtype == np.float32
    assert nn.load(tmp_path / "net", dtype=np.float64)[1]["weight"].dtype == np.float64


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_of_either_type_and_no_suffix_added(kind, tmp_path):
    net = NETWORKS["dense"]
    path = kind(tmp_path / "a network.bin")
    nn.save(path, net, net.init(0, input_shape=(3,)))
    assert [p.name for p in tmp_path.iterdir()] == ["a network.bin"]
    assert nn.load(path)[0] == net


def test_an_activation_of_ones_own_must_be_given_again(tmp_path):
    net = NETWORKS["custom"]
    nn.save(tmp_path / "net", net, net.init(0, input_shape=(3,)))
    with pytest.raises(ValueError, match=r"activation of your own named 'bump'; pass activations=\{'bump': ...\}"):
        nn.load(tmp_path / "net")
    with pytest.raises(TypeError, match=r"activations\['bump'\] is .*, not an Activation"):
        nn.load(tmp_path / "net", activations={"bump": bump})


def test_a_layer_of_ones_own_cannot_be_saved(tmp_path):
    class Mine(nn.Tanh):
        pass

    with pytest.raises(TypeError, match=r"cannot be saved: only layers of ntk_array.nn can"):
        nn.save(tmp_path / "net", Mine(), {})
    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_no_pickle(saved):
    with zipfile.ZipFile(saved) as archive:
        for name in archive.namelist():
            assert archive.read(name).startswith(b"\x93NUMPY")
    with np.load(saved, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fU" for name in archive.files)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the file was executed",))


def test_a_pickle_in_the_file_is_not_executed(tmp_path):
    np.savez(tmp_path / "net.npz", architecture=np.asarray(Bomb(), dtype=object))
    with pytest.raises(ValueError, match="is damaged: Object arrays cannot be loaded"):
        nn.load(tmp_path / "net.npz")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="is not a network saved by"):
        nn.load(tmp_path / "pickle")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 but no archive"])
def test_foreign_files_are_refused(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="is not a network saved by"):
        nn.load(tmp_path / "file")


def rewritten(path, change, drop=()):
    """The saved file with its architecture changed."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name not in drop}
    arrays["architecture"] = np.asarray(json.dumps(change(json.loads(str(arrays["architecture"])))))
    np.savez(path, **arrays)


def deep_change(description, **changes):
    description["network"]["layers"][1].update(changes)
    return description


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {**d, "schema": "ntk_array network 2"}, "has schema 'ntk_array network 2'; this version reads"),
        (lambda d: [1, 2], "has schema None"),
        (lambda d: {"schema": d["schema"]}, "is damaged"),
        (lambda d: {**d, "network": None}, "is damaged"),
        (lambda d: deep_change(d, colour="red"), "is damaged.*colour"),
        (lambda d: deep_change(d, layer="Attention"), "unknown layer 'Attention'; it may be from a newer version"),
        (lambda d: deep_change(d, width=3), "does not match the network's parameters"),
        (lambda d: deep_change(d, width=-3), "width must be a whole number"),
        (lambda d: deep_change(d, bias_std=1.0), "does not match the network's parameters"),
        (lambda d: {**d, "structure": [{}, {}]}, "is damaged: its arrays are not those of its structure"),
    ],
)
def test_architectures_that_do_not_fit_are_refused(change, message, saved):
    rewritten(saved, change)
    with pytest.raises(ValueError, match=message):
        nn.load(saved)


def test_lost_arrays_are_noticed(saved):
    rewritten(saved, lambda d: d, drop=["params/1.weight"])
    with pytest.raises(ValueError, match="is damaged: its arrays are not those of its structure"):
        nn.load(saved)
    np.savez(saved, x=np.ones(3))
    with pytest.raises(ValueError, match="is not a network saved by"):
        nn.load(saved)


@pytest.mark.host
def test_factors_and_shifts_of_different_lengths(tmp_path):
    nn.save(tmp_path / "net", nn.Affine(bias_std=0.1), {"weight": np.ones(3), "bias": np.ones(4)})
    with pytest.raises(ValueError, match="does not match the network's parameters"):
        nn.load(tmp_path / "net")


def test_parameters_that_could_not_be_loaded_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"^the parameter weight has NaN or infinity"):
        nn.save(tmp_path / "net.npz", nn.Dense(2), {"weight": np.full((2, 3), np.nan)})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    net = NETWORKS["dense"]
    with pytest.raises(KeyboardInterrupt):
        nn.save(saved, net, net.init(0, input_shape=(3,)))
    assert saved.read_bytes() == before


def test_saving_replaces_an_older_file(saved):
    net = NETWORKS["dense"]
    nn.save(saved, net, net.init(0, input_shape=(3,)))
    assert nn.load(saved)[0] == net
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


# ---- pickling: what worker processes need --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_pickled(name):
    assert pickle.loads(pickle.dumps(NETWORKS[name])) == NETWORKS[name]


def test_kernels_are_pickled(backend):
    x = backend.array(np.random.default_rng(0).normal(size=(4, 3)))
    net = NETWORKS["custom"]
    closed = nn.mlp((5,), 2, bias_std=0.1)
    params = net.init(0, like=x)
    kernels = [
        ntk.InfiniteNTK(closed),
        ntk.InfiniteNNGP(closed),
        ntk.EmpiricalNTK(net, params, "trace", ("0", "2.weight")),
        ntk.EmpiricalNNGP(net, params),
        ntk.MonteCarloNTK(closed, 3, 5),
        2.0 * ntk.InfiniteNTK(closed) * ntk.InfiniteNNGP(closed) + ntk.InfiniteNTK(closed),
    ]
    for kernel in kernels:
        again = pickle.loads(pickle.dumps(kernel))
        np.testing.assert_array_equal(backend.host(again(x)), backend.host(kernel(x)))


@dataclass(frozen=True)
class Scale(nn.Activation):
    """phi(x) = factor x: an activation that a user wrote as a class."""

    factor: float

    def function(self, xp, x):
        return self.factor * x

    def derivative(self, xp, x):
        return self.factor * xp.ones_like(x)


def test_a_users_own_class_is_pickled_and_refused_by_save(tmp_path):
    net = nn.Sequential(nn.Dense(3), Scale(2.0), nn.Dense(1))
    assert pickle.loads(pickle.dumps(net)) == net
    with pytest.raises(TypeError, match=r"Scale\(factor=2.0\) cannot be saved"):
        nn.save(tmp_path / "net", net, net.init(0, input_shape=(2,)))
