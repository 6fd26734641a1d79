"""How rounding grows where smooth activations read angles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._array.namespace import home, to_host
from .inputs import Inputs
from .program import Program

__all__ = ["reads_cosines", "rounding_growth"]


def reads_cosines(program: Program) -> list[int]:
    """The places of smooth activations behind others, from which no kink follows.

    Angles are exact where a kink reads them, and in front of the first activation. These read the cosine, which has
    half of the digits of a small angle.
    """
    found = [
        place
        for place, step in enumerate(program.steps, start=1)
        if step.signals[0].gaussian and not program.signals[place].gaussian
    ]
    steps = ((place, program.steps[place - 1]) for place in found[1:])
    return [place for place, step in steps if not (step.layer.kinked or step.before_kink)]


def rounding_growth(program: Program, inputs: Inputs) -> float:
    """How many times the rounding of one covariance is in the kernel, about; 0 where no cosine is read.

    An error d of a covariance k12 behind a layer becomes what an NTK of d there would: d E[phi'(u) phi'(v)] behind an
    activation, near coincidence. Every activation adds its own. Where values spread over s, a function changes within
    an angle of 1 / s, which an error e of the cosine moves by e s: the slope is then off by e s^2.

    Up to the first layer that mixes positions, for each position with itself.
    """
    smooth = reads_cosines(program)
    mixing = (i for i, step in enumerate(program.steps) if step.layer.needs_every_pair(False))
    end = next(mixing, len(program.steps))
    if not smooth or smooth[0] > end:
        return 0.0
    chain = program.upto(end, same=True)
    chain = replace(chain, steps=tuple(step._replace(layer=step.layer.untabulated()) for step in chain.steps))
    start = chain.start(inputs, ntk=True)
    xp, spread = home(start.k12).xp, 1.0
    moved, still = [start], [start]
    with np.errstate(over="ignore", invalid="ignore"):
        for place in range(1, end + 1):
            # What a layer does to the NTK is affine: its own share, and a multiple of what came in.
            one, two = (chain.paired_step(place, states) for states in (moved, still))
            change: Any = one.ntk - two.ntk  # type: ignore[operator]  # both have one
            if not chain.signals[place].gaussian:
                change = change + one.k12
            if place in smooth:
                variance = moved[chain.steps[place - 1].sources[0]].k12
                spread = max(spread, float(to_host(xp.max(variance))))
            moved.append(one.to(k12=one.k12, ntk=change))
            still.append(two.to(k12=two.k12, ntk=xp.zeros_like(change)))
        last = moved[-1]
        share = xp.where(last.k12 > 0, last.ntk / xp.where(last.k12 > 0, last.k12, 1.0), 0.0)
        growth = float(to_host(xp.max(share))) * spread
    return growth if np.isfinite(growth) else 0.0
