"""A user's program: it runs on the installed package, and ``mypy --strict`` sees types in it.

A wrong type is marked to be ignored. Were a name of the package Any to mypy, it would report that mark as unused.
"""

import numpy as np

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError

x = np.linspace(-1.0, 1.0, 8)[:, None]
net: ntk.nn.Sequential = ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.1)
kernel: ntk.Kernel = ntk.InfiniteNTK(net)
flow: GradientFlow = GradientFlow(kernel, SquaredError(EmpiricalMeasure(x), np.sin(x[:, 0])))
assert np.allclose(flow.predict(), np.sin(x[:, 0]))
assert str(ntk.__version__) != "unknown"

no_network: int = ntk.nn.mlp((1,), 1)  # type: ignore[assignment]
no_flow: int = GradientFlow(kernel, flow.cost)  # type: ignore[assignment]
no_kernel: str = ntk.InfiniteNTK(net)  # type: ignore[assignment]
