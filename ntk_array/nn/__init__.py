"""Networks: one file a layer, its finite and its infinite-width behaviour side by side."""

from .activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    ABReLU,
    Abs,
    Activation,
    Cos,
    Elementwise,
    Erf,
    Exp,
    Gabor,
    Gaussian,
    Hardsigmoid,
    Hardswish,
    HardTanh,
    Hermite,
    Identity,
    LeakyReLU,
    LogSigmoid,
    Mish,
    Monomial,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    ReLU,
    ReLU6,
    Sigmoid,
    SigmoidLike,
    Sign,
    SiLU,
    Sin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
)
from .affine import Affine
from .aggregate import Aggregate, GraphPool
from .attention import SelfAttention
from .batch_norm import BatchNorm
from .branches import Concatenate, Product, Residual, Sum
from .builders import cnn, gnn, mlp, myrtle, resnet, transformer
from .channels_last import ChannelsLast
from .convolution import Conv
from .convolution_local import ConvLocal
from .convolution_transposed import ConvTranspose
from .dense import Dense
from .dropout import Dropout
from .files import load, save
from .graph_batch import graphs
from .graph_network import GraphNetwork
from .index import Index
from .layer import Layer
from .layer_norm import LayerNorm
from .linearized import Linearized
from .max_pool import MaxPool
from .padded_batch import padded
from .padded_network import PaddedNetwork
from .pooling import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from .resize import Resize
from .sequential import Sequential
from .training import Training, train

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "ABReLU",
    "Abs",
    "Activation",
    "Affine",
    "Aggregate",
    "AvgPool",
    "BatchNorm",
    "ChannelsLast",
    "Concatenate",
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Cos",
    "Dense",
    "Dropout",
    "Elementwise",
    "Erf",
    "Exp",
    "Flatten",
    "Gabor",
    "Gaussian",
    "GlobalAvgPool",
    "GlobalSumPool",
    "GraphNetwork",
    "GraphPool",
    "HardTanh",
    "Hardsigmoid",
    "Hardswish",
    "Hermite",
    "Identity",
    "Index",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linearized",
    "LogSigmoid",
    "MaxPool",
    "Mish",
    "Monomial",
    "PaddedNetwork",
    "Polynomial",
    "Product",
    "Rbf",
    "ReLU",
    "ReLU6",
    "RectifiedMonomial",
    "Residual",
    "Resize",
    "SelfAttention",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Sum",
    "SumPool",
    "Tanh",
    "Training",
    "cnn",
    "gnn",
    "graphs",
    "load",
    "mlp",
    "myrtle",
    "padded",
    "resnet",
    "save",
    "train",
    "transformer",
]
