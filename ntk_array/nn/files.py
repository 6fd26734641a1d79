"""Networks with their parameters as files: an npz archive of plain arrays, and the architecture as JSON inside it."""

import dataclasses
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._array.archive import read_archive, write_archive
from .._array.namespace import Home, standard_namespace, to_host
from .._array.validate import finite
from ..infinite.signal import Signal
from .activations import Activation, Elementwise
from .composite import Composite
from .dense import Dense
from .layer import Layer
from .parameters import Params, check_structure, flatten, tree_map, unflatten

__all__ = ["MissingActivation", "build", "checked_activations", "describe", "load", "save"]

SCHEMA = "ntk_array network 1"


class MissingActivation(ValueError):
    """An activation of the user that a file knows by its name only."""


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
    description = {"schema": SCHEMA, "network": describe(net), "structure": tree_map(lambda _: None, params)}
    arrays = {
        f"params/{name}": to_host(finite(f"the parameter {name}", leaf)) for name, leaf in flatten(params).items()
    }
    too_long = f"the network has too many layers for one file, about {len(arrays)} parameters"
    write_archive(path, "architecture", description, arrays, too_long)


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
    given = checked_activations(activations)
    description, arrays = _read(path)
    try:
        net = build(description["network"], given)
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
        # The first matrix says how many features come in; with that the shapes of all parameters follow. Networks
        # without a matrix have factors and shifts only, one for each feature.
        sizes = [array.shape[1] for array in arrays.values() if array.ndim >= 2]
        sizes += [array.size for array in arrays.values() if array.ndim < 2]
        try:
            expected = net.parameters(Signal((sizes[0],)))
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
    """The architecture and the parameters by name."""
    description, contents = read_archive(path, "architecture", SCHEMA, "a network saved by ntk_array.nn.save")
    prefix = "params/"
    parameters = {key.removeprefix(prefix): a for key, a in contents.items() if key.startswith(prefix)}
    for key, array in parameters.items():
        if array.dtype.kind != "f" or array.dtype.itemsize > 8 or not np.isfinite(array).all():
            raise ValueError(
                f"{os.fspath(path)} is damaged: its parameter {key} is not an array of finite real numbers"
            )
    return description, parameters


def describe(net: Layer) -> dict[str, Any]:
    """A network as JSON. TypeError for layers from outside this package."""
    return _describe(net, _layers())


def build(description: dict[str, Any], activations: Mapping[str, Activation]) -> Layer:
    """The network of a description; activations of users by name.

    ValueError if a layer is unknown or an activation is missing; errors of any kind where something else stands in
    place of a layer.
    """
    return _build(description, activations, _layers())


def checked_activations(activations: Mapping[str, Activation] | None) -> Mapping[str, Activation]:
    """Activations of users by name; TypeError for anything else among them."""
    for name, activation in (activations or {}).items():
        if not isinstance(activation, Activation):
            raise TypeError(f"activations[{name!r}] is {activation!r}, not an Activation")
    return activations or {}


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
            raise MissingActivation(
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
