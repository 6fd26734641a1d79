"""Gradient descent on the parameters of a finite network."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .._array.namespace import to_host
from .._array.validate import count, momentum_below_one, positive, same_home
from .._support.progress import progress_bar
from ..function_space.cost import Cost
from .layer import Layer
from .linearized import Linearized
from .parameters import Params, first_leaf, tree_map

__all__ = ["Training", "train"]


@dataclass(frozen=True)
class Training:
    """What :func:`train` did.

    Attributes
    ----------
    params
        The parameters after the last step.
    step : float
        The step size eta.
    steps : list of int
        The step numbers k that were recorded; the time of the flow is t = step * k.
    costs : list of float
        The cost before step k, for each recorded k.
    observations : list
        What ``observe`` returned, for each recorded k; empty without ``observe``.
    """

    params: Params
    step: float
    steps: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    observations: list[Any] = field(default_factory=list)

    @property
    def times(self) -> list[float]:
        """t = step * k of each record."""
        return [self.step * k for k in self.steps]


def train(
    net: Layer | Linearized,
    params: Params,
    cost: Cost,
    *,
    step: float,
    steps: int,
    momentum: float = 0.0,
    record: Iterable[int] | None = None,
    observe: Callable[[Params], Any] | None = None,
    progress: bool | str = False,
) -> Training:
    """Full-batch gradient descent, theta <- theta - step * d cost / d theta, by the network's own backward pass.

    With C(f) = (1/N) sum ||f(x_i) - y_i||^2 and a small step this follows
    :class:`~ntk_array.dynamics.GradientFlow` at time t = step * k. It is stable while step < 1/lambda_max(Theta/N), see
    :func:`~ntk_array.dynamics.max_step`.

    Parameters
    ----------
    net : Layer or Linearized
        What is trained.
    params
        Parameters to start from; they are not changed.
    cost : Cost
        The cost functional, which holds inputs and targets.
    step : float
        The learning rate eta, positive.
    steps : int
        How many steps to take.
    momentum : float
        Of the heavy ball, from 0 to below 1: theta moves by v <- momentum v - step * gradient.
    record : iterable of int, optional
        Step numbers 0 .. steps at which to record the cost and what ``observe`` returns; default: first and last.
    observe : callable, optional
        Called with the parameters at each recorded step, for instance ``lambda p: net(p, x_test)``.
    progress : bool or str
        Show a progress bar, with this label if it is a string.

    Returns
    -------
    Training

    Raises
    ------
    FloatingPointError
        If the cost is no longer finite: the step is too large.
    """
    step, steps, momentum = positive("step", step), count("steps", steps), momentum_below_one(momentum)
    wanted = {0, steps} if record is None else {int(k) for k in record}
    if not wanted <= set(range(steps + 1)):
        raise ValueError(f"record must hold step numbers between 0 and steps = {steps}")
    x, weights = cost.p_in.x, cost.p_in.column_weights
    same_home(x=x, params=first_leaf(params))
    result, velocity = Training(params, step), None
    label = progress if isinstance(progress, str) else "training"
    for k in progress_bar(range(steps + 1), label, "step", bool(progress)):
        # One forward pass serves the record and the step.
        f, pull = net.forward_and_pullback(params, x)
        if k in wanted:
            value = float(to_host(cost(f)))
            # A step that is too large shows in the cost soon, and never heals.
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the cost is {value} after {k} steps: the step {step:g} is too large; "
                    "ntk_array.dynamics.max_step gives the largest stable one"
                )
            result.steps.append(k)
            result.costs.append(value)
            if observe is not None:
                result.observations.append(observe(params))
        if k < steps:
            # d C / d theta = sum_i w_i <d|_f (x_i), d f(x_i) / d theta>: the pullback of the weighted representer.
            change = tree_map(lambda g: -step * g, pull(weights * cost.representer(cost.values(f))))
            velocity = tree_map(lambda v, c: momentum * v + c, velocity, change) if momentum and k else change
            params = tree_map(lambda p, v: p + v, params, velocity)
    return Training(params, step, result.steps, result.costs, result.observations)
