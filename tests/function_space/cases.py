"""A table of cost functionals with their formulas, example by example: a new cost joins by one line."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, ExpectedLoss, Huber, Logistic, SquaredError

N = 5
WEIGHTS = np.asarray([0.1, 0.3, 0.25, 0.15, 0.2])
LABELS = np.asarray([2, 0, 1, 1, 2])
SIGNS = np.asarray([-1.0, 1.0, 1.0, -1.0, 1.0])
PROBABILITIES = np.asarray([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.125, 0.875], [0.25, 0.75, 0.0], [0, 0, 1.0]])
REAL = np.random.default_rng(3).normal(size=(N, 3))


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def log_loss(f, y):
    """The text-book formula, by SciPy's logsumexp."""
    return np.sum(y * (logsumexp(f, axis=1, keepdims=True) - f), axis=1)


def huber(r, delta):
    return np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))


@dataclass(frozen=True)
class Case:
    """How a cost is made from p_in and targets, and its loss (N,) from f (N, C) in NumPy."""

    make: Any
    y: np.ndarray
    loss: Any
    outputs: int

    def cost(self, backend, weighted=False, x=None):
        x = np.random.default_rng(4).normal(size=(N, 2)) if x is None else x
        p_in = EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)
        return self.make(p_in, backend.array(self.y))


def pseudo_huber(p_in, y):
    return ExpectedLoss(
        p_in,
        y,
        loss=lambda xp, f, y: xp.sum(xp.sqrt(1.0 + (f - y) ** 2), axis=1),
        loss_derivative=lambda xp, f, y: (f - y) / xp.sqrt(1.0 + (f - y) ** 2),
    )


CASES = {
    "squared error": Case(SquaredError, REAL, lambda f: np.sum((f - REAL) ** 2, axis=1), 3),
    "half sum": Case(
        lambda p_in, y: SquaredError(p_in, y, convention="half_sum"),
        REAL,
        lambda f: N / 2 * np.sum((f - REAL) ** 2, axis=1),
        3,
    ),
    "half mean": Case(
        lambda p_in, y: SquaredError(p_in, y, convention="half_mean"),
        REAL,
        lambda f: np.mean((f - REAL) ** 2, axis=1) / 2,
        3,
    ),
    "cross-entropy, labels": Case(CrossEntropy, LABELS, lambda f: log_loss(f, one_hot(LABELS, 3)), 3),
    "cross-entropy, a class without examples": Case(
        lambda p_in, y: CrossEntropy(p_in, y, classes=4), LABELS, lambda f: log_loss(f, one_hot(LABELS, 4)), 4
    ),
    "cross-entropy, probabilities": Case(CrossEntropy, PROBABILITIES, lambda f: log_loss(f, PROBABILITIES), 3),
    "logistic": Case(Logistic, SIGNS, lambda f: np.log1p(np.exp(-SIGNS[:, None] * f)).sum(axis=1), 1),
    "logistic, several labels": Case(
        Logistic, PROBABILITIES > 0, lambda f: np.log1p(np.exp(f * (1 - 2 * (PROBABILITIES > 0)))).sum(axis=1), 3
    ),
    "huber": Case(Huber, REAL, lambda f: huber(f - REAL, 1.0).sum(axis=1), 3),
    "huber, small delta": Case(
        lambda p_in, y: Huber(p_in, y, delta=0.5), REAL[:, 0], lambda f: huber(f[:, 0] - REAL[:, 0], 0.5), 1
    ),
    "of one's own": Case(pseudo_huber, REAL, lambda f: np.sqrt(1 + (f - REAL) ** 2).sum(axis=1), 3),
}
