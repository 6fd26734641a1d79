"""Cost functionals of classification: labels for targets, logits for functions."""

from typing import Any

from .._array.namespace import Array, home, is_array, namespace_of, to_host
from .._array.validate import count, real_array, same_home, targets
from .expected_loss import ExpectedLoss
from .measure import EmpiricalMeasure

__all__ = ["CrossEntropy", "Logistic"]


class CrossEntropy(ExpectedLoss):
    """C(f) = -sum_i w_i sum_c y_ic log p_c(x_i) with p = softmax(f), and d|_f(x_i) = p(x_i) - y_i.

    f has one output for each class. Cost and derivative keep their relative accuracy where p is close to the label, as
    it is late in training.

    Parameters
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N,) of integers, or (N, C)
        The label of each example, 0 .. C - 1, or its class probabilities, each row not negative and of sum 1.
        Predictions are (M, C) in either case.
    classes : int, optional
        C; for labels by default the largest one plus 1.

    Attributes
    ----------
    y : array (N, C)
        Probabilities; one-hot for labels.

    Raises
    ------
    ValueError
        For labels out of range or fewer than two classes, or probabilities that are negative or do not sum to 1.
    TypeError
        For labels that are not integers.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0]]))
    >>> cost = ntk.function_space.CrossEntropy(p_in, np.asarray([0, 1]))
    >>> cost.derivative(np.zeros((2, 2))).representer
    array([[-0.5,  0.5],
           [ 0.5, -0.5]])
    >>> bool(np.isclose(cost(np.zeros((2, 2))), np.log(2)))
    True
    """

    def __init__(self, p_in: EmpiricalMeasure, y: Array, classes: int | None = None) -> None:
        classes = None if classes is None else count("classes", classes)
        probabilities = (
            _one_hot(p_in, y, classes) if getattr(y, "ndim", None) == 1 else _probabilities(p_in, y, classes)
        )
        super().__init__(p_in, probabilities, _cross_entropy, _cross_entropy_derivative)


class Logistic(ExpectedLoss):
    """C(f) = sum_i w_i sum_c log(1 + exp(-s_ic f_c(x_i))) with signs s, and d|_f(x_i) = -s_i / (1 + exp(s_i f(x_i))).

    Each output has a binary label of its own, so that an example may have several. A two-class
    :class:`CrossEntropy` is this cost of the difference of its logits, f = f_1 - f_0. That difference has twice the
    kernel: the flow of this cost is at time 2 t where that of the cross-entropy is at time t.

    Parameters
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N,) or (N, C)
        Binary labels: -1 and 1, or 0 and 1, or booleans.

    Attributes
    ----------
    y : array (N, C)
        The signs s.

    Raises
    ------
    ValueError
        For other labels.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0]]))
    >>> cost = ntk.function_space.Logistic(p_in, np.asarray([False, True]))
    >>> cost.y[:, 0].tolist(), cost.derivative(np.zeros(2)).representer.tolist()
    ([-1.0, 1.0], [0.5, -0.5])
    """

    def __init__(self, p_in: EmpiricalMeasure, y: Array) -> None:
        super().__init__(p_in, _signs(_at_home(p_in, y)), _logistic, _logistic_derivative)


def _cross_entropy(xp: Any, f: Array, y: Array) -> Array:
    return -xp.sum(y * log_softmax(xp, f), axis=1)


def _cross_entropy_derivative(xp: Any, f: Array, y: Array) -> Array:
    """p - y as (1 - y) p - y (1 - p), with 1 - p from log p: no digits are lost where p is close to y = 1."""
    log_p = log_softmax(xp, f)
    return (1.0 - y) * xp.exp(log_p) + y * xp.expm1(log_p)


def log_softmax(xp: Any, f: Array) -> Array:
    """log p, to full relative accuracy where p is close to 1."""
    # With the largest output subtracted, log p = f - log(sum_c exp(f_c)). The largest terms of that sum are exp(0) = 1.
    # One of them is left to log1p, which keeps the digits of all the others where these are small.
    f = f - xp.max(f, axis=1, keepdims=True)
    others = xp.where(f < 0, xp.exp(f), 0.0)
    ties = xp.sum(xp.where(f < 0, xp.zeros_like(f), 1.0), axis=1, keepdims=True) - 1.0
    return f - xp.log1p(ties + xp.sum(others, axis=1, keepdims=True))


def _logistic(xp: Any, f: Array, s: Array) -> Array:
    margin = s * f
    # log(1 + exp(-m)) = log1p(exp(-|m|)) - min(m, 0). The exponent is never positive, so that nothing overflows.
    return xp.sum(xp.log1p(xp.exp(-xp.abs(margin))) - xp.clip(margin, max=0.0), axis=1)


def _logistic_derivative(xp: Any, f: Array, s: Array) -> Array:
    """-s / (1 + exp(s f)), without overflow."""
    margin = s * f
    # 1 / (1 + exp(m)) = exp(-max(m, 0)) / (1 + exp(-|m|))
    return -s * xp.exp(-xp.clip(margin, min=0.0)) / (1.0 + xp.exp(-xp.abs(margin)))


def _at_home(p_in: EmpiricalMeasure, y: Array) -> Array:
    """Labels on the sample, in the dtype of the inputs if they are integers or booleans."""
    if not isinstance(p_in, EmpiricalMeasure):
        raise TypeError(f"p_in must be an EmpiricalMeasure, got {type(p_in).__name__}; write EmpiricalMeasure(x)")
    return targets("y", y, p_in.x)


def _is_whole(y: Any) -> bool:
    return is_array(y) and bool(namespace_of(y).isdtype(y.dtype, ("integral", "bool")))


def _one_hot(p_in: EmpiricalMeasure, y: Array, classes: int | None) -> Array:
    """Probabilities (N, C) of integer labels (N,)."""
    real_array("y", y)
    if not _is_whole(y):
        raise TypeError(
            f"y has dtype {y.dtype}; labels (N,) are integers: cast whole numbers, e.g. to int64, give class "
            "probabilities as (N, C), or use Logistic for one output and two classes"
        )
    labels = _at_home(p_in, y)
    same_home(x=p_in.x, y=labels)
    host = to_host(y)
    smallest, largest = int(host.min()), int(host.max())
    c = largest + 1 if classes is None else classes
    if c < 2:
        raise ValueError(
            "y has one class only, and the softmax of one output is constant; give classes= if there are more"
        )
    if smallest < 0 or largest >= c:
        raise ValueError(f"y has labels from {smallest} to {largest}; for {c} classes labels are 0 .. {c - 1}")
    xp, dtype, device = home(labels)
    return xp.astype(labels[:, None] == xp.arange(c, dtype=dtype, device=device)[None, :], dtype)


def _probabilities(p_in: EmpiricalMeasure, y: Array, classes: int | None) -> Array:
    """Probabilities (N, C), checked."""
    y = _at_home(p_in, y)
    c = y.shape[1]
    if c < 2:
        raise ValueError(
            f"y has shape {tuple(y.shape)}; class probabilities need two columns or more: give labels as (N,), or use "
            "Logistic for one output"
        )
    if classes is not None and classes != c:
        raise ValueError(f"y has {c} columns and classes is {classes}; they must agree")
    host = to_host(y)
    # Each of the C probabilities may be rounded, so that the tolerance for their sum grows with C.
    wrong = (host < 0).any(axis=1) | (abs(host.sum(axis=1) - 1.0) > 4 * c * home(y).eps)
    if wrong.any():
        raise ValueError(
            f"y has {int(wrong.sum())} rows that are no class probabilities, the first in row {int(wrong.argmax())}: "
            "they must not be negative and must sum to 1; divide each row by its sum"
        )
    return y


def _signs(y: Array) -> Array:
    xp = home(y).xp
    # Labels that are all 1 belong to either convention, and both give the sign 1.
    if to_host(xp.all((y == 0) | (y == 1))):
        return 2.0 * y - 1.0
    if not to_host(xp.all((y == -1) | (y == 1))):
        raise ValueError("y has other values than the binary labels -1 and 1, or 0 and 1, or booleans")
    return y
