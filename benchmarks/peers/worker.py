"""A process that computes one case again and again, each time that it is told to.

Two libraries are compared by two such processes that take turns: what else the machine does then falls on both alike.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .cases import Case

Ways = dict[str, Callable[[], Any]]
"""Ways to compute the kernel of a case, by name; each returns when the result is there."""


TURN = 0.2
"""Seconds of a turn, at least: a run that takes less is repeated, or the waking up of processors would be measured."""


def serve(prepare: Callable[[Case], Ways], to_numpy: Callable[[Any], np.ndarray], version: str) -> None:
    """Say what there is, then answer each line of input with the time of one run, the median of those in a turn.

    A line names the way, and a file where the result goes if it is wanted. A way that returns a number has measured
    itself.
    """
    ways = prepare(Case.from_json(sys.argv[1]))
    _say({"ways": list(ways), "version": version})
    for line in sys.stdin:
        order = json.loads(line)
        load, run = os.getloadavg()[0], ways[order["way"]]
        times: list[float] = []
        while sum(times) < TURN:
            start = time.perf_counter()
            result = run()
            seconds = time.perf_counter() - start
            if isinstance(result, float):
                times = [result]
                break
            if order["save"]:
                np.save(order["save"], to_numpy(result))
                order["save"] = None
            del result  # before the next run begins
            times.append(seconds)
        _say({"seconds": statistics.median(times), "load": load})


def _say(fact: dict[str, Any]) -> None:
    print(json.dumps(fact), flush=True)
