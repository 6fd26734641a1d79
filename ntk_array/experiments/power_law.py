"""Power laws in the width: least squares on logarithms, with intervals by the bootstrap."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._array.validate import count, positive

__all__ = ["PowerLaw"]


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
        other widths may differ by more. NaN if some width has a single run.
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
        """Fit the law, and resample runs within each width for the interval (Efron 1979).

        Deviations from the mean of a width with R runs are scaled by sqrt(R / (R - 1)): a resampled mean scatters by
        that much too little, and few runs would make a narrow interval.

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
            For shapes that do not fit each other, or a confidence of 1 or more.

        Examples
        --------
        >>> from ntk_array.experiments import PowerLaw
        >>> law = PowerLaw.fit([16, 64, 256], [[0.5, 0.52], [0.25, 0.26], [0.125, 0.13]])
        >>> round(law.exponent, 6), round(law(1024), 6), law.points
        (-0.5, 0.063738, 6)
        """
        if positive("confidence", confidence) >= 1:
            raise ValueError(f"confidence must be below 1, such as 0.95, got {confidence!r}")
        x, y = np.log(np.asarray(widths, dtype=np.float64)), np.asarray(values, dtype=np.float64)
        used = (y > 0) & np.isfinite(y) & (True if included is None else np.asarray(included, dtype=bool))
        if x.ndim != 1 or y.ndim != 2 or len(x) != len(y):
            raise ValueError(f"widths {x.shape} and values {y.shape} must be (W,) and (W, R)")
        rows = [(at, np.log(row[keep])) for at, row, keep in zip(x, y, used, strict=True) if keep.any()]
        points = int(used.sum())
        excluded = used.size - points
        if len(rows) < 2:
            return cls(math.nan, math.nan, math.nan, math.nan, float(confidence), points, excluded)
        at, runs = np.asarray([where for where, _ in rows]), np.asarray([len(logs) for _, logs in rows])
        # Least squares over all runs, in logarithms. Runs of one width share x, so only the means m_w of widths count:
        # slope = sum_w R_w (x_w - center) m_w / sum_w R_w (x_w - center)^2, with R_w runs at width w.
        center = np.average(at, weights=runs)
        weights = runs * (at - center) / np.sum(runs * (at - center) ** 2)
        means = np.asarray([logs.mean() for _, logs in rows])
        exponent = float(weights @ means)
        low = high = math.nan
        # A width with a single run has no deviations to draw from.
        if runs.min() > 1:
            rng = np.random.default_rng(seed)
            # The slope is linear in the means. So a resample is the fitted slope plus, for each width, its weight times
            # the change of its mean.
            slopes = np.full(count("resamples", resamples), exponent)
            for weight, (_, logs) in zip(weights, rows, strict=True):
                r = len(logs)
                drawn = rng.choice(logs - logs.mean(), size=(resamples, r)).mean(axis=1)
                slopes += weight * math.sqrt(r / (r - 1)) * drawn
            tail = (1.0 - confidence) / 2
            low, high = (float(edge) for edge in np.quantile(slopes, (tail, 1.0 - tail)))
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
