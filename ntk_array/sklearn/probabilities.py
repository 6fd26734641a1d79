"""Class probabilities from scores, by temperature scaling on scores that were left out."""

import math

from .._array.namespace import Array, home, to_host
from ..function_space.classification import CrossEntropy
from ..function_space.measure import EmpiricalMeasure

__all__ = ["inverse_temperature", "two_columns"]

RANGE = (1e-2, 1e4)
"""What is searched, in units of one over the root mean square of the scores."""


def two_columns(scores: Array) -> Array:
    """Scores (M,) of a binary decision as those (M, 2) of its two classes, whose difference they are."""
    return home(scores).xp.stack([-0.5 * scores, 0.5 * scores], axis=1)


def inverse_temperature(scores: Array, members: Array) -> float:
    """The factor beta > 0 at which softmax(beta scores) predicts the classes best, by the cross-entropy.

    Parameters
    ----------
    scores : array (N, C)
        Of examples that the function was not fitted to.
    members : array (N, C)
        One-hot rows: the class of each example.

    Notes
    -----
    One number for all classes (Guo et al. 2017, section 4.2), so that the most probable class is the one of the largest
    score. The targets of the cross-entropy are (N_c + 1) / (N_c + 2) for the class of an example, of N_c examples; the
    other classes share the rest evenly. With zeros and ones beta would be infinite for scores that separate the classes
    (Platt 1999, section 2.2, for two classes).
    """
    from scipy.optimize import minimize_scalar

    xp, n_classes = home(scores).xp, int(scores.shape[1])
    # The number of examples in the class of each.
    size = xp.sum(members * xp.sum(members, axis=0), axis=1, keepdims=True)
    rest = 1.0 / (size + 2.0)
    targets = members * (1.0 - rest) + (1.0 - members) * rest / (n_classes - 1)
    cost = CrossEntropy(EmpiricalMeasure(scores), targets)
    spread = float(to_host(xp.sqrt(xp.mean((scores - xp.mean(scores, axis=1, keepdims=True)) ** 2)))) or 1.0
    low, high = (math.log(end / spread) for end in RANGE)

    def loss(log: float) -> float:
        return float(to_host(cost(math.exp(log) * scores)))

    return math.exp(float(minimize_scalar(loss, bounds=(low, high), method="bounded").x))
