"""Checks of the rest of what a layer promises: facts, files, and work inside other networks."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from ntk_array import nn
from ntk_array.infinite.signal import Signal
from ntk_array.nn.activations.base import Activation
from ntk_array.nn.composite import Composite
from ntk_array.nn.parameters import flatten

from .case import Case
from .finite import check_adjoint, check_derivative, check_gram, check_jacobian
from .problem import problem


def check_signal(case: Case) -> None:
    """Shapes, of outputs and parameters, without drawing any; the degree of homogeneity."""
    net, host = case.net, problem(case)
    before = Signal(case.shape)
    assert net.signal(before).shape == host.output.shape[1:]
    expected = {name: parameter.shape for name, parameter in flatten(net.parameters(before)).items()}
    assert {name: leaf.shape for name, leaf in flatten(host.params).items()} == expected
    assert net.factor_count == _layers_with_parameters(net)
    degree, found = net.signal(before).degree, _degree(case)
    assert degree == found, f"f(a x) = a^{found} f(x) for a > 0, and the signal says {degree}"
    x = np.linspace(-2.0, 2.0, 41)[:, None]
    for phi in (layer for layer in leaves(net) if isinstance(layer, Activation)):
        there, opposite = phi.forward({}, x)[0], phi.forward({}, -x)[0]
        for fact, sign in (("odd", -1.0), ("even", 1.0)):
            holds = np.max(np.abs(opposite - sign * there)) < 1e-12
            assert getattr(phi, fact) == (holds and not isinstance(phi, nn.Elementwise)), f"{phi!r}: {fact} is wrong"


def _layers_with_parameters(net: nn.Layer) -> int:
    if isinstance(net, Composite):
        return sum(map(_layers_with_parameters, net.layers))
    return int(net.factor_count > 0)


def _degree(case: Case) -> float | None:
    """The p in f(a x) = a^p f(x), from outputs at a few multiples of the inputs; None where there is none."""
    host = problem(case)
    degrees = []
    for a in (0.5, 2.0, 3.0):
        output = case.net(host.params, a * host.x)
        factor = np.sum(output * host.output) / np.sum(host.output**2)
        if factor <= 0 or np.max(np.abs(output - factor * host.output)) > 1e-9 * np.max(np.abs(output)):
            return None
        degrees.append(np.log(factor) / np.log(a))
    return round(degrees[0], 9) if np.ptp(degrees) < 1e-9 else None


def check_files(case: Case, path) -> None:
    """Saved and loaded: the same network, the same parameters. Layers from elsewhere are refused."""
    net, params = case.net, problem(case).params
    if not all(type(layer).__module__.startswith("ntk_array.") for layer in leaves(net)):
        with pytest.raises(TypeError, match="cannot be saved"):
            nn.save(path, net, params)
        return
    nn.save(path, net, params)
    own = {layer.name: layer for layer in leaves(net) if isinstance(layer, nn.Elementwise)}
    loaded, read = nn.load(path, activations=own)
    assert loaded == net
    assert flatten(read).keys() == flatten(params).keys()
    np.testing.assert_array_equal(loaded(read, problem(case).x), net(params, problem(case).x))


def leaves(net: nn.Layer) -> Iterator[nn.Layer]:
    """All layers of a network, composites included."""
    yield net
    if isinstance(net, Composite):
        for layer in net.layers:
            yield from leaves(layer)


def check_pickling(case: Case) -> None:
    """Networks and kernels, before use and after."""
    x = problem(case).x
    net = pickle.loads(pickle.dumps(case.net))
    assert net == case.net
    np.testing.assert_array_equal(net(problem(case).params, x), problem(case).output)
    if case.limit:
        kernel = case.kernel(case.net)
        expected = kernel(x)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(kernel))(x), expected)


def inside(case: Case) -> list[Case]:
    """The network inside others: at the start of a Sequential, as a branch of a Sum, and its layers at the end of one.

    Branches see the same inputs, and the same cotangents. Behind an activation these are one for each input, so that a
    layer that writes into them is found.
    """

    def in_sequential(width: int, outputs: int) -> nn.Layer:
        return nn.Sequential(nn.Sequential(case.build(width, 4)), nn.Dense(outputs, 0.9, 0.1))

    def in_sum(width: int, outputs: int) -> nn.Layer:
        return nn.Sum(case.build(width, outputs), case.build(width, outputs), _linear(case, outputs))

    def at_the_end(leaf: nn.Layer) -> Callable[[int, int], nn.Layer]:
        branches = nn.Sum(nn.Sequential(nn.Dense(5, 1.1, 0.2), leaf), nn.Dense(5, 0.6))
        return lambda _, outputs: nn.Sequential(nn.Dense(5), branches, nn.Dense(5, 0.9), nn.Sin(), nn.Dense(outputs))

    small = [layer for layer in leaves(case.build(5, 5)) if not isinstance(layer, Composite)]
    ends = (
        []
        if len(case.shape) > 1
        else [leaf for leaf in dict.fromkeys(small) if leaf.signal(Signal((5,))).shape == (5,)]
    )
    builds = {"a sequential": in_sequential, "a sum": in_sum}
    builds |= {f"a branch that ends in {leaf!r}": at_the_end(leaf) for leaf in ends}
    return [replace(case, name=f"{case.name} in {name}", build=build) for name, build in builds.items()]


def _linear(case: Case, outputs: int) -> nn.Layer:
    """A linear network on the inputs of a case."""
    dense = nn.Dense(outputs, 0.6)
    return dense if len(case.shape) == 1 else nn.Sequential(nn.Flatten(), dense)


def check_nesting(case: Case, backend) -> None:
    """Derivatives, kernels and limits of networks that contain the network."""
    for nested in inside(case):
        check_derivative(nested, backend)
        check_adjoint(nested, backend)
        check_jacobian(nested, backend)
        check_gram(nested, backend, "full")
    if case.limit and not case.first:
        kernel, x = case.kernel, problem(case).x
        added = kernel(inside(case)[1].net)(x)
        parts = 2 * kernel(case.net)(x) + kernel(_linear(case, 1))(x)
        np.testing.assert_allclose(added, parts, rtol=0, atol=1e-12 * np.max(np.abs(parts)))
