"""A small sample, and what trained networks are compared with: everything by explicit Jacobians."""

import numpy as np

import ntk_array as ntk
from ntk_array._array.random import seed_sequence
from ntk_array.experiments.scaling import run_seed
from ntk_array.nn.parameters import flatten

N, M, C = 6, 4, 2
WIDTHS = (8, 16)
SETTINGS = {"networks": 2, "steps": 8, "seed": 3}


def network(width):
    return ntk.nn.mlp((width,), C, activation="erf", weight_std=1.3, bias_std=0.2)


def arrays(backend):
    """x (N, 5), y (N, C), x_test (M, 5) on the backend."""
    rng = np.random.default_rng(7)
    return tuple(backend.array(rng.normal(size=shape)) for shape in ((N, 5), (N, C), (M, 5)))


def initial(x, width, run):
    """The network and the parameters of one run."""
    net = network(width)
    return net, net.init(run_seed(seed_sequence(SETTINGS["seed"]), width, run), like=x)


def jacobian(backend, net, params, x):
    """All of it as one host matrix (N C, parameters), in float64."""
    leaves = [backend.host(leaf).astype(np.float64) for leaf in flatten(net.jacobian(params, x)).values()]
    return np.concatenate([leaf.reshape(x.shape[0] * C, -1) for leaf in leaves], axis=1)
