"""The first-order Taylor expansion of a network in its parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .._array.namespace import Array, home
from .._array.short import short_repr
from .layer import Layer
from .parameters import Params, check_structure, tree_map

__all__ = ["Linearized"]


@dataclass(frozen=True)
class Linearized:
    """f_lin(theta, x) = f(theta_0, x) + J(theta_0, x) (theta - theta_0) (Lee et al. 2019, eq. 6).

    Trained by gradient flow its function follows :class:`~ntk_array.dynamics.GradientFlow` with the empirical NTK
    of ``params`` exactly. It takes the place of a network in :func:`~ntk_array.nn.train`.

    Parameters
    ----------
    net : Layer
        The network.
    params
        theta_0, the parameters at which it is expanded.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.mlp((32,), 1, activation="tanh")
    >>> x = np.random.default_rng(0).normal(size=(4, 3))
    >>> params = net.init(0, like=x)
    >>> lin = ntk.nn.Linearized(net, params)
    >>> bool(np.allclose(lin(params, x), net(params, x)))
    True
    """

    __repr__ = short_repr

    net: Layer
    params: Params

    def __call__(self, params: Params, x: Array) -> Array:
        """f_lin (N, C) at parameters of the network's structure."""
        check_structure("params", params, self.params)
        return self.forward_and_pullback(params, self.net.checked(self.params, x))[0]

    def bind(self, params: Params) -> Callable[[Array], Array]:
        """The linearized network with these parameters as a function x -> f_lin(x)."""
        return partial(self, params)

    def vjp(self, params: Params, x: Array, u: Array) -> Params:
        """J^T u at theta_0, whatever ``params``: the derivative of f_lin does not depend on them."""
        check_structure("params", params, self.params)
        return self.net.vjp(self.params, x, u)

    def forward_and_pullback(self, params: Params, x: Array) -> tuple[Array, Callable[[Array], Params]]:
        """f_lin(x) and u -> J^T u, from one forward pass at theta_0."""
        f, tape = self.net.forward(self.params, x)
        change = tree_map(lambda new, old: new - old, params, self.params)
        f = f + self.net.tangent(self.params, tape, home(x).xp.zeros_like(x), change)
        return f, lambda u: self.net.vjp_from_tape(self.params, tape, u)
