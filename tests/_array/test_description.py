"""Descriptions of objects: equal for equal values, different for others, and refused where that cannot be known."""

import functools
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._array.description import canonical, description_of

pytestmark = pytest.mark.host
GAIN = 2.0
X = np.random.default_rng(0).normal(size=(4, 3))


def scaled(xp, x):
    return GAIN * x


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def text(value):
    return canonical(description_of("value", value))


def power(exponent):
    return lambda xp, x: x**exponent


@dataclass(frozen=True)
class Shifted(ntk.Kernel):
    """A kernel of a user."""

    inner: ntk.Kernel
    shift: Any = 1.0

    def prepared_block(self, prepared1, prepared2):
        return self.inner.prepared_block(prepared1, prepared2) + self.shift

    def block_diagonal(self, x):
        return self.inner.block_diagonal(x) + self.shift


def empirical(seed, **options):
    net = ntk.nn.mlp((5,), 2)
    return ntk.EmpiricalNTK(net, net.init(seed, like=X), **options)


def elementwise(phi):
    return ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation=ntk.nn.Elementwise(phi, lambda xp, x: xp.ones_like(x))))


def dropout(seed):
    net = ntk.nn.Sequential(ntk.nn.Dense(4), ntk.nn.Dropout(0.5, mode="train"), ntk.nn.Dense(1))
    return ntk.EmpiricalNTK(net.sampled(seed), net.init(0, like=X))


PAIRS = {
    "parameters": (lambda: empirical(0), lambda: empirical(1)),
    "outputs": (lambda: empirical(0), lambda: empirical(0, outputs="trace")),
    "trainable": (lambda: empirical(0), lambda: empirical(0, trainable="last")),
    "seed": (
        lambda: ntk.MonteCarloNTK(ntk.nn.mlp((4,), 1), 3, 0),
        lambda: ntk.MonteCarloNTK(ntk.nn.mlp((4,), 1), 3, 1),
    ),
    "masks": (lambda: dropout(0), lambda: dropout(1)),
    "matrix": (lambda: ntk.Precomputed(np.eye(3)), lambda: ntk.Precomputed(np.eye(4))),
    "factor": (lambda: 2.0 * empirical(0), lambda: (2.0 + 2**-50) * empirical(0)),
    "operation": (lambda: empirical(0) + empirical(0), lambda: empirical(0) * empirical(0)),
    "constant": (lambda: elementwise(lambda xp, x: 2.0 * x), lambda: elementwise(lambda xp, x: 3.0 * x)),
    "closure": (lambda: elementwise(power(2)), lambda: elementwise(power(3))),
    "name": (lambda: elementwise(lambda xp, x: xp.sin(x)), lambda: elementwise(lambda xp, x: xp.cos(x))),
    "partial": (lambda: functools.partial(scaled, 1), lambda: functools.partial(scaled, 2)),
    "field of a user": (lambda: Shifted(empirical(0)), lambda: Shifted(empirical(0), 2.0)),
    "array": (lambda: {"a": X}, lambda: {"a": X.astype(np.float32)}),
    "class": (lambda: [math.sin, int], lambda: [math.cos, int]),
    "number": (lambda: (1, True, None, "a", slice(3)), lambda: (1.5, True, None, "a", slice(3))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equal_values_have_equal_descriptions_and_others_do_not(name):
    one, other = PAIRS[name]
    assert text(one()) == text(one())
    assert text(one()) != text(other())
    json.loads(text(one()))


def test_a_global_variable_counts(monkeypatch):
    before = text(elementwise(scaled))
    monkeypatch.setitem(globals(), "GAIN", 3.0)
    assert text(elementwise(scaled)) != before


def test_functions_that_call_each_other():
    assert text(even) == text(even)
    assert text(even) != text(odd)


def test_what_a_kernel_keeps_for_the_next_call_does_not_count():
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="tanh", bias_std=0.1))
    before = text(kernel)
    kernel(X)
    assert text(kernel) == before


def vowel(letter):
    return letter in {"a", "e", "i", "o", "u"}


def test_the_same_in_another_process():
    """Sets of text have another order there, and objects other addresses."""
    names = "(Shifted(elementwise(power(2))), even, {'b', 'a', 'c'}, vowel)"
    code = f"from tests._array.test_description import *; print(text({names}).decode())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == text(eval(names)).decode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Shifted(empirical(0), object()), r"value.shift is <object object"),
        (elementwise(power(object())), r"the variable exponent that value.net.layers\[1\].phi refers to is <object"),
        ([np.random.default_rng(0)], r"value\[0\] is Generator"),
    ],
)
def test_what_cannot_be_described(value, message):
    with pytest.raises(
        TypeError, match=rf"^{message}.*which cannot be described in a file: a later run could not tell"
    ):
        text(value)


def test_a_class_that_has_moved_keeps_the_name_that_files_have():
    one, two = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)), ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1))
    names = [description_of("kernel", kernel)["class"] for kernel in (one + two, one * two, 2.0 * one)]
    assert names == [f"ntk_array.kernels.base.{name}" for name in ("Combined", "Combined", "Scaled")]
