"""ModuleKernel against the explicit passes of translated models, and in flows."""

import weakref

import pytest
import torch
from torch import nn

import ntk_array as ntk
from ntk_array.torch import ModuleKernel, from_module

from .models import MODELS, jacobian_product, trained

pytestmark = pytest.mark.session("torch")


class Recurrent(nn.Module):
    """A module that is not translated, with outputs (N,)."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 5)
        self.readout = nn.Linear(5, 1)

    def forward(self, x):
        h = torch.zeros(len(x), 5, dtype=x.dtype)
        for step in x.unbind(dim=1):
            h = self.cell(step, h)
        return self.readout(h)[:, 0]


@pytest.mark.parametrize("outputs", ["full", "trace", "classwise", "sum_of_logits"])
def test_the_kernel_of_a_translated_model(outputs):
    model, x = trained(*MODELS["transformer"], torch.float64)
    explicit, slow = ntk.EmpiricalNTK(*from_module(model, x), outputs=outputs), ModuleKernel(model, outputs)
    for values in (lambda K: K(x), lambda K: K(x, x[:3]), lambda K: K.diag(x)):
        torch.testing.assert_close(values(slow), values(explicit), rtol=1e-10, atol=1e-10)
    v = torch.randn(3, 2, dtype=torch.float64)
    torch.testing.assert_close(slow.matvec(x, x[:3], v), explicit.matvec(x, x[:3], v), rtol=1e-9, atol=1e-9)


def test_a_module_that_is_not_translated():
    model, x = trained(Recurrent, (4, 3), torch.float64)
    with pytest.raises(NotImplementedError):
        from_module(model, x)
    torch.testing.assert_close(ModuleKernel(model)(x), jacobian_product(model, x), rtol=1e-10, atol=1e-12)
    names = {"readout.weight", "readout.bias"}
    some = ModuleKernel(model, trainable="readout")(x)
    torch.testing.assert_close(some, jacobian_product(model, x, names), rtol=1e-10, atol=1e-12)


def test_in_flows_and_in_tiles():
    model, x = trained(Recurrent, (4, 3), torch.float64)
    y, K = torch.randn(4, 1, dtype=torch.float64), ModuleKernel(model, outputs="trace")
    flow = ntk.dynamics.GradientFlow(K, ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y))
    torch.testing.assert_close(flow.predict(x), y, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(ntk.gram.assemble(K, x, memory="200 KiB"), K(x))
    assert not K(x).requires_grad


def test_the_diagonal_keeps_the_jacobians_of_a_few_inputs_only(monkeypatch):
    monkeypatch.setattr("ntk_array.torch.module_kernel.JACOBIAN_BYTES", 1)
    prepare, alive = ModuleKernel.prepare, weakref.WeakSet()

    def watched(self, x):
        assert not alive
        jacobians = prepare(self, x)
        alive.update(jacobians)
        return jacobians

    x, kernel = torch.randn(4, 3), ModuleKernel(nn.Linear(3, 2), "trace")
    expected = kernel(x).diagonal()
    monkeypatch.setattr(ModuleKernel, "prepare", watched)
    torch.testing.assert_close(kernel.diag(x), expected)


def test_inputs_are_left_alone():
    """Also by a module whose first operation is in place."""
    x = torch.randn(3, 4)
    before = x.clone()
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2))
    from_module(model, x)
    ModuleKernel(model)(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_errors():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"trainable names 'bis'; the parameters of the module are weight, bias"):
        ModuleKernel(model, trainable="bis")
    with pytest.raises(TypeError, match=r"the module is in torch.float32 on cpu, inputs in torch.float64 on cpu"):
        ModuleKernel(model)(torch.ones(2, 3, dtype=torch.float64))
    with pytest.raises(TypeError, match="x1 requires a gradient"):
        ModuleKernel(model)(torch.ones(2, 3, requires_grad=True))
    with pytest.raises(ValueError, match=r"output is \(1, 4, 2\); kernels need"):
        ModuleKernel(model)(torch.ones(2, 4, 3))
    with pytest.raises(ValueError, match="no parameters"):
        ModuleKernel(nn.ReLU())
