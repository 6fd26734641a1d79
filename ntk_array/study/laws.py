"""The laws of a study beside those of theory: what each is about, whether they agree, and why they may not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..experiments.power_law import PowerLaw
from .study import Study

__all__ = ["LAWS", "Checked", "advice", "checked_laws"]

HALF = -0.5
"""The exponent of theory: averages over so many independent weights scatter as width^-1/2."""
WIDE = 0.4
"""Intervals as long as this, around -1/2, tell little of a law."""


@dataclass(frozen=True)
class Quantity:
    """Something that theory says vanishes as networks get wider.

    Attributes
    ----------
    text : str
        What it is, in words.
    source : str
        Where theory says how fast.
    bound : bool
        Whether theory only says that it vanishes at least as fast as width^-1/2.
    """

    text: str
    source: str
    bound: bool = True


LEE = "Lee et al. 2019, Theorem 2.1"
LAWS = {
    "concentration": Quantity(
        "distance of the kernel before training from its infinite-width limit", "Arora et al. 2019, section 3", False
    ),
    "movement": Quantity("movement of the kernel in training, its largest value", LEE),
    "gap_linearized": Quantity("distance from the linearized network, its largest value in training", LEE),
    "gap_infinite": Quantity("distance from the infinite-width prediction, its largest value in training", LEE),
    "from_regression_empirical": Quantity(
        "distance from regression with the network's own kernel, after training", "Arora et al. 2019, Theorem 3.2"
    ),
    "from_regression_infinite": Quantity(
        "distance from regression with the infinite-width kernel, after training", "Arora et al. 2019, Theorem 3.2"
    ),
}
"""All laws that a study fits, in the order of its pictures."""


@dataclass(frozen=True)
class Checked:
    """A law of a study, the mean of its quantity at each width, and what theory says of it."""

    name: str
    law: PowerLaw
    widths: np.ndarray
    means: np.ndarray

    @property
    def quantity(self) -> Quantity:
        """What the law is of."""
        return LAWS[self.name]

    @property
    def verdict(self) -> str:
        """Agreement with theory, in a few words."""
        law = self.law
        if math.isnan(law.exponent):
            return "no law"
        if math.isnan(law.low):
            return "no interval"
        if law.low > HALF:
            return "slower than theory"
        if law.high < HALF:
            return "faster than theory's bound" if self.quantity.bound else "faster than theory"
        return "as theory says" if law.high - law.low < WIDE else "too few networks to tell"

    @property
    def agrees(self) -> bool:
        """Whether the interval lets theory be true."""
        return self.verdict in ("as theory says", "faster than theory's bound")

    @property
    def told(self) -> bool:
        """Whether the networks are enough to compare the law with theory."""
        return self.verdict not in ("no law", "no interval", "too few networks to tell")

    @property
    def exponent(self) -> str:
        """The law with its interval."""
        law = self.law
        if math.isnan(law.exponent):
            return "none"
        interval = "" if math.isnan(law.low) else f" [{law.low:.2f}, {law.high:.2f}]"
        return f"width^{law.exponent:.2f}{interval}"

    @property
    def reason(self) -> str:
        """Why the law may differ from that of theory, or what to change where there is none; empty if it agrees."""
        if self.verdict == "no law":
            return "too few networks have learned the training rows for a law; see the advice on the steps"
        if self.verdict == "no interval":
            return "one network a width shows no scatter: take --networks 3 or more for an interval"
        if self.verdict == "too few networks to tell":
            return "the interval is long: take more networks a width (--networks), or widths further apart (--widths)"
        if self.agrees:
            return ""
        first, last = self.means[0], self.means[-1]
        wide = float(np.log(self.means[-1] / self.means[-2]) / np.log(self.widths[-1] / self.widths[-2]))
        nearer = abs(wide - HALF) < abs(self.law.exponent - HALF)
        shown = (
            f"between the two widest alone it is {wide:.2f}, nearer to -1/2, as theory expects"
            if nearer
            else f"between the two widest alone it is {wide:.2f}, no nearer to -1/2, and only wider networks "
            "(--widths) can tell"
        )
        return (
            "theory speaks of the limit of large width, and the interval knows only how networks of one width scatter. "
            f"Distances of narrow networks are not small ({first:.2g} at width {self.widths[0]}, {last:.2g} at width "
            f"{self.widths[-1]}), so that terms of higher order bend the line; the slope {shown}"
        )


def checked_laws(study: Study) -> list[Checked]:
    """Every law of a study, in the order of the pictures."""
    a, distances = study.arrays, study.distances
    return [
        Checked(
            name,
            study.laws[name],
            a["concentration_widths"] if name == "concentration" else a["widths"],
            distances[name].mean(axis=1),
        )
        for name in LAWS
    ]


def advice(study: Study) -> str:
    """What to change where the laws of training leave runs out; empty where they do not."""
    law, needed, steps = study.laws["movement"], study.data["steps_needed"], study.settings.steps
    if not law.excluded:
        return ""
    found = (
        f"The cost of {law.excluded} of {law.points + law.excluded} runs did not fall below 1 % of its start in "
        f"{steps} steps; at infinite width "
    )
    if needed is None:
        return found + "it never does, because the kernel is the same for inputs that have different targets."
    if needed > (steps or 0):
        return found + f"that takes {needed} steps: try --steps {_rounded(1.5 * needed)}."
    return found + f"that takes {needed} steps: try more steps, or wider networks."


def _rounded(steps: float) -> int:
    """Up to a number with two digits."""
    unit: int = 10 ** max(math.floor(math.log10(steps)) - 1, 0)
    return math.ceil(steps / unit) * unit
