"""Gaussian processes and ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..._array.namespace import Array, home, is_array
from ...dynamics import GradientFlow
from ..asked import answered, chosen
from .descent import over_times, times_of
from .flattened import Flattened, Trained, ridge_of, rows_of, square

__all__ = ["Gaussian", "gp_inference", "gradient_descent_mse_ensemble"]


class Gaussian(NamedTuple):
    """A mean, of the shape of the outputs, and a covariance, of the shape of a kernel."""

    mean: Array
    covariance: Array


def gp_inference(
    k_train_train: Any,
    y_train: Array,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
) -> Callable[..., Any]:
    """``predict_fn(get, k_test_train, k_test_test)``: regression with a Gaussian process, or its mean.

    "nngp" is :class:`ntk_array.dynamics.GaussianProcess` of the NNGP, "ntkgp" that of the NTK, and "ntk" the limit of
    :class:`ntk_array.dynamics.Ensemble`, networks trained forever from random parameters. Kernels are arrays, or have
    attributes ``nngp`` and ``ntk``.

    Parameters
    ----------
    k_train_train : array, Kernel or named tuple
    y_train : array (N, C)
    diag_reg, diag_reg_absolute_scale, trace_axes
        As for :func:`gradient_descent_mse`; the noise of the Gaussian process.

    Returns
    -------
    callable
        Without ``k_test_test`` means only. Without ``k_test_train`` the targets, with covariance zero.
    """
    layout = Flattened.of(y_train, trace_axes, _any_of(k_train_train))

    @cache
    def training(kernel: str) -> tuple[Trained, GradientFlow]:
        """On one kernel, which is factored once."""
        return _training(layout, layout.square(_of(k_train_train, kernel)), diag_reg, diag_reg_absolute_scale)

    def predict_fn(get: Any = None, k_test_train: Any = None, k_test_test: Any = None) -> Any:
        names = chosen(get, ("nngp", "ntk"), ("nngp", "ntk", "ntkgp"))

        def value(name: str) -> Any:
            kernel = "nngp" if name == "nngp" else "ntk"
            old = _of(k_train_train, kernel)
            if k_test_train is None:
                xp = home(old).xp
                return layout.y if k_test_test is None else Gaussian(layout.y, xp.zeros_like(old))
            trained, flow = training(kernel)
            cross = layout.square(_of(k_test_train, kernel))
            if k_test_test is None:
                return layout.shaped(cross @ flow.advance(math.inf).coefficients)
            first = "ntk" if name == "ntkgp" else "nngp"
            if name == "ntk" and (is_array(k_train_train) or is_array(k_test_train)):
                raise ValueError(
                    'the covariance of get="ntk" needs both kernels: k_train_train and k_test_train with attributes '
                    "nngp and ntk, as kernel_fn(x1, x2, ('nngp', 'ntk')) gives them"
                )
            prior = trained.noisy if name != "ntk" else layout.square(_of(k_train_train, first))
            priors = prior, layout.square(_of(k_test_train, first)), square(_of(k_test_test, first))
            return _distribution(layout, trained, cross, priors, np.asarray(math.inf))

        return answered("Gaussians", get, names, value)

    return predict_fn


def gradient_descent_mse_ensemble(
    kernel_fn: Any,
    x_train: Array,
    y_train: Array,
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
    **kernel_fn_train_train_kwargs: Any,
) -> Callable[..., Any]:
    """``predict_fn(t, x_test, get, compute_cov)``: :class:`ntk_array.dynamics.Ensemble` from a ``kernel_fn``.

    Parameters
    ----------
    kernel_fn : callable
        (x1, x2, get) to kernels, of stax or any other.
    x_train, y_train, learning_rate, diag_reg, diag_reg_absolute_scale, trace_axes
        As for :func:`gradient_descent_mse`.

    Returns
    -------
    callable
        ``get`` is "nngp" (only the last layer is trained), "ntk", or both. ``t`` is None for the limit, or times as in
        :func:`gradient_descent_mse`. With ``compute_cov`` a :class:`Gaussian` for each, and else its mean.

    Examples
    --------
    >>> import numpy as np, ntk_array.neural_tangents as nt
    >>> from ntk_array.neural_tangents import stax
    >>> _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Erf(), stax.Dense(1, b_std=0.1))
    >>> x, y = np.asarray([[0.0, 1.0], [1.0, 0.5]]), np.asarray([[1.0], [2.0]])
    >>> predict_fn = nt.predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    >>> predict_fn(x_test=x, get="ntk", compute_cov=True).mean.round(6)
    array([[1.],
           [2.]])
    """
    layout = Flattened.of(y_train, trace_axes, x_train)
    kept: dict[str, Any] = {}

    @cache
    def training(kernel: str) -> tuple[Trained, GradientFlow]:
        """On one kernel, which is factored once."""
        return _training(layout, layout.square(known((kernel,))[kernel]), diag_reg, diag_reg_absolute_scale)

    def known(names: tuple[str, ...]) -> dict[str, Any]:
        """Kernels of the sample, each computed once."""
        missing = tuple(name for name in names if name not in kept)
        if missing:
            found = kernel_fn(x_train, None, missing, **kernel_fn_train_train_kwargs)
            kept.update(zip(missing, found, strict=True))
        return kept

    def predict_fn(
        t: Any = None, x_test: Any = None, get: Any = None, compute_cov: bool = False, **kernel_fn_test_test_kwargs: Any
    ) -> Any:
        names = chosen(get, ("nngp", "ntk"), ("nngp", "ntk"))
        needed = ("nngp", "ntk") if compute_cov and "ntk" in names else names
        old = known(needed)
        if x_test is None and t is None:
            found = gp_inference(_Kernels(old), layout.y, diag_reg, diag_reg_absolute_scale, trace_axes)
            return found(get, None, compute_cov or None)
        cross, new = {}, None
        if x_test is not None:
            across = _across(kernel_fn_train_train_kwargs, kernel_fn_test_test_kwargs)
            cross = dict(zip(needed, kernel_fn(x_test, x_train, needed, **across), strict=True))
            if compute_cov:
                own = kernel_fn_train_train_kwargs | kernel_fn_test_test_kwargs
                new = square(kernel_fn(x_test, None, "nngp", **own))
        times = np.asarray(math.inf) if t is None else learning_rate * times_of(t)

        def value(name: str) -> Any:
            trained, flow = training(name)
            prior = trained.noisy if name == "nngp" else layout.square(old["nngp"]) if compute_cov else None
            # On the sample predictions are without the ridge: those of a kernel of which the ridge is a part.
            theta = trained.noisy if x_test is None else layout.square(cross[name])
            if not compute_cov:
                return over_times(times, lambda time: layout.shaped(theta @ flow.advance(time).coefficients))
            across = prior if x_test is None else layout.square(cross["nngp"])
            return _distribution(layout, trained, theta, (prior, across, prior if new is None else new), times)

        return answered("Gaussians", get, names, value)

    return predict_fn


class _Kernels:
    """Kernels by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.nngp, self.ntk = values.get("nngp"), values.get("ntk")


def _of(kernels: Any, name: str) -> Array:
    """The kernel of this name, of an array, a Kernel or a named tuple."""
    if is_array(kernels):
        return kernels
    found = getattr(kernels, name, None)
    if found is None:
        raise ValueError(f"the kernels have no {name}: compute them with get=('nngp', 'ntk')")
    return found


def _any_of(kernels: Any) -> Array:
    return _of(kernels, "nngp" if getattr(kernels, "ntk", None) is None else "ntk")


def _training(layout: Flattened, matrix: Array, diag_reg: float, absolute: bool) -> tuple[Trained, GradientFlow]:
    trained = Trained(matrix, layout.flat(layout.y), ridge_of(matrix, diag_reg, absolute))
    return trained, trained.flow(None)


def _distribution(
    layout: Flattened, trained: Trained, cross: Array, priors: tuple[Array, Array, Array], times: np.ndarray
) -> Gaussian:
    """Of values at new inputs, at these times."""
    n, m = trained.matrix.shape[0], cross.shape[0]
    ensemble = trained.ensemble(cross, priors)
    found = ensemble.predict(rows_of(trained.matrix, n, n + m), times.ravel().tolist())
    xp = home(cross).xp
    means = [layout.shaped(found.mean[i, ...]) for i in range(times.size)]
    mean = xp.reshape(xp.stack(means), (*times.shape, *means[0].shape))
    covariance = xp.reshape(found.covariance, (*times.shape, m, m))
    return Gaussian(mean, layout.covariance(covariance))


def _across(train: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Arguments for kernels between both sets: of pairs, the first of the test set and the second of the sample."""
    found = dict(train)
    for name, value in test.items():
        old = train.get(name)
        paired = isinstance(value, tuple) and isinstance(old, tuple) and len(value) == len(old) == 2
        arrays = is_array(value) and is_array(old)
        if not (paired or arrays or value is old or value == old):
            raise ValueError(f"{name} of the test set and of the training set differ: {value!r} and {old!r}")
        found[name] = (value[0], old[1]) if paired else value  # type: ignore[index]
    return found
