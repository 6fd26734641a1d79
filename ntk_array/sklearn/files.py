"""Fitted estimators as files: an npz archive of plain arrays, with options and the network as JSON inside it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .. import __version__, solve
from .._array.archive import read_archive, write_archive
from .._array.namespace import Home, standard_namespace, to_host
from .._array.validate import nonnegative, positive
from ..nn.activations import Activation
from ..nn.files import MissingActivation, build, checked_activations, describe
from ..nn.layer import Layer
from .classifier import NTKClassifier, placed
from .estimator import KernelEstimator
from .regressor import NTKRegressor

__all__ = ["load", "save"]

SCHEMA = "ntk_array estimator 1"
ESTIMATORS: dict[str, type[KernelEstimator]] = {"NTKRegressor": NTKRegressor, "NTKClassifier": NTKClassifier}
LABELS = "iufbU"
"""The kinds of dtypes that labels may have in a file: numbers and text."""
FITTED = {"X_fit": "X_fit_", "dual_coef": "dual_coef_", "offset": "offset_"}


def save(path: str | os.PathLike[str], model: Any) -> None:
    """Write a fitted :class:`NTKRegressor` or :class:`NTKClassifier` to one npz file, which holds no pickle.

    Parameters
    ----------
    path : path
        Where to; ".npz" is not appended. An interrupted save leaves an older file as it was.
    model : estimator, or Pipeline of a StandardScaler and one
        Fitted. Arrays are copied to the host. An activation of your own is saved by its name only: give it again to
        :func:`load`.

    Raises
    ------
    TypeError
        For other models, layers from outside ntk_array, and labels that are neither numbers nor text.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import ntk_array.sklearn
    >>> x = np.random.default_rng(0).normal(size=(30, 2))
    >>> model = ntk_array.sklearn.NTKRegressor().fit(x, x[:, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     model.save(path)
    ...     again = ntk_array.sklearn.load(path)
    >>> bool((again.predict(x) == model.predict(x)).all())
    True
    """
    scaler, estimator = _parts(model)
    check_is_fitted(estimator)
    names = getattr(estimator if scaler is None else scaler, "feature_names_in_", None)
    description = {
        "schema": SCHEMA,
        "ntk_array": __version__,
        "estimator": type(estimator).__name__,
        "options": {name: _described(name, value) for name, value in estimator.get_params(deep=False).items()},
        "scale": estimator.scale_,
        "ridge": estimator.ridge_,
        "features": None if names is None else [str(name) for name in names],
    }
    arrays = {name: to_host(getattr(estimator, attribute)) for name, attribute in FITTED.items()}
    if isinstance(estimator, NTKClassifier):
        labels = to_host(estimator.classes_)
        if labels.dtype == object and all(isinstance(label, str) for label in labels):
            labels, description["labels"] = labels.astype(str), "object"
        if labels.dtype.kind not in LABELS:
            raise TypeError(
                f"labels of dtype {labels.dtype} are neither numbers nor text and cannot be saved; name the classes by "
                "text"
            )
        arrays["classes"] = labels
        description["inverse_temperature"] = estimator.inverse_temperature_
        description["multilabel"] = estimator.is_multilabel_
    else:
        description["vector"] = estimator.is_vector_
    if scaler is not None:
        arrays["mean"], arrays["spread"] = scaler.mean_, scaler.scale_
    write_archive(path, "estimator", description, arrays, "the network has too many layers for one file")


def load(
    path: str | os.PathLike[str],
    *,
    xp: Any = np,
    device: Any = None,
    activations: Mapping[str, Activation] | None = None,
) -> Any:
    """Read what :func:`save` wrote. Nothing in the file is executed.

    Parameters
    ----------
    path : path
        The file.
    xp, device : optional
        The library (default NumPy) and device for the training inputs and coefficients, in the dtype that was saved.
    activations : mapping from name to Activation, optional
        The :class:`ntk_array.nn.Elementwise` activations of the network.

    Returns
    -------
    estimator, or Pipeline of a StandardScaler and one

    Raises
    ------
    ValueError
        If the file is not a saved estimator, is damaged, or needs a newer version of ntk_array.
    """
    given = checked_activations(activations)
    name = os.fspath(path)
    description, arrays = read_archive(path, "estimator", SCHEMA, "an estimator saved by ntk_array.sklearn.save")
    try:
        return _model(description, arrays, standard_namespace(xp), device, given)
    except MissingActivation:
        raise  # nothing is wrong with the file
    except Exception as error:  # whose kind depends on what stands in place of an option or an array
        version = description.get("ntk_array")
        hint = "" if version == __version__ else f"; it was written by ntk_array {version}, this is {__version__}"
        raise ValueError(f"{name} is damaged: {error}{hint}") from error


def _parts(model: Any) -> tuple[Any, Any]:
    """The scaler, or None, and the estimator."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    scaler = steps[0] if len(steps) == 2 and type(steps[0]) is StandardScaler else None
    if type(steps[-1]) not in ESTIMATORS.values() or len(steps) != 1 + (scaler is not None):
        raise TypeError(
            "NTKRegressor, NTKClassifier and pipelines of a StandardScaler and one of them are saved; other pipelines "
            f"are more than arrays: save their last step, got {model!r}"
        )
    if scaler is not None and not (scaler.with_mean and scaler.with_std):
        raise TypeError("a StandardScaler is saved with its means and standard deviations: leave its options alone")
    return scaler, steps[-1]


def _described(name: str, value: Any) -> Any:
    if isinstance(value, Layer):
        return {"layer": describe(value)}
    if name == "solver" and not isinstance(value, str):
        return {"solver": type(value).__name__, **dataclasses.asdict(value)}
    if isinstance(value, solve.TimesMeanDiagonal):
        return {"times_mean_diagonal": value.factor}
    if isinstance(value, np.generic):
        value = value.item()  # a grid of options is often an array, and JSON takes Python's own numbers
    # JSON has no infinity.
    return "inf" if name == "t" and float(value) == math.inf else value


def _option(name: str, value: Any, activations: Mapping[str, Activation]) -> Any:
    if isinstance(value, dict) and "layer" in value:
        return build(value["layer"], activations)
    if isinstance(value, dict) and "times_mean_diagonal" in value:
        return solve.TimesMeanDiagonal(value["times_mean_diagonal"])
    if name == "solver" and not isinstance(value, str):
        fields = dict(value)
        solver = fields.pop("solver")
        if solver not in solve.__all__:
            raise ValueError(f"it has an unknown solver {solver!r}")
        return getattr(solve, solver)(**fields)
    return float(value) if name == "t" else value


def _model(
    description: dict[str, Any], arrays: dict[str, np.ndarray], xp: Any, device: Any, given: Mapping[str, Activation]
) -> Any:
    options = {name: _option(name, value, given) for name, value in description["options"].items()}
    estimator: Any = ESTIMATORS[description["estimator"]](**options)
    estimator.kernel_ = estimator.built_kernel()
    x, coefficients, offset = (_numbers(name, arrays) for name in FITTED)
    if coefficients.ndim != 2 or x.ndim < 2 or len(x) != len(coefficients) or offset.shape != coefficients.shape[1:]:
        raise ValueError(f"its arrays have the shapes {x.shape}, {coefficients.shape} and {offset.shape}")
    home = Home(xp, getattr(xp, str(x.dtype)), device)
    estimator.X_fit_, estimator.dual_coef_, estimator.offset_ = map(home.asarray, (x, coefficients, offset))
    estimator.ridge_, scale = nonnegative("ridge", description["ridge"]), description["scale"]
    estimator.scale_ = None if scale is None else nonnegative("scale", scale)
    estimator.n_features_in_ = x.shape[1]
    if isinstance(estimator, NTKClassifier):
        _classes(estimator, description, arrays["classes"])
    else:
        estimator.is_vector_ = bool(description["vector"])
    names = description["features"]
    if names is not None and len(names) != x.shape[1]:
        raise ValueError(f"it has {len(names)} names of {x.shape[1]} features")
    # An error now, where the network does not take such inputs, and not in the first prediction.
    estimator.fitted_function()(estimator.X_fit_[:1, ...], estimator.memory)
    first: Any = estimator
    if "mean" in arrays:
        first = _scaler(_numbers("mean", arrays), _numbers("spread", arrays), x.shape[1])
    if names is not None:
        first.feature_names_in_ = np.asarray(names, dtype=object)
    return estimator if first is estimator else make_pipeline(first, estimator)


def _numbers(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    array = arrays[name]
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8) or not np.isfinite(array).all() or not array.size:
        raise ValueError(f"its array {name} does not hold finite real numbers")
    return array


def _classes(estimator: Any, description: dict[str, Any], classes: np.ndarray) -> None:
    columns = int(estimator.dual_coef_.shape[1])
    estimator.is_multilabel_ = bool(description["multilabel"])
    expected = columns if estimator.is_multilabel_ or columns > 1 else 2
    if classes.dtype.kind not in LABELS or classes.shape != (expected,):
        raise ValueError(f"its classes are {classes.shape} for {columns} columns of coefficients")
    estimator.classes_ = placed(classes, estimator.X_fit_)
    if description.get("labels") == "object":
        estimator.classes_ = classes.astype(object)
    estimator.inverse_temperature_ = positive("inverse_temperature", description["inverse_temperature"])


def _scaler(mean: np.ndarray, spread: np.ndarray, features: int) -> StandardScaler:
    if mean.shape != (features,) or spread.shape != (features,) or not (spread > 0).all():
        raise ValueError(f"the means and standard deviations of its features are not those of {features} features")
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = mean, spread, spread**2
    scaler.n_features_in_ = features
    return scaler
