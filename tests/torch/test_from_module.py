"""Kernels of translated models are the products of Jacobians that PyTorch computes."""

import numpy as np
import pytest
import torch
from torch import nn

import ntk_array as ntk
from ntk_array.torch import from_module

from .models import MODELS, NormedMLP, ResNet, jacobian_product, mlp, trained

pytestmark = pytest.mark.session("torch")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_kernel_is_the_product_of_jacobians(name, dtype):
    model, x = trained(*MODELS[name], dtype)
    net, params = from_module(model, x[:2])
    exact = jacobian_product(model, x)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    kernel = ntk.EmpiricalNTK(net, params)(x)
    assert kernel.dtype == dtype
    assert float((kernel - exact).abs().max() / exact.abs().max()) <= tolerance
    with torch.no_grad():
        torch.testing.assert_close(net(params, x), model(x).reshape(len(x), -1))


def test_one_example_and_other_numbers_of_inputs():
    model, x = trained(*MODELS["cnn"], torch.float64)
    net, params = from_module(model, x[:1])
    assert net(params, torch.cat([x, x])).shape == (8, 3)


def test_names_and_kernels_by_layer():
    model, x = trained(ResNet, (3, 16, 16), torch.float64)
    translation = from_module(model, x)
    net, params = translation
    assert set(translation.names) == {name for name, _ in model.named_parameters()}
    for below in ("layer2", "fc", "conv1.weight"):
        names = {name for name in translation.names if name == below or name.startswith(f"{below}.")}
        kernel = ntk.EmpiricalNTK(net, params, trainable=translation.below(below))(x)
        exact = jacobian_product(model, x, names)
        torch.testing.assert_close(kernel, exact, rtol=0, atol=1e-10 * float(exact.abs().max()))
    with pytest.raises(ValueError, match=r"'layer3' names no parameters; .*layer2\.0\.conv1\.weight"):
        translation.below("layer3")


def test_parameters_share_the_memory_of_the_model_and_are_detached():
    model, x = trained(*MODELS["transformer"], torch.float32)
    net, params = from_module(model, x)
    before = net(params, x)
    with torch.no_grad():
        model.after.self_attn.in_proj_weight *= 1.5
        torch.testing.assert_close(net(params, x), model(x))
        assert not torch.allclose(net(params, x), before)
    assert not before.requires_grad


def test_moved_to_numpy():
    model, x = trained(*MODELS["residual block"], torch.float64)
    net, params = from_module(model, x, xp=np)
    kernel = ntk.EmpiricalNTK(net, params)(x.numpy())
    assert isinstance(kernel, np.ndarray)
    np.testing.assert_allclose(kernel, jacobian_product(model, x).numpy(), rtol=1e-10, atol=1e-10)


def test_linearized_model_and_flow_at_time_t():
    """Against the exponential of the matrix of PyTorch's Jacobians, and its derivative along the parameters."""
    model, x = trained(mlp, (4,), torch.float64)
    net, params = from_module(model, x)
    y, new, t = torch.randn(4, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64), 0.7
    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y)
    K = ntk.EmpiricalNTK(net, params)
    flow = ntk.dynamics.GradientFlow(K, cost, f0=net.bind(params))
    theta = jacobian_product(model, torch.cat([x, new])).reshape(18, 18)
    w, v = torch.linalg.eigh(theta[:12, :12])
    with torch.no_grad():
        residual = (model(x) - y).reshape(-1)
        decay = torch.exp(-2.0 * t / 4 * w)
        expected = model(new) - (theta[12:, :12] @ (v @ ((1 - decay) / w * (v.T @ residual)))).reshape(2, 3)
    torch.testing.assert_close(flow.predict(new, t=t), expected, rtol=1e-8, atol=1e-10)
    reached = K.parameters(x, flow.advance(t).coefficients)
    torch.testing.assert_close(ntk.nn.Linearized(net, params)(reached, new), expected, rtol=1e-8, atol=1e-10)


def test_new_networks_have_the_variances_of_untrained_models():
    model, x = trained(mlp, (4,), torch.float32, steps=0)
    net, _ = from_module(model, x)
    wide = from_module(torch.nn.Linear(50, 400), torch.ones(2, 50))
    drawn = wide.net.init(0, input_shape=50)[0]
    theirs = torch.nn.Linear(50, 400)
    for name in ("weight", "bias"):
        assert np.std(drawn[name]) == pytest.approx(getattr(theirs, name).std().item(), rel=0.1)
    assert ntk.InfiniteNTK(net)(x).shape == (4, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, when it imports its compiler
def test_the_model_inside_of_others():
    model, x = trained(mlp, (4,), torch.float32)
    for wrapped in (torch.compile(model), nn.DataParallel(model)):
        net, params = from_module(wrapped, x)
        torch.testing.assert_close(net(params, x), model(x))


def test_saved_and_loaded(tmp_path):
    model, x = trained(NormedMLP, (4,), torch.float64)
    net, params = from_module(model, x)
    ntk.nn.save(tmp_path / "net.npz", net, params)
    again = ntk.nn.load(tmp_path / "net.npz")
    assert again[0] == net
    np.testing.assert_allclose(again[0](again[1], x.numpy())[:, 0], model(x).detach().numpy())
