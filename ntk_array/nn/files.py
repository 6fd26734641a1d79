"""Networks with their parameters as files: an npz archive of plain arrays, and the architecture as JSON inside it."""

import dataclasses
import inspect
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._array.namespace import Home, standard_namespace, to_host
from .._array.validate import finite
from .._support.atomic import write_whole
from ..infinite.signal import Signal
from .activations import Activation, Elementwise
from .composite import Composite
from .dense import Dense
from .layer import Layer
from .parameters import Params, check_structure, flatten, tree_map, unflatten

__all__ = ["load", "save"]

SCHEMA = "ntk_array network 1"
MAX_ARCHITECTURE_BYTES = 1_000_000
MAX_DIRECTORY_BYTES = 500_000
"""Of an archive: some thousands of arrays. Networks of more layers have longer architectures than are allowed."""


def save(path: str | os.PathLike[str], net: Layer, params: Params) -> None:
    """Write a network and its parameters to one npz file, readable by anything that reads NumPy's format.

    The file is written beside ``path`` and renamed, so that an interrupted save leaves the old file as it was.

    Parameters
    ----------
    path : path
        Where to; ".npz" is not appended.
    net : Layer
        The network. An activation of your own is saved by its name only: give it again to :func:`load`.
    params
        Its parameters, on any library; they are copied to the host.

    Raises
    ------
    ValueError
        If a parameter is NaN or infinite, or there are thousands of layers: such a network could not be loaded.
    """
    layers = _layers()
    architecture = np.asarray(
        json.dumps({"schema": SCHEMA, "network": _describe(net, layers), "structure": tree_map(lambda _: None, params)})
    )
    if architecture.nbytes > MAX_ARCHITECTURE_BYTES:
        raise ValueError(f"the network has too many layers for one file, about {len(flatten(params))} parameters")
    arrays = {
        f"params/{name}": to_host(finite(f"the parameter {name}", leaf)) for name, leaf in flatten(params).items()
    }
    # Written in memory first, so that the file can be put in place whole.
    buffer = io.BytesIO()
    np.savez(buffer, architecture=architecture, **arrays)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def load(
    path: str | os.PathLike[str],
    *,
    xp: Any = np,
    device: Any = None,
    dtype: Any = None,
    activations: Mapping[str, Activation] | None = None,
) -> tuple[Layer, Params]:
    """Read what :func:`save` wrote. Nothing in the file is executed: there is no pickle in it.

    Parameters
    ----------
    path : path
        The file.
    xp, device, dtype : optional
        The library (default NumPy), device and dtype for the parameters; dtype None keeps what was saved.
    activations : mapping from name to Activation, optional
        The :class:`Elementwise` activations the network was built with.

    Returns
    -------
    net, params

    Raises
    ------
    ValueError
        If the file is not a saved network, is damaged, or its parameters do not fit its architecture.
    """
    for name, activation in (activations or {}).items():
        if not isinstance(activation, Activation):
            raise TypeError(f"activations[{name!r}] is {activation!r}, not an Activation")
    description, arrays = _read(path)
    try:
        net = _build(description["network"], activations or {}, _layers())
        structure = _tuples(description["structure"])
    except ValueError:
        raise  # says what is wrong with a layer, or that an activation is missing
    except Exception as error:  # whose kind depends on what stands in place of a layer
        raise ValueError(f"{os.fspath(path)} is damaged: its architecture makes no network ({error!r})") from error
    xp = standard_namespace(xp)

    def placed(array: np.ndarray) -> Any:
        own = getattr(xp, str(array.dtype)) if dtype is None else dtype
        return Home(xp, own, device).asarray(array)

    if set(flatten(structure)) != set(arrays):
        raise ValueError(f"{os.fspath(path)} is damaged: its arrays are not those of its structure")
    params = unflatten(structure, {name: placed(array) for name, array in arrays.items()})
    if arrays:
        # The first matrix says how many features come in; with that the shapes of all parameters follow.
        first = next((array for array in arrays.values() if array.ndim >= 2), None)
        if first is None:
            raise ValueError(f"{os.fspath(path)} is damaged: it has no matrix of weights")
        try:
            expected = net.parameters(Signal((first.shape[1],)))
        except Exception as error:
            # Inputs with positions: their number is not in the file, so that each layer is looked at by itself.
            if not _fits(net, params):
                raise ValueError(f"{os.fspath(path)} is damaged: its layers do not fit together ({error})") from error
        else:
            check_structure(f"the parameters in {os.fspath(path)}", params, expected)
    return net, params


def _fits(net: Layer, params: Params) -> bool:
    """Whether a network takes positions, and each of its layers with weights has parameters of its own shapes."""
    found = list(_leaves(net, params))
    positions = any(not isinstance(layer, Activation | Dense) for layer, _ in found)
    return positions and all(layer.fits(own) for layer, own in found)


def _leaves(net: Layer, params: Params) -> Iterator[tuple[Layer, Params]]:
    if not isinstance(net, Composite):
        yield net, params
        return
    for layer, own in zip(net.layers, params, strict=True):
        yield from _leaves(layer, own)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The architecture and the parameters by name. What a file claims to hold is compared with its size first."""
    from zipfile import ZipFile, is_zipfile  # takes a while to import

    name = os.fspath(path)
    with _LimitedReads(path) as file:
        if not is_zipfile(file):
            raise ValueError(f"{name} is not a network saved by ntk_array.nn.save")
        room = file.seek(0, os.SEEK_END)
        try:
            with ZipFile(file) as archive:
                file.limited, members = False, archive.infolist()
                # Nothing is compressed, so that all members together are no larger than the file. Where the two sizes
                # of a member differ, memory would be asked for by the one that is not checked.
                packed = any(m.compress_type or m.compress_size != m.file_size for m in members)
                if packed or sum(m.file_size for m in members) > room:
                    raise ValueError("its members are compressed, or larger than the file")
                names = [m.filename.removesuffix(".npy") for m in members]
                if len(set(names)) < len(names):
                    raise ValueError("two of its members have one name")
                contents = {key: _array(archive.read(m)) for key, m in zip(names, members, strict=True)}
        except Exception as error:  # zipfile and NumPy have a dozen for damaged bytes
            raise ValueError(f"{name} is damaged: {str(error) or type(error).__name__}") from error
    architecture = contents.pop("architecture", None)
    if architecture is None or architecture.dtype.kind != "U" or architecture.nbytes > MAX_ARCHITECTURE_BYTES:
        raise ValueError(f"{name} is not a network saved by ntk_array.nn.save")
    try:
        description = json.loads(str(architecture))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: its architecture is no JSON ({error})") from error
    schema = description.get("schema") if isinstance(description, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{name} has schema {schema!r}; this version reads {SCHEMA!r}")
    prefix = "params/"
    parameters = {key.removeprefix(prefix): a for key, a in contents.items() if key.startswith(prefix)}
    for key, array in parameters.items():
        if array.dtype.kind != "f" or array.dtype.itemsize > 8 or not np.isfinite(array).all():
            raise ValueError(f"{name} is damaged: its parameter {key} is not an array of finite real numbers")
    return description, parameters


class _LimitedReads(io.FileIO):
    """A file of which no more than a directory is read at once, while it is ``limited``.

    An archive is as hostile as its directory is long: its entries take ten times as much memory as the bytes of them.
    """

    limited = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limited and size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError("its directory is longer than that of any network")
        return super().read(-1 if size is None else size)


def _array(content: bytes) -> np.ndarray:
    """An array in NumPy's format, in this machine's byte order. ValueError where its header claims another size."""
    file = io.BytesIO(content)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"its arrays have version {version}")
    shape, fortran, dtype = read[version](file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they are pickles")
    numbers = content[file.tell() :]
    # In Python's integers, which do not overflow.
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"an array of shape {shape} has {len(numbers)} bytes")
    array = np.frombuffer(numbers, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def _layers() -> dict[str, type[Layer]]:
    """The layers of this package by name: every class of it that has no part left to implement."""
    found, pending = {}, [Layer]
    while pending:
        # Only classes of this package are built from a file, so that a file cannot name anything else.
        for layer in pending.pop().__subclasses__():
            pending.append(layer)
            if layer.__module__.startswith(f"{__package__}.") and not inspect.isabstract(layer):
                found[layer.__name__] = layer
    return found


def _describe(layer: Layer, layers: Mapping[str, type[Layer]]) -> dict[str, Any]:
    name = type(layer).__name__
    if isinstance(layer, Elementwise):
        return {"layer": name, "name": layer.name}
    if layers.get(name) is not type(layer):
        raise TypeError(f"{layer!r} cannot be saved: only layers of ntk_array.nn can; build it from an Elementwise")
    if isinstance(layer, Composite):
        return {"layer": name, "layers": [_describe(inner, layers) for inner in layer.layers]}
    return {"layer": name, **dataclasses.asdict(layer)}  # type: ignore[call-overload]


def _build(description: dict[str, Any], given: Mapping[str, Activation], layers: Mapping[str, type[Layer]]) -> Layer:
    if not isinstance(description, dict):
        raise TypeError(f"{str(description)[:40]!r} in place of a layer")
    options = dict(description)
    name = options.pop("layer")
    if name == "Elementwise":
        if options["name"] not in given:
            raise ValueError(
                f"the network has an activation of your own named {options['name']!r}; "
                f"pass activations={{{options['name']!r}: ...}} to load it"
            )
        return given[options["name"]]
    if name not in layers:
        raise ValueError(f"the file has an unknown layer {name!r}; it may be from a newer version of ntk_array")
    if issubclass(layers[name], Composite):
        return layers[name](*(_build(inner, given, layers) for inner in options["layers"]))
    return layers[name](**options)


def _tuples(tree: Any) -> Any:
    """JSON knows lists only; parameters are nested tuples and dictionaries."""
    if isinstance(tree, dict):
        return {key: _tuples(part) for key, part in tree.items()}
    return tuple(_tuples(part) for part in tree) if isinstance(tree, list) else tree
