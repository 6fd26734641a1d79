"""Networks: one file a layer, its finite and its infinite-width behaviour side by side."""

from .activations import (
    ELU,
    GELU,
    Abs,
    Activation,
    Cos,
    Elementwise,
    Erf,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Sin,
    Softplus,
    Tanh,
)
from .branches import Concatenate, Product, Residual, Sum
from .builders import mlp
from .convolution import Conv
from .dense import Dense
from .files import load, save
from .layer import Layer
from .linearized import Linearized
from .pooling import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from .sequential import Sequential
from .training import Training, train

__all__ = [
    "ELU",
    "GELU",
    "Abs",
    "Activation",
    "AvgPool",
    "Concatenate",
    "Conv",
    "Cos",
    "Dense",
    "Elementwise",
    "Erf",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linearized",
    "Product",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Sum",
    "SumPool",
    "Tanh",
    "Training",
    "load",
    "mlp",
    "save",
    "train",
]
