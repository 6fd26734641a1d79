"""Damaged and hostile files: a ValueError within a second and little memory, or the network as it was saved."""

import io
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from ntk_array import nn
from ntk_array.nn.parameters import flatten

from ..reliability import cases
from .test_files import NETWORKS, rewritten

pytestmark = pytest.mark.host
BYTES, SECONDS = 256 * 2**20, 2.0
"""What the loading of a hostile file may take; the seconds are those of this thread, and memory is watched in them."""
TRIALS = 20
"""Tests of flips, and of cuts; each damages as many files as make up the total."""
FLIPS, CUTS = cases(10, 150), cases(5, 50)


@pytest.fixture
def saved(tmp_path):
    return saved_network(tmp_path / "net.npz", "nested", np.float64)


def saved_network(path, name, dtype):
    net = NETWORKS[name]
    nn.save(path, net, net.init(0, input_shape=(3,), dtype=dtype))
    return path


def loaded(path, match=None):
    """The network and its parameters; None for a ValueError, which may have to say something."""
    said = ""
    tracemalloc.start()
    start = time.thread_time()
    try:
        found = nn.load(path)
    except ValueError as error:
        found, said = None, str(error)
    seconds, (_, most) = time.thread_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < SECONDS
    assert most < BYTES
    assert match is None or match in said
    return found


def assert_same(one, two):
    """Networks and parameters, to the last bit and in one dtype."""
    assert one[0] == two[0]
    assert list(flatten(one[1])) == list(flatten(two[1]))
    for a, b in zip(flatten(one[1]).values(), flatten(two[1]).values(), strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def flipped(content, rng):
    bad = bytearray(content)
    bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
    return bad


def cut(content, rng):
    return content[: rng.integers(len(content))]


@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize(("damage", "count"), [(flipped, FLIPS), (cut, CUTS)], ids=["flips", "cuts"])
def test_damage_is_noticed(damage, count, trial, tmp_path, record_property):
    """A flip may hit what means nothing, such as a date: then the file loads as it was."""
    rng = np.random.default_rng((trial, count))
    names = [name for name in NETWORKS if name != "custom"]
    path = saved_network(tmp_path / "net", names[trial % len(names)], rng.choice(["float32", "float64"]))
    good, right, refused = path.read_bytes(), nn.load(path), 0
    for _ in range(count):
        path.write_bytes(damage(good, rng))
        found = loaded(path)
        refused += found is None
        if found is not None:
            assert_same(found, right)
    record_property(damage.__name__, f"{refused} refused, {count - refused} as saved")
    assert refused == count if damage is cut else refused > count / 2


# ---- hostile sizes -------------------------------------------------------------------------------------------------


def in_one_member(path, name, member):
    """The saved file with other bytes in place of one array."""
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    contents[name] = member
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in contents.items():
            archive.writestr(key, content)


def npy(array, shape=None):
    """An array as bytes, with another shape claimed."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    content = buffer.getvalue()
    return content if shape is None else content.replace(str(array.shape).encode(), str(shape).encode(), 1)


def claimed(shape, descr="<f8"):
    """An array of no bytes that claims a shape."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


HOSTILE = [
    (npy(np.zeros(3), (1000000000000,)), "an array of shape (1000000000000,) has "),
    (claimed("(1000000000000000000, 1000000000000000000)"), "has 0 bytes"),
    (claimed("(0, 1000000000000000000000000)"), "is damaged"),
    (claimed("(-2, -3)"), "has 0 bytes"),
    (claimed(f"({'1,' * 2000})"), "has 0 bytes"),
    (claimed(f"({'9' * 4000},)"), "has 0 bytes"),
    (claimed(f"({'9' * 5000},)"), "is damaged"),
    (claimed("(2, 3)", ("<f8", (100000000,))), "has 0 bytes"),
    (claimed("()", "|V2000000000"), "has 0 bytes"),
    (claimed("(1000000000000000000,)", "|V0"), "is damaged"),
    (npy(np.zeros((2, 3)) * 1j), "is not an array of finite real numbers"),
    (npy(np.full((2, 3), np.nan)), "is not an array of finite real numbers"),
    (npy(np.zeros((2, 3), dtype=np.longdouble)), "is not an array of finite real numbers"),
    (npy(np.zeros(6)), "does not match"),
    (b"\x93NUMPY\x03\x00" + npy(np.zeros(3))[8:], "its arrays have version (3, 0)"),
    (b"\x93NUMPY\x01\x00\xff\xff{'descr': " + b"(" * 5000, "is damaged"),
    (b"", "is damaged"),
]


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_hostile_arrays_are_refused(case, saved):
    member, message = HOSTILE[case]
    in_one_member(saved, "params/1.weight.npy", member)
    assert loaded(saved, message) is None


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_unpacks_to_much_more_is_refused(method, saved):
    """A zip bomb: some kilobytes that stand for sixteen megabytes."""
    with zipfile.ZipFile(saved, "a", method) as archive:
        archive.writestr("params/9.weight.npy", bytes(2**24))
    assert saved.stat().st_size < 2**16
    assert loaded(saved, "compressed, or larger than the file") is None


def test_members_that_overlap_are_refused(saved):
    """A zip bomb without compression: a thousand entries for one member of a megabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("params/1.weight.npy", npy(np.zeros(2**17)))
    content = buffer.getvalue()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries = 1000 * content[start:end]
    saved.write_bytes(
        content[:start] + entries + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1000, 1000, len(entries), start, 0)
    )
    assert loaded(saved, "compressed, or larger than the file") is None


def test_many_members_are_refused(saved):
    """An entry of the directory takes ten times as much memory as bytes of the file."""
    with zipfile.ZipFile(saved, "w") as archive:
        for i in range(20000):
            archive.writestr(f"{i}.npy", b"")
    assert loaded(saved, "its directory is longer") is None


@pytest.mark.parametrize("name", ["params/1.weight.npy", "params/1.weight"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_for_one_parameter_are_refused(name, saved):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(name, npy(np.ones((2, 4))))
    assert loaded(saved, "two of its members have one name") is None


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 100_000, "[" * 100_000, "[" * 900_000, '{"schema": 1e999', '{"a": ' + "9" * 200_000 + "}", "nothing"],
    ids=["objects", "lists", "long", "infinite", "digits", "word"],
)
def test_an_architecture_that_is_no_json(text, saved):
    in_one_member(saved, "architecture.npy", npy(np.asarray(text)))
    assert loaded(saved) is None


DENSE = {"layer": "Dense", "width": 2, "weight_std": 1.0, "bias_std": 0.0, "parameterization": "ntk"}


def nested(word, depth):
    tree = DENSE
    for _ in range(depth):
        tree = {"layer": word, "layers": [tree]}
    return tree


@pytest.mark.parametrize(
    "network",
    [
        nested("Sequential", 300),
        nested("Sum", 450),
        {"layer": "Sequential", "layers": [{"layer": "Tanh"}] * 8_000},
        {"layer": "Concatenate", "layers": [DENSE] * 2_000},
        {**DENSE, "width": 10**12},
        {**DENSE, "width": 10**400},
        {**DENSE, "weight_std": 1e999},
        {**DENSE, "weight_std": [1.0]},
        {"layer": ["Dense"]},
        {"layer": "Sequential", "layers": "Tanh"},
    ],
    ids=["nested", "nested sums", "long", "wide", "1e12", "1e400", "infinite", "list", "name", "word"],
)
def test_hostile_networks_are_refused(network, saved):
    rewritten(saved, lambda description: {**description, "network": network})
    assert loaded(saved) is None


@pytest.mark.parametrize("depth", [100, 450, 550, 900])
def test_a_structure_nested_without_end(depth, saved):
    """Beyond what Python recurses into."""

    def change(description):
        for _ in range(depth):
            description["structure"] = [description["structure"]]
        return description

    rewritten(saved, change)
    assert loaded(saved, "is damaged") is None


def test_a_network_that_could_not_be_loaded_is_not_saved(tmp_path):
    net = nn.Sequential(*[nn.Tanh()] * 15_000, nn.Dense(1))
    with pytest.raises(ValueError, match="too many layers for one file"):
        nn.save(tmp_path / "net", net, net.init(0, input_shape=(3,)))
    assert not list(tmp_path.iterdir())


def test_arrays_of_another_byte_order_are_read(saved):
    weight = flatten(nn.load(saved)[1])["1.weight"]
    in_one_member(saved, "params/1.weight.npy", npy(weight.astype(weight.dtype.newbyteorder())))
    again = flatten(nn.load(saved)[1])["1.weight"]
    np.testing.assert_array_equal(again, weight)
    assert again.dtype.isnative
