"""Autograd of PyTorch through infinite-width kernels, where it is installed."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

torch = pytest.importorskip("torch", reason="autograd is that of PyTorch")
pytestmark = [pytest.mark.host, pytest.mark.session("torch")]


ONE = ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation="erf", bias_std=0.4))


@pytest.mark.parametrize(
    "kernel", [ONE, 2.0 * ONE * ntk.InfiniteNNGP(nn.mlp((1,), 1)) + ONE], ids=["ntk", "sums and products"]
)
def test_gradcheck(kernel):
    x, y = (torch.tensor(a, requires_grad=True) for a in np.random.default_rng(0).normal(size=(2, 3, 2)))
    assert torch.autograd.gradcheck(kernel, (x, y), fast_mode=True)
    assert torch.autograd.gradcheck(kernel, (x,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: kernel(x, y.detach()), (x,), fast_mode=True)


def test_values_are_those_without_a_gradient():
    x = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.equal(ONE(x).detach(), ONE(x.detach()))
    with pytest.raises(TypeError, match="first derivatives to autograd, not second ones"):
        torch.autograd.grad(ONE(x).sum(), x, create_graph=True)


def test_other_kernels_refuse():
    x = torch.ones((2, 3), dtype=torch.float64)
    net = nn.mlp((4,), 1)
    noisy = nn.Sequential(nn.Dense(1), nn.Dropout(0.5, "train"), nn.Dense(1))
    for kernel in (ntk.EmpiricalNTK(net, net.init(0, like=x)), ntk.MonteCarloNTK(net, 2, 0), ntk.InfiniteNTK(noisy)):
        with pytest.raises(TypeError, match=r"x1 requires a gradient, .* give x1.detach\(\)"):
            kernel(x.clone().requires_grad_())
