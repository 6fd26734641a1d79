"""What cannot be translated is named, with the line of the model; nothing is translated wrongly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ntk_array as ntk
from ntk_array.torch import from_module

pytestmark = pytest.mark.session("torch")


class Model(nn.Module):
    """A forward pass that is given, and parts of it."""

    def __init__(self, computed, **parts):
        super().__init__()
        self.computed = computed
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.computed(self, x)


def dense():
    return nn.Linear(3, 3)


def weights_used_twice(self, x):
    for _ in range(2):
        x = self.fc(x)
    return x


def in_place(self, x):
    h = self.fc(x)
    return torch.relu_(h) + h


def held(self, x):
    with torch.no_grad():
        h = self.fc(x)
    return self.last(h)


def branches(self, x):
    return self.fc(x) if x.sum() > 0 else x


def not_nested(self, x):
    a = torch.tanh(self.fc(x))
    b = torch.tanh(self.wide(torch.cat([x, a], 1)))
    return torch.cat((x, a, b), -1)


def hooked():
    layer = dense()
    layer.register_forward_hook(lambda module, given, result: 2 * result)
    return nn.Sequential(layer)


def tied():
    one, two = dense(), dense()
    two.weight = one.weight
    return nn.Sequential(one, nn.Tanh(), two)


def token(self, x):
    return self.fc(torch.cat([self.cls.expand(x.size(0), -1), x], 1))


def running(x):
    return torch.cumsum(x, 1)


torch.fx.wrap("running")

REFUSED = {
    "a function": (Model(lambda m, x: torch.roll(m.fc(x), 1, 1), fc=dense()), r"roll, test_refusals.py, line \d+, in "),
    "a module": (
        nn.Sequential(dense(), nn.PReLU()),
        r"1 \(PReLU\): no layer here does what PReLU does; .*ModuleKernel",
    ),
    "two inputs": (Model(lambda m, x: m.bilinear(x, x), bilinear=nn.Bilinear(3, 3, 2)), r"bilinear \(Bilinear\)"),
    "options": (nn.Sequential(dense(), nn.GELU(approximate="tanh")), r"GELU\(approximate='tanh'\) has options"),
    "a loop": (Model(weights_used_twice, fc=dense()), r"fc \(Linear\).*in weights_used_twice: it shares its weights"),
    "tied weights": (tied(), r"2 \(Linear\): it shares its weights, 0.weight is used before by 0 \(Linear\)"),
    "a branch": (Model(branches, fc=dense()), r"test_refusals.py, line \d+, in branches: its graph cannot be recorded"),
    "the batch": (Model(lambda m, x: m.fc(x) / x.size(0), fc=dense()), "truediv.*computed in the forward pass"),
    "a batch mean": (Model(lambda m, x: m.fc(x).mean(0, keepdim=True) + x, fc=dense()), "over the axes 0 of"),
    "another view": (Model(lambda m, x: m.fc(x).view(3, -1), fc=dense()), "from .2, 3. to .3, 2."),
    "a constant": (Model(lambda m, x: m.fc(x) + torch.ones(3), fc=dense()), "constant tensor"),
    "weight norm": (nn.Sequential(nn.utils.parametrizations.weight_norm(dense())), "ParametrizedLinear"),
    "branches that cross": (Model(not_nested, fc=dense(), wide=nn.Linear(6, 3)), "several branches"),
    "several tensors": (Model(lambda m, x: m.fc(x).chunk(3, dim=1)[0], fc=dense()), "chunk gives several tensors"),
    "a class token": (Model(token, cls=nn.Parameter(torch.ones(1, 2)), fc=nn.Linear(5, 1)), "such as a class token"),
    "a function of the user": (
        Model(lambda m, x: running(m.fc(x)), fc=dense()),
        r"does what [\w.]*test_refusals.running",
    ),
    "two outputs": (Model(lambda m, x: (m.fc(x), x), fc=dense()), "Model: its output is not one tensor that depends"),
    "softmax": (Model(lambda m, x: torch.softmax(m.fc(x), -1), fc=dense()), "kernels are usually those of the logits"),
    "positions": (Model(lambda m, x: m.fc(x[:, None, :]), fc=dense()), r"from|index"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_translated_is_named(name):
    model, message = REFUSED[name]
    with pytest.raises(NotImplementedError, match=message):
        from_module(model.eval(), torch.randn(2, 3))


IMAGES = {
    "ceil_mode": (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode"),
    "padding_mode": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
    "circle": (nn.Conv2d(2, 2, 3, stride=2, padding=1, padding_mode="circular"), "circular padding is known where"),
    "running": (nn.InstanceNorm2d(2, track_running_stats=True), "keeps running statistics"),
    "adaptive": (nn.AdaptiveAvgPool2d(2), "where all windows have one size"),
    "last axis": (nn.Sequential(nn.Conv2d(2, 2, 1), nn.Linear(5, 2)), "not that of the channels"),
    "images as outputs": (nn.Conv2d(2, 2, 1), r"kernels need \(N, C\)"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_layers_of_images(name):
    model, message = IMAGES[name]
    with pytest.raises(NotImplementedError, match=message):
        from_module(model.eval(), torch.randn(2, 2, 5, 5))


def test_masks():
    attention = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    causal = torch.ones(3, 3, dtype=torch.bool).triu(1)
    masked = Model(lambda m, x: m.a(x, x, x, attn_mask=m.mask)[0].mean(1), a=attention, mask=causal)
    with pytest.raises(NotImplementedError, match="masks are known for no layer here"):
        from_module(masked.eval(), torch.randn(2, 3, 4))


DIFFERENT = [hooked(), Model(in_place, fc=dense()), Model(held, fc=dense(), last=dense())]


@pytest.mark.parametrize("model", DIFFERENT, ids=["a hook", "in place", "no_grad"])
def test_outputs_or_gradients_that_differ(model):
    with pytest.raises(ValueError, match=r"the (outputs|gradients) of the network and the module differ by"):
        from_module(model.eval(), torch.randn(4, 3))


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.BatchNorm1d(3)])
def test_training_mode(layer):
    model = nn.Sequential(dense(), layer, dense())
    for make in (lambda: from_module(model, torch.randn(4, 3)), lambda: ntk.torch.ModuleKernel(model)):
        with pytest.raises(ValueError, match=r"1 \(\w+\) is in training mode.*call model.eval\(\) first"):
            make()


def test_a_wrong_example_gets_the_error_of_pytorch():
    with pytest.raises(RuntimeError, match=r"same dtype, but got Double and Float$"):
        from_module(dense(), torch.ones(2, 3, dtype=torch.float64))


def test_functional_dropout_that_is_always_active():
    model = Model(lambda m, x: F.dropout(m.fc(x)), fc=dense()).eval()
    with pytest.raises(ValueError, match=r"dropout, test_refusals.py, line \d+.*training=self.training"):
        from_module(model, torch.randn(2, 3))


BY_CHANCE = {
    "functional dropout": Model(lambda m, x: F.dropout(m.fc(x)), fc=dense()).eval(),
    "dropout of a recurrent layer": Model(
        lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(3, 4, num_layers=2, dropout=0.5, batch_first=True)
    ),
    "random slopes": nn.Sequential(dense(), nn.RReLU()),
    "the mean of the batch": Model(lambda m, x: m.fc(x - x.mean(0)), fc=dense()),
}


@pytest.mark.parametrize("name", BY_CHANCE)
def test_no_kernel_of_outputs_that_are_random_or_depend_on_the_batch(name):
    with pytest.raises(ValueError, match="they are random, or depend on the other inputs"):
        ntk.torch.ModuleKernel(BY_CHANCE[name])(torch.randn(4, 3))


def test_batch_norm_without_statistics():
    model = nn.Sequential(dense(), nn.BatchNorm1d(3, track_running_stats=False)).eval()
    for make in (lambda: from_module(model, torch.randn(4, 3)), lambda: ntk.torch.ModuleKernel(model)):
        with pytest.raises(ValueError, match=r"1 \(BatchNorm1d\) normalizes by the batch in evaluation too"):
            make()


def test_other_arguments():
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module"):
        from_module(torch.relu, torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got"):
        ntk.torch.ModuleKernel(torch.relu)
    with pytest.raises(TypeError, match="inputs of a module of PyTorch are its tensors, got ndarray"):
        ntk.torch.ModuleKernel(dense())(np.ones((2, 3)))
    with pytest.raises(TypeError, match="a tensor"):
        from_module(dense(), [[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match="takes a second input 'input2'"):
        from_module(nn.Bilinear(3, 3, 2), torch.ones(2, 3))
    for make in (from_module, lambda module, _: ntk.torch.ModuleKernel(module)):
        with pytest.warns(DeprecationWarning, match="deprecated"):
            compiled = torch.jit.trace(dense(), torch.ones(2, 3))
        with pytest.raises(TypeError, match="give the module it is made of"):
            make(compiled, torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"got ntk_array.nn.dense.Dense"):
        ntk.torch.ModuleKernel(ntk.nn.Dense(1))
    with pytest.raises(TypeError, match=r"of a model of PyTorch ntk_array.torch.from_module makes one"):
        ntk.EmpiricalNTK(dense(), None)
    with pytest.raises(NotImplementedError, match=r"Embedding does, and inputs of kernels are floats"):
        from_module(nn.Sequential(nn.Embedding(9, 2), nn.Flatten()), torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="no parameters"):
        from_module(nn.Sequential(nn.ReLU()), torch.ones(2, 3))


@pytest.mark.parametrize("n", [3, 400])
def test_parameters_that_require_a_gradient_are_refused_at_every_size(n):
    """Kernels write large results in tiles, through which no gradient goes; the network itself records."""
    x = torch.randn(n, 3)
    net, params = from_module(dense(), x)
    params[0]["weight"].requires_grad_()
    K = ntk.EmpiricalNTK(net, params)
    for make in (lambda: K(x), lambda: K.diag(x), lambda: K.matvec(x, None, torch.ones(n, 3)), lambda: K(x, x[:2])):
        with pytest.raises(TypeError, match=r"parameter 0\.weight requires a gradient"):
            make()
    net(params, x).sum().backward()
    torch.testing.assert_close(params[0]["weight"].grad, x.sum(dim=0).expand(3, 3))
    with torch.no_grad():
        assert K(x[:2]).shape == (2, 3, 2, 3)
