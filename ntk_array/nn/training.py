"""Gradient descent on the parameters of a finite network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._array.namespace import Array, home, index_dtype, to_host
from .._array.random import Seed, seed_sequence
from .._array.short import short_repr
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
    momentum : float
        As asked for.
    batch_size : int or None
        The number of examples in each step; None where every step saw all of them.
    seed : numpy.random.SeedSequence or None
        From which the batches were drawn; as ``seed`` of another call it gives the same ones. None without batches.
    """

    __repr__ = short_repr

    params: Params
    step: float
    steps: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    observations: list[Any] = field(default_factory=list)
    momentum: float = 0.0
    batch_size: int | None = None
    seed: np.random.SeedSequence | None = None

    @property
    def times(self) -> list[float]:
        """t = step * k of each record."""
        return [self.step * k for k in self.steps]

    def plot(self, label: str | None = None, *, ax: Any = None) -> Any:
        """The cost over recorded steps, as :func:`ntk_array.plotting.costs`; returns the matplotlib Axes."""
        from .. import plotting

        return plotting.costs(self, label, ax)


def train(
    net: Layer | Linearized,
    params: Params,
    cost: Cost,
    *,
    step: float,
    steps: int,
    momentum: float = 0.0,
    batch_size: int | None = None,
    seed: Seed = 0,
    record: Iterable[int] | None = None,
    observe: Callable[[Params], Any] | None = None,
    progress: bool | str = False,
) -> Training:
    """Gradient descent, theta <- theta - step * d cost / d theta, by the network's own backward pass.

    With C(f) = (1/N) sum ||f(x_i) - y_i||^2, all examples in every step and a small step this follows
    :class:`~ntk_array.dynamics.GradientFlow` at time t = step * k. It is stable while step < 1/lambda_max(Theta/N), see
    :func:`~ntk_array.dynamics.max_step`.

    With ``batch_size`` B a step takes the gradient of (N/B) sum_{i in batch} w_i l(f(x_i), y_i) instead. Its mean over
    batches is the gradient of the cost C(f) = sum_i w_i l(f(x_i), y_i). Batches are the rows of a random order of all
    examples, B at a time, and then of another order. Where B does not divide N, the last N mod B rows of an order are
    left out, so that all batches have one size.

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
    batch_size : int, optional
        How many examples a step sees, at most N; all of them if left out.
    seed : int or numpy.random.Generator
        Of the batches, which are the same on every library.
    record : iterable of int, optional
        Step numbers 0 .. steps at which to record the cost and what ``observe`` returns; default: first and last. The
        cost is that of all examples; with batches each record takes a forward pass of its own.
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
    TypeError
        With ``batch_size``, if the cost is of a class that does not say that it is a sum over examples.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(32, 4))
    >>> cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.sin(x[:, 0]))
    >>> net = ntk.nn.mlp((64,), 1)
    >>> training = ntk.nn.train(net, net.init(0, like=x), cost, step=0.05, steps=100, batch_size=8, seed=1)
    >>> bool(training.costs[-1] < 0.2 * training.costs[0]), training.batch_size
    (True, 8)
    """
    step, steps, momentum = positive("step", step), count("steps", steps), momentum_below_one(momentum)
    wanted = {0, steps} if record is None else {int(k) for k in record}
    if not wanted <= set(range(steps + 1)):
        raise ValueError(f"record must hold step numbers between 0 and steps = {steps}")
    x = cost.p_in.x
    same_home(x=x, params=first_leaf(params))
    root, batches = None, None
    if batch_size is not None:
        root = seed_sequence(seed)
        batches = _batches(cost, _checked_size(batch_size, x.shape[0]), root)
    result = Training(params, step, momentum=momentum, batch_size=batch_size, seed=root)
    velocity, part, weights = None, cost, cost.p_in.column_weights
    label = progress if isinstance(progress, str) else "training"
    for k in progress_bar(range(steps + 1), label, "step", bool(progress)):
        if batches is None or k in wanted:
            # One forward pass serves the record and, where it sees all examples, the step.
            f, pull = net.forward_and_pullback(params, x)
        if k in wanted:
            result.steps.append(k)
            result.costs.append(_finite_cost(cost, f, k, step))
            if observe is not None:
                result.observations.append(observe(params))
        if k < steps:
            if batches is not None:
                part, weights = next(batches)
                f, pull = net.forward_and_pullback(params, part.p_in.x)
            # d C / d theta = sum_i w_i <d|_f (x_i), d f(x_i) / d theta>: the pullback of the weighted representer.
            gradient = pull(weights * part.representer(part.values(f)))
            if not momentum:
                params = tree_map(lambda p, g: p - step * g, params, gradient)
                continue
            change = tree_map(lambda g: -step * g, gradient)
            velocity = tree_map(lambda v, c: momentum * v + c, velocity, change) if k else change
            params = tree_map(lambda p, v: p + v, params, velocity)
    return replace(result, params=params)


def _finite_cost(cost: Cost, f: Array, k: int, step: float) -> float:
    """The cost after k steps. Where a step is too large it soon is not finite, and never is again."""
    value = float(to_host(cost(f)))
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the cost is {value} after {k} steps: the step {step:g} is too large; "
            "ntk_array.dynamics.max_step gives the largest stable one"
        )
    return value


def _checked_size(batch_size: int, n: int) -> int:
    if count("batch_size", batch_size) > n:
        raise ValueError(f"batch_size is {batch_size}, and there are {n} examples; leave it out for all of them")
    return batch_size


def _batches(cost: Cost, size: int, root: np.random.SeedSequence) -> Iterator[tuple[Cost, Array]]:
    """The cost on one batch after another, and the weights N/B w_i of its examples (B, 1), without end."""
    (xp, _, device), n, rng = home(cost.p_in.x), len(cost.p_in), np.random.default_rng(root)
    integers = index_dtype(xp, device)
    while True:
        order = xp.asarray(rng.permutation(n), dtype=integers, device=device)
        for start in range(0, n - size + 1, size):
            rows = order[start : start + size]
            yield cost.batch(rows), (n / size) * xp.take(cost.p_in.column_weights, rows, axis=0)
