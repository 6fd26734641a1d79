"""Trained perceptrons of scikit-learn as networks."""

from __future__ import annotations

from typing import Any

from ..nn import Dense, Layer, ReLU, Sequential, Sigmoid, Tanh
from ..nn.parameters import Params

__all__ = ["from_sklearn"]

ACTIVATIONS: dict[str, type[Layer] | None] = {"relu": ReLU, "tanh": Tanh, "logistic": Sigmoid, "identity": None}


def from_sklearn(estimator: Any) -> tuple[Layer, Params]:
    """A fitted MLPRegressor or MLPClassifier as a network with its parameters.

    ``net(params, x)`` is what the estimator computes before its last activation, (N, C). For a regressor with the
    squared error that is its prediction. For a classifier it is the logit of the second of two classes, or a number for
    each class, of which ``predict_proba`` is the logistic function or the softmax.

    The parameters are NumPy arrays that share the memory of ``coefs_`` and ``intercepts_``. ``weight_std`` and
    ``bias_std`` of the layers are those of scikit-learn's initialization, so that ``net.init`` draws networks like the
    untrained estimator.

    Parameters
    ----------
    estimator : MLPRegressor or MLPClassifier
        Fitted.

    Returns
    -------
    net, params

    Raises
    ------
    TypeError
        For another estimator, such as a pipeline: give its last step, and transformed inputs to the network.
    sklearn.exceptions.NotFittedError
        Before ``fit``.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> from sklearn.neural_network import MLPRegressor
    >>> from ntk_array.sklearn import from_sklearn
    >>> x = np.random.default_rng(0).normal(size=(30, 2))
    >>> mlp = MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", max_iter=5000, random_state=0)
    >>> mlp = mlp.fit(x, np.sin(x[:, 0]))
    >>> net, params = from_sklearn(mlp)
    >>> bool(np.allclose(net(params, x)[:, 0], mlp.predict(x)))
    True
    >>> ntk.EmpiricalNTK(net, params, outputs="trace")(x).shape
    (30, 30)
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(estimator, MLPRegressor | MLPClassifier):
        raise TypeError(
            f"estimator must be a fitted MLPRegressor or MLPClassifier, got {type(estimator).__name__}; of a pipeline "
            "give the last step"
        )
    check_is_fitted(estimator)
    layers: list[Layer] = []
    params: list[Any] = []
    activation = ACTIVATIONS[estimator.activation]
    for weight, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        if layers and activation is not None:
            layers.append(activation())
            params.append({})
        inputs, outputs = weight.shape
        # Weights and biases are uniform, of the variance 2 / (inputs + outputs), or a third of that for "logistic".
        variance = (2.0 if estimator.activation != "logistic" else 2.0 / 3.0) / (inputs + outputs)
        layers.append(Dense(outputs, (inputs * variance) ** 0.5, variance**0.5, "standard"))
        params.append({"weight": weight.T, "bias": bias})
    return Sequential(*layers), tuple(params)
