"""Networks as programs: unrolled once, walked once a batch, kept by the kernel and by nobody else."""

import ast
import gc
import sys
import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.namespace import home
from ntk_array._formula import compilers
from ntk_array.infinite import stretches
from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.dual import Dual
from ntk_array.infinite.program import Program
from ntk_array.nn.activations.base import ClosedForm

pytestmark = pytest.mark.host


def test_unrolled_once_nested_or_not():
    inner = nn.Sequential(nn.Dense(3, bias_std=0.1), nn.ReLU())
    net = nn.Sequential(inner, nn.Residual(nn.Sequential(nn.Dense(3), nn.Erf())), nn.Sequential(nn.Dense(1)))
    program = Program.of(net, (5,))
    names = [type(step.layer).__name__ for step in program.steps]
    assert names == ["Dense", "ReLU", "Dense", "Erf", "Identity", "Residual", "Dense"]
    assert [step.sources for step in program.steps] == [(0,), (1,), (2,), (3,), (2,), (4, 5), (6,)]
    assert [signal.shape for signal in program.signals] == [(5,), (3,), (3,), (3,), (3,), (3,), (3,), (1,)]
    assert not program.means  # one of the two that are added is centred
    uncentred = nn.Sequential(
        nn.Dense(3), nn.Residual(nn.Sequential(nn.Dense(3), nn.ReLU())), nn.Residual(inner), nn.Dense(1)
    )
    assert Program.of(uncentred, (5,)).means


def test_three_hundred_layers_are_traced_once(monkeypatch):
    """Equal layers with equal facts share what is compiled; a second call traces nothing."""
    traced = []
    trace = stretches.trace
    monkeypatch.setattr(stretches, "trace", lambda *arguments: traced.append(1) or trace(*arguments))
    x = np.random.default_rng(0).normal(size=(200, 3))
    kernel = ntk.InfiniteNTK(nn.mlp((1,) * 150, 1, weight_std=2**0.5, bias_std=0.05))
    first = kernel(x)
    made = len(traced)
    assert np.array_equal(kernel(x), first)
    assert np.array_equal(kernel(x + 0.0), first)
    assert len(traced) == made
    # The first Dense, a ReLU, a Dense within and the last Dense, of which the NTK only is read: four, of which a second
    # thread may trace some at the same time.
    assert made <= 8
    assert made >= 4 or compilers.compiler_for(np.empty((200, 200))) is None


class Times(ClosedForm):
    """phi(x) = c x. Not a dataclass: two of them are equal, whatever c is; and c may be what cannot be hashed."""

    def __init__(self, c):
        object.__setattr__(self, "c", c)

    def function(self, xp, x):
        return float(np.sum(self.c)) * x

    def derivative(self, xp, x):
        return float(np.sum(self.c)) * xp.ones_like(x)

    def dual(self, state):
        c2 = float(np.sum(self.c)) ** 2
        return Dual(c2 * state.k12, home(state.k12).xp.full_like(state.k12, c2))

    def dual_tangent(self, state, change):
        raise AssertionError("no derivative is asked for")


@pytest.mark.parametrize("hold", [float, lambda c: [c], np.asarray], ids=["float", "list", "array"])
def test_layers_that_compare_equal_are_told_apart_by_what_they_hold(hold):
    """One linear layer after another: K is that of the product of all factors."""
    factors = (2.0, 3.0, 5.0)
    layers = [part for c in factors for part in (Times(hold(c)), nn.Dense(1))]
    x = np.random.default_rng(0).normal(size=(200, 3))
    kernel = ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1, 1.0, 0.3), *layers))
    np.testing.assert_allclose(kernel(x), 30.0**2 * (x @ x.T / 3 + 0.09), rtol=1e-12, atol=1e-12)


def test_a_search_leaves_no_layer_behind():
    x = np.random.default_rng(0).normal(size=(30, 3))
    alive = []
    for k in range(50):
        net = nn.mlp((4, 4), 1, activation="tanh" if k % 10 == 0 else "relu", weight_std=1.0 + 0.01 * k, bias_std=0.1)
        kernel = ntk.InfiniteNTK(net)
        kernel(x)
        alive += [weakref.ref(layer) for layer in net.layers]
    del net, kernel
    gc.collect()
    assert sum(one() is not None for one in alive) == 0


def test_rescaled_kernels_share_tables():
    calls = []

    def phi(xp, x):
        calls.append(1)
        return xp.tanh(x)

    activation = nn.Elementwise(phi, lambda xp, x: 1 - xp.tanh(x) ** 2)
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1, activation=activation, bias_std=0.1))
    x = np.random.default_rng(0).normal(size=(10, 3))
    kernel(x)
    made = len(calls)
    kernel.rescaled(weight_std=1.001)(x)
    assert len(calls) == made > 0


def test_layers_that_hold_the_same_share_a_table():
    """Linear functions, so that K is x x' / 3 times the squares of all factors."""
    calls = []

    def line(xp, x):
        calls.append(1)
        return 1.0 * x

    def activation(factor):
        return nn.Elementwise(line, lines) if factor == 1.0 else nn.Elementwise(double, doubles)

    def lines(xp, x):
        return xp.ones_like(x)

    def double(xp, x):
        return 2.0 * x

    def doubles(xp, x):
        return 2.0 * xp.ones_like(x)

    def values_of_phi(*factors):
        """How often it was asked for, once the kernel was found to be right."""
        calls.clear()
        layers = [part for factor in factors for part in (nn.Dense(1, 1.0), activation(factor))]
        kernel = ntk.InfiniteNNGP(nn.Sequential(*layers, nn.Dense(1, 1.0)))
        np.testing.assert_allclose(kernel(x), np.prod(factors) ** 2 * x @ x.T / 3, rtol=0, atol=1e-11)
        return len(calls)

    x = np.random.default_rng(0).normal(size=(9, 3))
    assert values_of_phi(1.0) == values_of_phi(1.0, 1.0) == values_of_phi(1.0, 2.0) > 0


def test_a_batch_is_walked_once():
    class Counting(nn.ReLU):
        shapes: ClassVar[list] = []

        def dual(self, state):
            self.shapes.append(getattr(state.k12, "ndim", 2))
            return super().dual(state)

    kernel = ntk.InfiniteNTK(nn.Sequential(nn.Dense(1, bias_std=0.2), Counting(), nn.Dense(1)))
    x = np.random.default_rng(0).normal(size=(400, 3))
    ntk.gram.assemble(kernel, x, threads=1, memory="2 MB")
    assert len(ntk.gram.plan(kernel, x, threads=1, memory="2 MB")) > 4
    assert Counting.shapes.count(1) == 1


def test_a_change_drops_the_angle_unless_it_says_what_becomes_of_it():
    one = np.ones((2, 2))
    state = Covariance(one, one[:, :1], one[:1], sine=0 * one)
    assert state.to(k12=2 * one).sine is None
    assert state.to(ntk=one).sine is not None
    assert state.to(k12=2 * one, sine=one).sine is one
    assert state.scaled(2.0).sine is state.sine
    assert np.all(state.plus(0.5).sine == 0)
    assert np.all(state.plus(state).sine == 0)


def depth_of(kernel, x):
    """Python frames from the call of a kernel to the arithmetic of its activation."""
    deepest = [0]

    def profile(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "dual" and frame.f_locals["state"].k12.ndim == 2:
            depth = 1
            while frame.f_code is not ntk.Kernel.__call__.__code__:
                depth, frame = depth + 1, frame.f_back
            deepest[0] = max(deepest[0], depth)

    sys.setprofile(profile)
    try:
        kernel(x)
    finally:
        sys.setprofile(None)
    return deepest[0]


def test_few_frames_to_the_arithmetic():
    kernel = ntk.InfiniteNTK(nn.Sequential(nn.Dense(1, bias_std=0.3), nn.ReLU(), nn.Dense(1)))
    x = np.random.default_rng(0).normal(size=(20, 3))
    assert depth_of(kernel, x) < 9


def outside_functions(tree):
    """What is defined once for the process: a function within another one is made anew by each call of that."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, ast.FunctionDef):
            yield from outside_functions(node)


def caches():
    """Functions that keep results for the whole process."""
    package = Path(ntk.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in outside_functions(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                name = ast.unparse(decorator).split("(")[0].split(".")[-1]
                if name in ("cache", "lru_cache"):
                    found.append(f"{path.relative_to(package)}:{node.name}")
    return found


def test_at_most_four_process_wide_caches():
    assert len(caches()) <= 4, caches()
