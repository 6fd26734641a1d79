"""What a report says: every law that is drawn, agreement with theory by its interval, reasons, and standard errors."""

import math
import re

import numpy as np
import pytest

from ntk_array.experiments import PowerLaw
from ntk_array.study import StudySettings, load_dataset, run_study
from ntk_array.study.comparison import Sample
from ntk_array.study.laws import LAWS, Checked, checked_laws
from ntk_array.study.report import write
from ntk_array.study.words import GLOSSARY, findings, rows_used, summary, verdict

from .conftest import draw_nothing

pytestmark = pytest.mark.host


def checked(exponent, low, high, name="movement", bend=0.0):
    widths = np.asarray([64, 128, 256, 512])
    means = widths ** (exponent - bend * np.log(widths / 64))
    return Checked(name, PowerLaw(exponent, low, high, 1.0, 0.95, 12, 0), widths, means)


@pytest.mark.parametrize(
    ("law", "said", "agrees"),
    [
        (checked(-0.5, -0.55, -0.45), "as theory says", True),
        (checked(-0.9, -0.95, -0.85), "faster than theory's bound", True),
        (checked(-0.9, -0.95, -0.85, "concentration"), "faster than theory", False),
        (checked(-0.35, -0.38, -0.33), "slower than theory", False),
        (checked(-0.6, -1.2, -0.1), "too few networks to tell", False),
        (checked(-0.5, math.nan, math.nan), "no interval", False),
        (checked(math.nan, math.nan, math.nan), "no law", False),
    ],
)
def test_agreement_is_decided_by_the_interval(law, said, agrees):
    assert (law.verdict, law.agrees) == (said, agrees)
    assert bool(law.reason) != agrees, "whatever does not agree has a reason, or what to change"
    assert "nan" not in law.exponent + law.reason


def test_the_reason_looks_at_the_widest_networks():
    assert "nearer to -1/2, as theory expects" in checked(-0.35, -0.38, -0.33, bend=0.02).reason
    assert "no nearer to -1/2" in checked(-0.35, -0.38, -0.33, bend=-0.02).reason


@pytest.fixture(scope="module")
def study():
    settings = StudySettings(widths=(8, 16, 32), train=24, test=20, networks=2, steps=150, draws=3, ensemble=3)
    return run_study(settings, load_dataset("wine"))


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    """The report without its pictures and its style."""
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        text = write(study, tmp_path_factory.mktemp("report")).read_text()
    assert "@media (max-width" in text
    return re.sub(r"data:image[^']*|<style>.*?</style>", "", text, flags=re.DOTALL)


def test_every_law_that_is_drawn_is_quoted(study, page):
    assert set(study.laws) == set(LAWS)
    text = " ".join(text for _, _, text in findings(study))
    for one in checked_laws(study):
        assert f"{one.exponent}, {one.law.points} networks" in text
        assert one.exponent in summary(study)
        assert one.exponent.replace("^", "<sup>", 1).split(" ")[0] in page.replace("</sup>", "")


def test_symbols_are_defined_before_they_are_used(page):
    first = page.index("<dl>")
    for symbol in ("Θ", "μ", "linearized network", "f<sub>t</sub>"):
        # The verdict speaks of the linearized network, which the words right below it explain.
        assert page.index(symbol) > first or symbol == "linearized network"
        assert any(symbol.replace("<sub>", "_").replace("</sub>", "") in word for word, _ in GLOSSARY)
    assert page.index("In short") < first
    assert "nan" not in page


def test_rows_used_are_said(study, page):
    assert rows_used(study) == (
        "wine: 24 training rows and 20 held-out rows of 178; 134 rows are not used (--train and --test take more)"
    )
    assert rows_used(study) in page


def test_the_verdict_is_in_plain_words(study):
    first, second, third = verdict(study)
    assert re.match(r"Networks of width 32 are predicted (closely|roughly|poorly) by their kernels", first)
    assert "Theory says that these two and 4 more distances vanish" in second
    growing = [LAWS[name].text for name, values in study.distances.items() if values[-1].mean() >= values[0].mean()]
    assert all(text in second for text in growing), "what does not fall is named"
    assert third.startswith(("Theory also says how fast", "How fast could not be told"))


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_standard_errors_are_those_of_other_held_out_rows(name, rng):
    """Against the scatter of the error over many draws of held-out rows from one large set."""
    split = load_dataset(name).split(40, 130, np.random.SeedSequence(0))
    sample = Sample(StudySettings(widths=(8, 16)), split)
    outputs = split.y_test + 0.9 * rng.standard_normal(split.y_test.shape)
    rows = rng.integers(0, 130, size=(2000, 130))
    if sample.classes:
        errors = np.mean(np.argmax(outputs, axis=1)[rows] != split.target_test[rows], axis=1)
    else:
        errors = np.sqrt(np.mean(((outputs - split.y_test) ** 2)[rows], axis=(1, 2)))
    np.testing.assert_allclose(sample.error_spread(outputs), errors.std(), rtol=0.08)
