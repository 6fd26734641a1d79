"""Models as users write them, and their kernels by automatic differentiation."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """As in the residual networks of torchvision: 3 x 3 convolutions with padding 1, and sums in place."""

    def __init__(self, inside, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        around = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.downsample = around if stride > 1 or inside != width else None

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, width=4, outputs=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(width, width))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, outputs)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class CNN(nn.Module):
    """Functional calls, circles, groups, dilation, and a flattening by view."""

    def __init__(self, width=4, side=3, outputs=3):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3)
        self.conv2 = nn.Conv2d(width, width + 2, 3, padding=2, dilation=2, groups=2, padding_mode="circular")
        self.fc1 = nn.Linear((width + 2) * side**2, 2 * width)
        self.fc2 = nn.Linear(2 * width, outputs)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 3, stride=1, padding=1, count_include_pad=False)
        x = F.dropout(x.view(x.size(0), -1), 0.2, self.training)
        return self.fc2(self.dropout(F.gelu(self.fc1(x))))


class NormedMLP(nn.Module):
    """Scalars, a parameter of its own, a concatenation, and outputs (N,)."""

    def __init__(self, inputs=4, width=8, outputs=1):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width)
        self.second = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.rand(width) + 0.5)
        self.last = nn.Linear(width + inputs, outputs)

    def forward(self, x):
        h = self.norm(self.first(x))
        h = self.scale * (h + 0.5 * F.silu(self.second(h)))
        return self.last(torch.cat([h, x], dim=1)).squeeze(-1)


class Attention(nn.Module):
    """Embeddings of positions, attention around which values go, and a mean over positions."""

    def __init__(self, inputs=3, positions=5, width=8, outputs=2):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.position = nn.Parameter(torch.randn(1, positions, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        h = self.embed(x) + self.position
        mixed, _ = self.attention(h, h, h, need_weights=False)
        return self.head(self.norm(h + mixed).mean(dim=1))


class Encoder(nn.Module):
    """One layer with the norm behind, two with the norm before, and the value at the first position."""

    def __init__(self, inputs=3, width=8, outputs=2):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.after = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True, activation="gelu")
        before = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True, norm_first=True)
        self.before = nn.TransformerEncoder(before, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.before(self.after(self.embed(x)))[:, 0])


class ConvNeXt(nn.Module):
    """Channels that go to the end and back, and an argument with a default."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, 2)
        self.depthwise = nn.Conv2d(6, 6, 3, padding="same", groups=6)
        self.norm = nn.LayerNorm(6)
        self.up, self.down = nn.Linear(6, 9), nn.Linear(9, 6)
        self.gamma = nn.Parameter(torch.rand(6))
        self.head = nn.Linear(6, 2)

    def forward(self, x, mask=None):
        x = self.stem(x)
        y = self.down(F.gelu(self.up(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        x = x + (self.gamma * y).permute(0, 3, 1, 2)
        return self.head(x.mean([-2, -1]))


class Matrices(nn.Module):
    """As papers write networks: matrices, a factor for each width, and pooling to several positions."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((2, 1))
        self.W, self.b, self.V = (nn.Parameter(torch.randn(*shape)) for shape in ((4, 16), (16,), (16, 2)))

    def forward(self, x):
        x = self.pool(x).flatten(1)
        return torch.matmul(torch.relu(x @ self.W / 2.0 + self.b), self.V) / 4.0


def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.Softplus(), nn.Linear(8, 3))


def signal_1d():
    """Strides, a padding that is not half of the window, and the maximum over all positions."""
    conv = nn.Conv1d(2, 5, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm1d(5), nn.ELU(0.7), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(5, 2))


def volume():
    conv = nn.Conv3d(1, 3, (2, 3, 3), padding=(1, 0, 1))
    pool = nn.AvgPool3d((3, 1, 2), padding=(1, 0, 1))
    return nn.Sequential(conv, nn.LayerNorm([3, 4, 2, 4]), nn.Tanh(), pool, nn.Flatten(), nn.Linear(36, 2))


def groups():
    """Normalization in groups of channels, of images and of features, and of each channel."""
    layers = (nn.Conv2d(2, 6, 3), nn.GroupNorm(3, 6), nn.GELU(), nn.Conv2d(6, 4, 1), nn.InstanceNorm2d(4), nn.Tanh())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 4), nn.GroupNorm(2, 4), nn.Linear(4, 2))


MODELS = {
    "mlp": (mlp, (4,)),
    "flattened images": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Mish(), nn.Linear(6, 2)), (3, 2, 2)),
    "cnn": (CNN, (1, 8, 8)),
    "1d": (signal_1d, (2, 9)),
    "3d": (volume, (1, 3, 4, 4)),
    "groups": (groups, (2, 4, 4)),
    "residual block": (lambda: nn.Sequential(Block(3, 4, 2), nn.Flatten(), nn.Linear(36, 2)), (3, 5, 5)),
    "resnet": (ResNet, (3, 16, 16)),
    "layer norm mlp": (NormedMLP, (4,)),
    "matrices": (Matrices, (2, 6, 3)),
    "attention": (Attention, (5, 3)),
    "transformer": (Encoder, (5, 3)),
    "convnext": (ConvNeXt, (3, 6, 6)),
}


def trained(build, shape, dtype, steps=3):
    """A model after a few steps of training, in evaluation mode, and inputs."""
    torch.manual_seed(0)
    model = build().to(dtype)
    x = torch.randn(6, *shape, dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return model.eval(), torch.randn(4, *shape, dtype=dtype)


def jacobian_product(model, x, names=None):
    """(N, C, N, C) by torch.func."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if names is None or name in names}

    def outputs(parameters):
        f = torch.func.functional_call(model, parameters, (x,))
        return f.reshape(len(x), -1)

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        jacobian = torch.func.jacrev(outputs)(parameters)
    rows = torch.cat([own.flatten(2) if own.ndim > 2 else own[..., None] for own in jacobian.values()], dim=2)
    return torch.einsum("icp,jdp->icjd", rows, rows).detach()
