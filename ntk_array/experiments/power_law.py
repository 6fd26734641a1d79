"""Power laws in the width: least squares on logarithms, with intervals by the bootstrap or Student's t."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._array.validate import count, positive

__all__ = ["PowerLaw"]

FEW = 5
"""Resampling fewer runs a width makes intervals that cover less than they say: those of two covered 81 %, not 95 %."""


@dataclass(frozen=True)
class PowerLaw:
    """value = prefactor * width^exponent, fitted to one value a run.

    Attributes
    ----------
    exponent : float
        The slope of log value against log width, by least squares over all runs that are used; NaN if these have fewer
        than two widths.
    low, high : float
        The confidence interval of the exponent. It knows how runs scatter, not whether the law is one: exponents over
        other widths may differ by more. NaN if every width has a single run.
    prefactor : float
    confidence : float
        The level of the interval.
    points, excluded : int
        How many runs the fit uses, and how many it leaves out.
    """

    exponent: float
    low: float
    high: float
    prefactor: float
    confidence: float
    points: int
    excluded: int

    @classmethod
    def fit(
        cls,
        widths: Any,
        values: Any,
        included: Any = None,
        *,
        confidence: float = 0.95,
        resamples: int = 4000,
        seed: int = 0,
    ) -> PowerLaw:
        """Fit the law, and an interval of its exponent from how runs of one width scatter.

        With 5 runs or more at every width, runs are resampled within each width (Efron 1979). Deviations from the mean
        of a width with R runs are scaled by sqrt(R / (R - 1)), because a resampled mean scatters by that much too
        little. With fewer runs somewhere the interval is exponent +- t s (sum_w a_w^2 / R_w)^(1/2): s^2 is the variance
        of the logarithms within widths, taken as the same at all of them, a_w is the weight of the mean of a width in
        the slope, and t is the quantile of Student's distribution with sum_w (R_w - 1) degrees of freedom. Where the
        narrowest of four widths scatters twice as much as the others, intervals at 95 % cover 90 %.

        Parameters
        ----------
        widths : array (W,)
        values : array (W, R)
            Runs in rows of one width. A value that is not positive and finite is left out.
        included : array (W, R) of bool, optional
            Which runs to use.
        confidence : float
            Between 0 and 1.
        resamples, seed : int
            Of the bootstrap.

        Raises
        ------
        ValueError
            For shapes that do not fit each other, widths that are not positive, or a confidence of 1 or more.

        Examples
        --------
        >>> from ntk_array.experiments import PowerLaw
        >>> law = PowerLaw.fit([16, 64, 256], [[0.5, 0.52], [0.25, 0.26], [0.125, 0.13]])
        >>> round(law.exponent, 6), round(law(1024), 6), law.points
        (-0.5, 0.063738, 6)
        """
        if positive("confidence", confidence) >= 1:
            raise ValueError(f"confidence must be below 1, such as 0.95, got {confidence!r}")
        x, y = np.asarray(widths, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if not (np.isfinite(x) & (x > 0)).all():
            raise ValueError(f"widths must be positive and finite, got {x.tolist()}")
        x, resamples = np.log(x), count("resamples", resamples)
        used = (y > 0) & np.isfinite(y) & (True if included is None else np.asarray(included, dtype=bool))
        if x.ndim != 1 or y.ndim != 2 or len(x) != len(y):
            raise ValueError(f"widths {x.shape} and values {y.shape} must be (W,) and (W, R)")
        rows = [(at, np.log(row[keep])) for at, row, keep in zip(x, y, used, strict=True) if keep.any()]
        points = int(used.sum())
        excluded = used.size - points
        if len({where for where, _ in rows}) < 2:
            return cls(math.nan, math.nan, math.nan, math.nan, float(confidence), points, excluded)
        at, runs = np.asarray([where for where, _ in rows]), np.asarray([len(logs) for _, logs in rows])
        # Least squares over all runs, in logarithms. Runs of one width share x, so only the means m_w of widths count:
        # slope = sum_w R_w (x_w - center) m_w / sum_w R_w (x_w - center)^2, with R_w runs at width w.
        center = np.average(at, weights=runs)
        weights = runs * (at - center) / np.sum(runs * (at - center) ** 2)
        means = np.asarray([logs.mean() for _, logs in rows])
        exponent = float(weights @ means)
        deviations = [logs - logs.mean() for _, logs in rows]
        if runs.min() >= FEW:
            below, above = _resampled(weights, deviations, confidence, resamples, seed)
        else:
            above = _student(weights, deviations, confidence)
            below = -above
        low, high = exponent + below, exponent + above
        # A least-squares line goes through the centre of all runs.
        prefactor = math.exp(np.average(means, weights=runs) - exponent * center)
        return cls(exponent, low, high, prefactor, float(confidence), points, excluded)

    def __call__(self, width: Any) -> Any:
        """The value that the law gives at a width, or at an array of widths."""
        return self.prefactor * width**self.exponent

    def as_json(self) -> dict[str, float | None]:
        """Its attributes by name, None for NaN, which JSON does not have."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        left_out = f", {self.excluded} left out" if self.excluded else ""
        if math.isnan(self.exponent):
            return f"no law: usable runs at fewer than two widths{left_out}"
        interval = "" if math.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}] at {100 * self.confidence:g} %"
        return f"width^{self.exponent:.2f}{interval}, {self.points} runs{left_out}"


def _resampled(
    weights: np.ndarray, deviations: list[np.ndarray], confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """How far below and above the slope its interval reaches, by the bootstrap."""
    rng = np.random.default_rng(seed)
    # The slope is linear in the means. So a resample changes it by the sum over widths of their weights times the
    # changes of their means.
    changes = np.zeros(resamples)
    for weight, own in zip(weights, deviations, strict=True):
        r = len(own)
        changes += weight * math.sqrt(r / (r - 1)) * rng.choice(own, size=(resamples, r)).mean(axis=1)
    tail = (1.0 - confidence) / 2
    below, above = np.quantile(changes, (tail, 1.0 - tail))
    return float(below), float(above)


def _student(weights: np.ndarray, deviations: list[np.ndarray], confidence: float) -> float:
    """Half the length of the interval of the slope by Student's t; NaN where every width has a single run."""
    from scipy.special import stdtrit

    freedom = sum(len(own) - 1 for own in deviations)
    if freedom == 0:
        return math.nan
    variance = sum(float(own @ own) for own in deviations) / freedom
    error = math.sqrt(variance * sum(w**2 / len(own) for w, own in zip(weights, deviations, strict=True)))
    return float(stdtrit(freedom, 0.5 + confidence / 2)) * error
