"""Choosing hyper-parameters by the marginal likelihood or by leave-one-out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from .._array.short import short_repr
from .._array.validate import one_of
from .._support.html import table
from .gaussian_process import GaussianProcess
from .gradient_flow import GradientFlow
from .search import Bounds, Criterion, CriterionLoss, Search

__all__ = ["Selection", "select_hyperparameters"]

Model = TypeVar("Model", GaussianProcess, GradientFlow)


@dataclass(frozen=True)
class Selection(Generic[Model]):
    """The hyper-parameters that were chosen, and how they were found.

    Attributes
    ----------
    model : GaussianProcess or GradientFlow
        With the chosen hyper-parameters.
    hyperparameters : dict
        The chosen values, by name: "log_noise" or "log_ridge" is the logarithm of the value itself, "log_weight_std"
        and "log_bias_std" are logarithms of the factors by which those of the kernel were multiplied, "log_amplitude"
        is that of the factor of the kernel itself.
    value : float
        The criterion there: the log marginal likelihood, or the mean squared leave-one-out error.
    start : float
        The criterion at the start; NaN if S is singular there, so that the criterion does not exist.
    at_bound : tuple of str
        The names whose values lie at a bound. The criterion would improve beyond it, or rounding hides whether it does.
    converged : bool
        Whether the optimizer met its tolerance.
    kernels : int
        How many kernel matrices were diagonalized.
    evaluations : int
        How many times the criterion was evaluated, for all noises of all kernels.
    """

    __repr__ = short_repr

    model: Model
    hyperparameters: dict[str, float]
    value: float
    start: float
    at_bound: tuple[str, ...]
    converged: bool
    kernels: int
    evaluations: int

    def _repr_html_(self) -> str:
        found: tuple[str, ...] = ("value", "start", "at_bound", "converged", "kernels", "evaluations")
        rows = [*self.hyperparameters.items(), *[(name, getattr(self, name)) for name in found]]
        return table(f"Hyper-parameters of a {type(self.model).__name__}", rows)


def select_hyperparameters(
    model: Model,
    by: Criterion,
    wrt: str | Sequence[str] | None = None,
    bounds: Bounds | None = None,
    progress: bool = False,
) -> Selection[Model]:
    """The hyper-parameters of a Gaussian process, or the ridge of kernel regression, that a criterion prefers.

    One eigendecomposition serves all noises (or ridges) and amplitudes. The best noise for a kernel is therefore
    searched over all of its bounds: on a grid, then refined. The best amplitude for a ratio r of noise and amplitude
    has a closed form, a = y^T (K + r I)^{-1} y / N. Factors of weight_std and bias_std are searched by L-BFGS-B, which
    starts at the given kernel and ends in a local optimum. It takes derivatives in closed form, at the best noise for
    each kernel that it tries: there the criterion does not change with the noise, so that these are the derivatives of
    the best value.

    Parameters
    ----------
    model : GaussianProcess or GradientFlow
        The start. A flow (of the squared error, with any kind of kernel) is kernel regression, its limit t = inf.
    by : "marginal_likelihood" or "leave_one_out"
        "marginal_likelihood" is maximized (Rasmussen and Williams 2006, section 5.4.1), for a Gaussian process only.
        "leave_one_out" minimizes the mean squared error (1/N) sum_i ||y_i - prediction from the others||^2 (section
        5.4.2, with this error in place of the predictive probability); a common factor of kernel and noise does not
        change it.
    wrt : str or sequence of str, optional
        Of a Gaussian process some of "log_weight_std", "log_bias_std" and "log_noise", all that there are unless given;
        and "log_amplitude", which multiplies the kernel and is chosen only where it is named, because the weight_std
        of networks without biases do the same. Noise of each observation stays as it is.
        Of a flow "log_ridge".
    bounds : dict, optional
        (low, high) for some of these names. Bounds of "log_weight_std", "log_bias_std" and "log_amplitude" are
        logarithms of the factor and contain 0, the start; (-log 10, log 10) unless given, and (-log 1e12, log 1e12) for
        the amplitude. Bounds of "log_noise" and "log_ridge" are logarithms of the value itself, or of the noise over
        the amplitude where both are chosen. Unless given, they reach from 10 times the cut-off of the spectrum to 100
        times the largest eigenvalue, or for the likelihood with a fixed amplitude 100 times the mean square of the
        targets if that is more. Noise below twice the cut-off is never tried, because S might be singular.
    progress : bool
        Show a progress bar of kernels tried.

    Returns
    -------
    Selection
        The chosen model, whose solver is "spectrum", and how it was found. The given model is not changed.

    Raises
    ------
    ValueError
        If a hyper-parameter does not exist, bounds are not in order, or a flow has weights.
    TypeError
        If the model is of another kind, or its cost is not the squared error.
    numpy.linalg.LinAlgError
        If S is singular and the noise is not chosen.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> y = np.sin(x[:, 0]) + 0.1 * rng.normal(size=60)
    >>> K = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.1))
    >>> gp = ntk.dynamics.GaussianProcess(K, x, y, noise=1.0)
    >>> chosen = ntk.dynamics.select_hyperparameters(gp, by="marginal_likelihood")
    >>> chosen.converged, chosen.value > chosen.start, 0.05 < chosen.model.noise**0.5 < 0.2
    (True, True, True)

    The ridge of kernel regression, from one eigendecomposition:

    >>> flow = ntk.dynamics.GradientFlow(K, ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y))
    >>> chosen = ntk.dynamics.select_hyperparameters(flow, by="leave_one_out")
    >>> chosen.kernels, chosen.model.ridge > 0
    (1, True)
    """
    one_of("by", by, ("marginal_likelihood", "leave_one_out"))
    if not isinstance(model, GaussianProcess | GradientFlow):
        raise TypeError(f"model must be a GaussianProcess or a GradientFlow, got {model!r}")
    if isinstance(model, GradientFlow) and by == "marginal_likelihood":
        raise ValueError('a flow has no marginal likelihood: choose by="leave_one_out", or make a GaussianProcess')
    criterion = CriterionLoss(by)
    # One spectrum serves every ridge.
    model = model.with_solver("spectrum")
    try:
        start = criterion.value(model)
    except np.linalg.LinAlgError:
        start = math.nan
    search = Search(model, criterion, wrt, bounds or {})
    best, converged = search.run(progress)
    value = criterion.value(best.model)
    return Selection(
        best.model, best.chosen, value, start, best.at_bound, converged, search.kernels, criterion.evaluations
    )
