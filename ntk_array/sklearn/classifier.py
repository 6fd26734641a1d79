"""Classification."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from .._array.libraries import is_numpy
from .._array.namespace import Array, home, is_array, to_host
from ..function_space.classification import log_softmax
from .estimator import KernelEstimator, moved
from .function import left_out
from .probabilities import inverse_temperature, two_columns

__all__ = ["NTKClassifier", "placed"]


class NTKClassifier(ClassifierMixin, KernelEstimator):  # type: ignore[misc]
    """Classification by the neural tangent kernel of an infinitely wide network: least squares on coded labels.

    Two classes are coded as -1 and 1, more as one-hot rows, and several binary labels (N, C) as -1 and 1 each. The
    scores are the predictions of :class:`NTKRegressor` for these codes, and the class of the largest score is predicted
    (Arora et al. 2020 classify so, and with support vectors).

    Probabilities are softmax(beta s) of the scores s, and for two classes 1 / (1 + exp(-beta s)). The inverse
    temperature beta > 0 is the one number that minimizes the cross-entropy of scores that were left out
    (temperature scaling, Guo et al. 2017, section 4.2; with the smoothed targets of Platt 1999). They are
    leave-one-out in closed form (Rasmussen and Williams 2006, eq. 5.12), so that no example is judged by a function
    that was fitted to it, and nothing is fitted again. Where there is no closed form (a finite time t, a singular
    kernel matrix without a ridge, or an iterative solver) five refits stand in. The most probable class is always the
    predicted one.

    Features are taken as they come: the network sees their scales. Standardise them before, as in
    ``make_pipeline(StandardScaler(), NTKClassifier())``.

    Parameters
    ----------
    kernel, depth, activation, weight_std, bias_std, network, ridge, t, solver, memory
        As for :class:`NTKRegressor`. A ridge that is chosen is chosen for the codes of the labels.

    Attributes
    ----------
    classes_ : array (C,)
        The labels, sorted.
    kernel_, X_fit_, dual_coef_, offset_, scale_, ridge_, n_features_in_, feature_names_in_
        As for :class:`NTKRegressor`, with a column for each code.
    inverse_temperature_ : float
        beta.
    is_multilabel_ : bool
        Whether labels were (N, C), several for each example.

    Notes
    -----
    Far from all training inputs the scores are the means of the codes, so that the most frequent class is predicted.
    There are no class weights and no sample weights.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from ntk_array.sklearn import NTKClassifier
    >>> x, x_new, y, y_new = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
    >>> model = make_pipeline(StandardScaler(), NTKClassifier()).fit(x, y)
    >>> model.score(x_new, y_new) > 0.95
    True
    >>> model.predict_proba(x_new).shape
    (143, 2)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit labels (N,) of any type, or several binary labels (N, C) of 0 and 1.

        Raises
        ------
        ValueError
            If there is one class only, labels are real numbers, or as for :meth:`NTKRegressor.fit`.
        """
        x, y = self._validated(X, y, multi_output=True)
        check_classification_targets(y)
        self.is_multilabel_ = type_of_target(y) == "multilabel-indicator"
        members = self._members(y, x)
        binary = self.is_multilabel_ or members.shape[1] == 2
        codes = 2.0 * (members if self.is_multilabel_ else members[:, 1:]) - 1.0 if binary else members
        function = self._fit(x, codes)
        scores = left_out(function, codes, self._time(), self.solver, self.memory)
        if binary:
            xp, (n, c) = home(x).xp, codes.shape
            scores = two_columns(xp.reshape(scores, (n * c,)))
            members = 0.5 + two_columns(xp.reshape(codes, (n * c,)))
        self.inverse_temperature_ = inverse_temperature(scores, members)
        return self

    def _members(self, y: Any, x: Array) -> Array:
        """Which classes each example has, (N, C) of 0 and 1, in the home of x; and ``classes_``."""
        if self.is_multilabel_:
            self.classes_ = np.arange(y.shape[1])
            return moved(y, x)
        host = column_or_1d(to_host(y) if is_array(y) else np.asarray(y), warn=True)
        classes, numbers = np.unique(host, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes.tolist()[0]!r}: there is nothing to tell it from")
        self.classes_ = placed(classes, x)
        return home(x).asarray(np.eye(len(classes))[numbers])

    def decision_function(self, X: Any) -> Array:
        """Scores: (M,) for two classes, above 0 for the second of them; else (M, C)."""
        scores = self._scores(X, "decision_function")
        return scores[:, 0] if scores.shape[1] == 1 and not self.is_multilabel_ else scores

    def predict(self, X: Any) -> Array:
        """Labels (M,), or (M, C) of 0 and 1 where each example may have several."""
        scores = self._scores(X, "predict")
        xp = home(scores).xp
        if self.is_multilabel_:
            return xp.astype(scores > 0, xp.int64)
        index = xp.astype(scores[:, 0] > 0, xp.int64) if scores.shape[1] == 1 else xp.argmax(scores, axis=1)
        if is_numpy(self.classes_):
            return self.classes_[to_host(index)]
        return xp.take(self.classes_, index, axis=0)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes (M, C), or (M, C) of each binary label by itself."""
        logarithms = self._log_probabilities(X, "predict_proba")
        return home(logarithms).xp.exp(logarithms)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, of the same shape; finite where a probability is too small for a number."""
        return self._log_probabilities(X, "predict_log_proba")

    def _log_probabilities(self, x: Any, method: str) -> Array:
        scores = self._scores(x, method)
        scores = self.inverse_temperature_ * scores
        xp = home(scores).xp
        if scores.shape[1] > 1 and not self.is_multilabel_:
            return log_softmax(xp, scores)
        pairs = log_softmax(xp, two_columns(xp.reshape(scores, (-1,))))
        return xp.reshape(pairs[:, 1], scores.shape) if self.is_multilabel_ else pairs


def placed(classes: np.ndarray, x: Array) -> Array:
    """Labels that are whole numbers where the inputs x live, so that predictions live there; others on the host."""
    if classes.dtype.kind not in "iub" or is_numpy(x):
        return classes
    xp, _, device = home(x)
    return xp.asarray(classes.tolist(), dtype=getattr(xp, str(classes.dtype)), device=device)
