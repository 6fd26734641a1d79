"""Memory of wide networks, whose factors and weights are larger than blocks, against the budget that is given."""

import tracemalloc

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, plan
from ntk_array.operators import Laplacian, OperatorKernel, Value


@pytest.mark.host
@pytest.mark.parametrize(
    ("outputs", "width", "classes", "n", "budget"),
    [("trace", 1024, 3, 150, 16_000_000), ("full", 512, 10, 70, 8_000_000)],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_wide_networks(record_property, outputs, width, classes, n, budget, threads):
    """R8: passes over a batch make no copies of the weights, which would be half of these budgets for each thread."""
    x = np.random.default_rng(0).normal(size=(n, 20))
    net = ntk.nn.mlp((width, width), classes)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs)
    scheme = plan(kernel, x, memory=budget, threads=threads)
    assert not scheme.keeps
    assert scheme.threads == threads
    assemble(kernel, x[:40], memory=budget, threads=threads)  # what is compiled and kept
    tracemalloc.start()
    try:
        assemble(kernel, x, memory=budget, threads=threads)
        peak = tracemalloc.get_traced_memory()[1] - scheme.result_bytes
    finally:
        tracemalloc.stop()
    record_property("R8", f"{peak / budget:.2f} of the budget (wide, {outputs}, {threads} threads)")
    assert peak <= budget


@pytest.mark.host
@pytest.mark.parametrize(("widths", "d", "operators"), [((64, 64), 3, (Value(), Laplacian())), ((2,), 1, Laplacian())])
def test_operators_of_finite_networks(record_property, widths, d, operators):
    """R8: derivatives along all directions of wide networks, and blocks of narrow ones."""
    x, budget = np.random.default_rng(0).normal(size=(300, d)), 6_000_000
    net = ntk.nn.mlp(widths, 1, activation="tanh", bias_std=0.3)
    kernel = OperatorKernel(ntk.EmpiricalNTK(net, net.init(0, like=x), "trace"), operators)
    rows = kernel.rows(*[x[: 300 // len(kernel.operators)]] * len(kernel.operators))
    stated = plan(kernel, rows, memory=budget, threads=1)
    assemble(kernel, rows[:20], memory=budget, threads=1)
    tracemalloc.start()
    try:
        assemble(kernel, rows, memory=budget, threads=1)
        peak = tracemalloc.get_traced_memory()[1] - stated.result_bytes
    finally:
        tracemalloc.stop()
    record_property("R8", f"{peak / budget:.2f} of the budget (operators, width {widths[0]})")
    assert peak <= stated.working_bytes <= budget
