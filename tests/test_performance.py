"""The benchmarks against peers: that the cases are what they say, the oracles right, and the driver runs."""

import numpy as np
import pytest

import ntk_array as ntk
from benchmarks import floor, performance
from benchmarks.peers import ours
from benchmarks.peers.cases import DUPLICATE, PLANTED, Case
from benchmarks.peers.jobs import JOBS
from benchmarks.peers.oracle import error
from benchmarks.peers.pictures import scaling
from benchmarks.peers.report import page

pytestmark = pytest.mark.host

RELU = Case(30, 16, (1, 1), bias_std=0.1)
CASES = {
    "relu": RELU,
    "tanh": Case(30, 16, (1, 1), activation="tanh", weight_std=1.5, bias_std=0.1, equal_norms=True),
    "images": Case(8, 2, (1, 1), image=(3, 4), bias_std=0.1),
    "images, flatten": Case(8, 2, (1, 1), image=(4, 3), readout="flatten"),
    "finite, images": Case(8, 2, (5, 4), 3, image=(3, 4), bias_std=0.1),
    "finite, images, flatten": Case(8, 2, (5, 4), 3, image=(4, 3), readout="flatten", parameterization="standard"),
    "finite": Case(10, 16, (20, 12), 3, bias_std=0.1),
    "finite, standard": Case(10, 16, (20, 12), 3, parameterization="standard", bias_std=0.1),
}


def gram(case):
    return ours.flat(ours.kernel(case)(case.inputs()))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_oracle_sees_errors_and_nothing_else(case):
    k = gram(case)
    assert error(case, k) < 1e-13
    k[0, 1] *= 1 + 1e-9
    assert error(case, k) > 1e-10


def test_planted_inputs():
    for case in CASES.values():
        x = case.inputs().reshape(case.n, -1)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        for i, t in enumerate(PLANTED[: (len(x) - 1) // 2]):
            assert np.linalg.norm(x[1 + 2 * i] - x[0]) == pytest.approx(2 * np.sin(t / 2), rel=1e-6)
            assert np.array_equal(x[2 + 2 * i], -x[1 + 2 * i])
    assert np.array_equal(RELU.inputs()[DUPLICATE], RELU.inputs()[0])


def test_cases_survive_json_and_fewer_inputs_are_the_first_ones():
    for job in JOBS:
        assert Case.from_json(job.case.to_json()) == job.case
    assert np.array_equal(Case(9, 16, (1,)).inputs(), Case(12, 16, (1,)).inputs()[:9])


def test_floor_counts_operations():
    symmetric, others = floor.products(Case(5, 7, (11,), 3))
    assert symmetric == {(5, 7): 5 * 6 * 7, (15, 11): 15 * 16 * 11, (5, 11): 5 * 6 * 11}
    assert others == {(5, 11, 7): 2 * 5 * 11 * 7, (5, 3, 11): 2 * 5 * 3 * 11}


def test_jobs_against_ourselves_and_the_floor_run_and_are_reported():
    own = [job.quick() for job in JOBS if job.environment is None and not job.case.image]
    chosen = [own[0], own[-1]]
    results = list(performance.run(chosen, None))
    assert [r["other"] for r in results] == [job.other for job in chosen]
    assert [r["name"] for r in results] == [job.name for job in chosen]
    assert all(r["error"] < 1e-5 and r["ratio"]["assemble"] > 0 for r in results)
    rates = {"1": {"writing": 2.0}, "2": {"writing": 3.0}}
    text = page({"jobs": results, "memory": [], "rates": rates})
    assert all(r["name"] in text for r in results)
    assert "| writing | 2 | 3 | 1.50 |" in text


def test_the_picture_of_scaling_shows_every_job():
    """From made-up times, whose shape it must have: half the cost at the largest N."""
    jobs = [job for job in JOBS if job.table == "Scaling"]
    results = [
        {"table": j.table, "name": j.name, "ratio": {"assemble": 2.0}, "ratios": {"assemble": [2.0]}} for j in jobs
    ]
    axes = scaling(results).axes
    ends = [[line.get_ydata()[-1] for line in axis.lines if len(line.get_xdata()) > 2] for axis in axes[:2]]
    assert [set(heights) for heights in ends] == [{0.5}, {0.5}]
    assert len(axes[2].patches) == sum("threads" in job.name for job in jobs)


def test_results_of_every_job_are_kept_in_order():
    """What ``measure`` says of a job must not hide which job it was."""

    def result(job, seconds):
        found = {
            "table": job.table,
            "name": job.name,
            "other": job.other,
            "n": [job.case.n, 1],
            "dtype": job.case.dtype,
        }
        return {**found, "seconds": seconds}

    old, new = ([result(job, s) for job in JOBS] for s in (1.0, 2.0))
    assert performance.in_order([*reversed(old), *new]) == new
    assert performance.in_order([result(JOBS[0], 1.0) | {"name": "gone"}]) == []


def test_jobs_of_peers_are_left_out_without_environments():
    assert list(performance.run([job for job in JOBS if job.environment], None)) == []


def test_difference_is_relative_to_the_diagonal():
    k = gram(RELU)
    other = k.copy()
    other[3, 4] += 1e-3 * np.sqrt(k[3, 3] * k[4, 4])
    assert performance.difference(k, other[:9, :9]) == pytest.approx(1e-3)


def test_quick_jobs_are_small():
    assert all(job.quick().case.n <= 30 and max(job.quick().case.widths) <= 16 for job in JOBS)
    assert isinstance(ours.kernel(RELU), ntk.InfiniteNTK)
