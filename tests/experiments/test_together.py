"""Runs several at a time: in order, each on one thread, as many as there is room for, and all ended by an error."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from ntk_array.experiments import together
from ntk_array.experiments.together import run_together, stop_if_asked

pytestmark = pytest.mark.host
LIKE = np.zeros((2, 1))


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    monkeypatch.setattr(together, "thread_count", lambda like, threads: 2)


def run(work, jobs=6, memory=1):
    return run_together(work, range(jobs), LIKE, memory, "runs", False)


def test_results_are_in_order_whatever_ends_first():
    names = set()

    def work(job, alone):
        time.sleep(0.002 * (6 - job))
        names.add(threading.current_thread().name)
        return job**2, alone, max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    assert run(work) == [(job**2, False, 1) for job in range(6)]
    assert len(names) == 2


def test_as_many_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr(together, "host_memory", lambda: 1000)
    assert run(lambda job, alone: alone, memory=100) == [False] * 6
    assert run(lambda job, alone: alone, memory=10_000) == [True] * 6
    assert run(lambda job, alone: alone, jobs=1) == [True]


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_an_error_ends_the_runs_beside_it(error):
    started, ended = threading.Event(), []

    def work(job, alone):
        if job == 0:
            started.wait(10)
            raise error
        started.set()
        for _ in range(10_000):
            time.sleep(0.001)
            try:
                stop_if_asked()
            except Exception:
                ended.append(job)
                raise

    with pytest.raises(error):
        run(work)
    assert ended == [1], "the other run stopped long before its end, and no third one began"
    assert threading.active_count() == 1 or all("ntk_array" not in t.name for t in threading.enumerate())
    stop_if_asked()  # outside of runs nothing is asked
