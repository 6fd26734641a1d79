"""How many steps a study takes, and what it says where they were too few."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.experiments import PowerLaw
from ntk_array.study import StudySettings, load_dataset
from ntk_array.study.comparison import STEPS, Sample, plan_steps
from ntk_array.study.data import Split
from ntk_array.study.laws import advice

SMALL = {"widths": (8, 16), "networks": 1}


@pytest.fixture
def split():
    return load_dataset("wine").split(20, 5, np.random.SeedSequence(0))


@pytest.mark.parametrize("share", [0.5, 0.01, 1e-6])
def test_steps_are_counted_as_by_gradient_descent(split, share):
    """Step by step, with the matrix of the kernel."""
    settings = StudySettings(**SMALL)
    sample = Sample(settings, split)
    kernel, y, f = ntk.InfiniteNTK(settings.build(1, 3))(split.x_train), split.y_train, np.zeros((20, 3))
    step, steps = 0.7 * 20 / np.linalg.eigvalsh(kernel)[-1], 0
    while np.mean((f - y) ** 2) >= share * np.mean(y**2):
        f, steps = f - step * 2.0 / 20 * kernel @ (f - y), steps + 1
    assert sample.steps_to(share, step) == steps


def test_targets_that_cannot_be_learned(split):
    """Twice the same inputs, with opposite targets: the kernel is singular, and half of the cost stays."""
    x, y = (np.concatenate([part, sign * part]) for part, sign in ((split.x_train, 1.0), (split.y_train, -1.0)))
    sample = Sample(StudySettings(**SMALL), Split(x, y, *split[2:]))
    assert sample.steps_to(0.01, 0.01) is None


def test_the_number_of_steps_follows_from_the_kernel(split):
    for bias_std, most in ((0.1, False), (30.0, True)):
        settings = StudySettings(**SMALL, bias_std=bias_std)
        nets, seeds = [settings.build(w, 3) for w in (8, 16)], np.random.SeedSequence(0).spawn(2)
        sample = Sample(settings, split)
        plan = plan_steps(settings, sample, nets, seeds, False)
        needed = sample.steps_to(0.005, plan.step)
        steps = int(plan.recorded[-1])
        assert steps in STEPS
        assert (steps == STEPS[-1] < needed) if most else max(needed, 500) <= steps < max(needed, 500) + 100


class Done:
    """A study that left runs out."""

    def __init__(self, costs, needed):
        self.laws = {"movement": PowerLaw.fit([8, 16], np.ones((2, 3)), np.asarray(costs) < 0.01)}
        self.data, self.settings = {"steps_needed": needed}, StudySettings(**SMALL, steps=500)


def test_advice():
    low, high = [[0.001] * 3] * 2, [[0.001, 0.1, 0.1], [0.1] * 3]
    assert advice(Done(low, 400)) == ""
    found = advice(Done(high, 2345))
    assert found.startswith("The cost of 5 of 6 runs did not fall below 1 % of its start in 500 steps; at infinite")
    assert found.endswith("that takes 2345 steps: try --steps 3600.")
    assert advice(Done(high, 400)).endswith("that takes 400 steps: try more steps, or wider networks.")
    assert "the kernel is the same for inputs that have different targets" in advice(Done(high, None))
