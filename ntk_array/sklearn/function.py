"""What an estimator has learned, f(x) = offset + K(x, X) c, and how it is found."""

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from .._array.namespace import Array, home, to_host
from .._array.validate import nonnegative, one_of
from ..dynamics.gaussian_process import GaussianProcess
from ..dynamics.gradient_flow import GradientFlow
from ..dynamics.hyperparameters import select_hyperparameters
from ..dynamics.problem import KernelProblem
from ..dynamics.units import Units
from ..function_space.cost import SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.ridge import Ridge, TimesMeanDiagonal
from ..solve.solvers import Direct, solver_of
from ..solve.spectrum import Spectral

__all__ = ["KernelFunction", "fitted", "left_out"]

CRITERIA = ("leave_one_out", "marginal_likelihood")
FOLDS = 5
"""Refits that stand in for leave-one-out where that has no closed form."""


@dataclass(frozen=True)
class KernelFunction:
    """f(x) = offset + K(x, X) c.

    Attributes
    ----------
    kernel : Kernel
    x : array (N, ...)
        X.
    coefficients : array (N, C)
        c.
    offset : array (C,)
        The means of the targets: the function of a centred network is 0, and that of a kernel far from all data too.
    ridge : float
        That was given or chosen.
    scale : float or None
        a of the Gaussian process with the covariance a^2 K and noise of the variance a^2 ridge that has this mean. None
        for training that is stopped early.
    process : GaussianProcess or None
        With the covariance K, for its variances and leave-one-out residuals.
    """

    kernel: Kernel
    x: Array
    coefficients: Array
    offset: Array
    ridge: float
    scale: float | None = None
    process: GaussianProcess | None = None

    def __call__(self, x_new: Array, memory: str | int) -> Array:
        """Values (M, C) at new inputs."""
        problem = KernelProblem(self.kernel, EmpiricalMeasure(self.x), int(self.coefficients.shape[1]))
        return self.offset + problem.products(problem.new_inputs(x_new), self.coefficients[None, ...], memory)[0, ...]


def fitted(kernel: Kernel, x: Array, y: Array, ridge: Ridge | str, t: float, solver: Any) -> KernelFunction:
    """The function that training on targets y (N, C) leads to at time t.

    Raises
    ------
    ValueError
        If the ridge is negative or not finite, or is to be chosen for a finite time or by a solver that makes no
        spectrum.
    """
    units = Units(y, normalized=True)
    chosen = isinstance(ridge, str)
    if chosen:
        one_of("ridge", ridge, CRITERIA)
    elif not isinstance(ridge, TimesMeanDiagonal):
        ridge = nonnegative("ridge", ridge)
    if t < math.inf:
        if chosen:
            raise ValueError(
                f"ridge={ridge!r} chooses the ridge of the limit t = inf; for t={t!r} give a number such as ridge=0.0: "
                "early stopping takes the place of a ridge"
            )
        cost = SquaredError(EmpiricalMeasure(x), units.fitted)
        flow = GradientFlow(kernel, cost, ridge=cast(Ridge, ridge), solver=solver)
        return KernelFunction(kernel, x, units.scale * flow.advance(t).coefficients, units.shift, flow.ridge)
    if chosen and not isinstance(solver_of(solver), Direct | Spectral):
        raise ValueError(
            f"ridge={ridge!r} is chosen over the spectrum: give solver='direct', or a number for the ridge"
        )
    process = GaussianProcess(kernel, x, units.fitted, 1.0 if chosen else ridge, "direct" if chosen else solver)
    if chosen:
        # One eigendecomposition serves all ridges. The amplitude of the kernel is chosen with the ridge by likelihood.
        by = cast(Literal["leave_one_out", "marginal_likelihood"], ridge)
        names = ("log_noise", "log_amplitude") if by == "marginal_likelihood" else ("log_noise",)
        selection = select_hyperparameters(process, by=by, wrt=names)
        amplitude = math.exp(selection.hyperparameters.get("log_amplitude", 0.0))
        process = selection.model.with_amplitude(1.0 / amplitude).with_noise(selection.model.noise / amplitude)
    coefficients = process.solved.x[0, ...]
    process.factor.warn("ridge")
    # Whatever the ridge, the likelihood is largest for the amplitude y^T S^{-1} y / N, the mean of all outputs.
    fit = float(to_host(home(x).xp.mean(units.fitted * coefficients)))
    scale = units.scale * math.sqrt(max(fit, 0.0))
    ridge = float(process.noise)
    return KernelFunction(kernel, x, units.scale * coefficients, units.shift, ridge, scale, process)


def left_out(function: KernelFunction, y: Array, t: float, solver: Any, memory: str | int) -> Array:
    """The prediction (N, C) of each target by a function that has not seen it.

    Leave-one-out in closed form. Where that does not exist, because training is stopped early, S is singular or the
    solver iterates, each of a few parts of the sample is predicted by a fit to the others. The offset stays that of all
    targets in the closed form, and is that of the others in refits.
    """
    if function.process is not None:
        try:
            mean = function.process.leave_one_out().mean
        except (np.linalg.LinAlgError, ValueError):
            pass
        else:
            return Units(y, normalized=True).mean(mean)
    x, n = function.x, int(function.x.shape[0])
    xp, _, device = home(x)
    order = np.random.default_rng(0).permutation(n)
    parts = np.array_split(order, min(FOLDS, n))
    predicted = []
    for part in parts:
        others = np.setdiff1d(order, part)
        seen, unseen = (xp.asarray(rows.tolist(), dtype=xp.int64, device=device) for rows in (others, part))
        refit = fitted(function.kernel, xp.take(x, seen, axis=0), xp.take(y, seen, axis=0), function.ridge, t, solver)
        predicted.append(refit(xp.take(x, unseen, axis=0), memory))
    # Row order[k] of the sample is the k-th of the predictions.
    back = xp.asarray(np.argsort(np.concatenate(parts)).tolist(), dtype=xp.int64, device=device)
    return xp.take(xp.concat(predicted), back, axis=0)
