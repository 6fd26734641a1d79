"""What a study found, in words: for the terminal and the report."""

from __future__ import annotations

import numpy as np

from .laws import Checked, advice, checked_laws
from .study import Study

__all__ = ["GLOSSARY", "findings", "rows_used", "summary", "table", "verdict"]

LAYERS = {
    "mlp": "hidden layers",
    "cnn": "convolutions",
    "resnet": "residual blocks",
    "myrtle": "layers of a Myrtle network",
}
"""What the depth of each network counts."""

CLOSE, ROUGH = 0.1, 0.3
"""Distances, as shares of the size of the targets, up to which a prediction is called close or rough."""

GLOSSARY = [
    ("held-out rows", "rows of the data that no network was trained on: what is predicted of them can be judged"),
    (
        "error rate, RMSE / std",
        "the test error, on held-out rows: the share of rows whose largest output is that of a wrong class; of numbers "
        "the root mean square error, as a share of the standard deviation of the training targets (1 is about as bad "
        "as predicting their mean for every row)",
    ),
    ("width", "the number of neurons, or channels, in each hidden layer"),
    ("f_t(x)", "the network's outputs for the input x at time t of training"),
    ("time t", "the step size times the number of gradient-descent steps taken"),
    (
        "tangent kernel Θ",
        "a matrix with an entry for each pair of inputs: how much a small training step on one input changes the "
        "output for the other, the product of the two gradients of the output in all parameters. Θ_0 is that of a "
        "network before training, Θ_t at time t; Θ alone is the limit at infinite width, which is the same for all "
        "networks of one architecture and known in closed form",
    ),
    (
        "linearized network",
        "the network replaced by its tangent at the start: linear in its parameters. Its training is predicted exactly "
        "by its kernel Θ_0, with no training at all",
    ),
    (
        "infinite-width prediction",
        "the same with Θ in the place of Θ_0. From the network's own start in the pictures of outputs and distances, "
        "from f_0 = 0 in the table of test errors",
    ),
    (
        "kernel regression",
        "where these predictions end after infinitely many steps: the training targets are met exactly, and the kernel "
        "says what lies between",
    ),
    (
        "component, μ",
        "a pattern over the training rows that the kernel learns by itself, an eigenvector of Θ; μ is its eigenvalue, "
        "divided by the number of rows, and says how fast",
    ),
    (
        "distance",
        "the root mean square of a difference of outputs over all held-out rows, as a share of that of the targets: 0 "
        "is a perfect prediction, 1 as bad as no prediction. Of kernels: the Frobenius norm ||·||, the root of the sum "
        "of squares of all entries, of the difference over that of the kernel",
    ),
    (
        "width^-1/2",
        "a law: four times the width, half the distance. Exponents are fitted to all networks before training, and "
        "after it to those that have learned the training rows. They stand with a 95 % interval, which knows how "
        "networks of one width scatter",
    ),
    ("±", "one standard error: how much the number would scatter with other held-out rows"),
]
"""Words and symbols of the report."""


def rows_used(study: Study) -> str:
    """How many rows were used, of how many."""
    data, settings = study.data, study.settings
    train, test, given = settings.train or 0, settings.test or 0, data["rows"]
    unused = given - train - test
    rest = f"; {unused} rows are not used (--train and --test take more)" if unused else ""
    return f"{data['name']}: {train} training rows and {test} held-out rows of {given}{rest}"


def table(study: Study) -> str:
    """The test errors as lines of text, one column a width, each with its standard error."""
    widths = study.settings.widths
    head = f"{'test ' + study.error_name:<32}" + "".join(f"{f'width {w}':>16}" for w in widths)
    lines = [head, "-" * len(head)]
    for name, values, errors in study.rows():
        cells = [f"{v:.3f} ± {e:.3f}" for v, e in zip(values, errors, strict=True)]
        lines.append(f"{name:<32}" + ("".join(f"{c:>16}" for c in cells) if len(cells) > 1 else f"{cells[0]:>16}"))
    return "\n".join([*lines, "(one number: of infinite width; ± one standard error, of the held-out rows)"])


def summary(study: Study) -> str:
    """Every law as lines of text beside theory, what to do where runs are left out, and the verdict."""
    laws = checked_laws(study)
    lines = ["theory: all these distances vanish as width^-1/2, or faster"]
    lines += [f"  {one.exponent:<28}{one.quantity.text}: {one.verdict}" for one in laws]
    reasons: dict[str, list[str]] = {}
    for one in laws:
        if not one.told:
            reasons.setdefault(one.reason, []).append(one.name)
    lines += [f"  {reason}" for reason in reasons]
    return "\n".join([*lines, *filter(None, [advice(study)]), "", *verdict(study)])


def verdict(study: Study) -> list[str]:
    """What came out, in plain words: how close the predictions are, and whether theory holds."""
    distances, widths = study.distances, study.settings.widths
    gap = distances["gap_linearized"].mean(axis=1)
    infinite = distances["gap_infinite"].mean(axis=1)
    word = "closely" if gap[-1] < CLOSE else "roughly" if gap[-1] < ROUGH else "poorly"
    laws = checked_laws(study)
    told = [one for one in laws if one.told]
    growing = [one.quantity.text for one in laws if one.means[-1] >= one.means[0]]
    falling = len(laws) - len(growing)
    agree, differ = [one for one in told if one.agrees], [one for one in told if not one.agrees]
    lines = [
        f"Networks of width {widths[-1]} are predicted {word} by their kernels: over all of training, outputs on "
        f"held-out rows stay on average within {100 * gap[-1]:.0f} % of the size of the targets from the linearized "
        f"network, and within {100 * infinite[-1]:.0f} % from the infinite-width prediction; at width {widths[0]} it "
        f"is {100 * gap[0]:.0f} % and {100 * infinite[0]:.0f} %.",
        f"Theory says that these two and {len(laws) - 2} more distances vanish as networks get wider. From width "
        f"{widths[0]} to {widths[-1]}, {_of(falling, len(laws))} of the {len(laws)} "
        f"{'falls' if falling == 1 else 'fall'}" + (f"; not so: {'; '.join(growing)}." if growing and falling else "."),
    ]
    if told:
        lines.append(
            f"Theory also says how fast: as width^-1/2, or faster. Of the {len(told)} laws that could be told here "
            f"{_of(len(agree), len(told))} {'agrees' if len(agree) == 1 else 'agree'}"
            + (f"; {len(differ)} {'does' if len(differ) == 1 else 'do'} not: {_named(differ)}." if differ else ".")
        )
    else:
        lines.append(f"How fast could not be told here: {laws[1].reason}. {advice(study)}".strip())
    return lines


def _goes(means: np.ndarray) -> str:
    return "falls" if means[-1] < means[0] else "grows"


def _of(some: int, everything: int) -> str:
    """How many of so many."""
    return "all" if some == everything else "none" if some == 0 else str(some)


def _named(laws: list[Checked]) -> str:
    return "; ".join(f"{one.quantity.text}, {one.exponent}: {one.verdict}" for one in laws)


def _quoted(study: Study, *names: str) -> str:
    """Laws as sentences, with theory's word on each, and a reason where they differ."""
    sentences = []
    for one in checked_laws(study):
        if one.name in names:
            reason = f" ({one.reason})" if one.reason else ""
            law = "no law" if one.verdict == "no law" else f"{one.exponent}, {one.law.points} networks"
            said = "" if one.verdict in ("no law", "no interval") else f": {one.verdict}"
            sentences.append(f"The {one.quantity.text}: {law}{said}{reason}.")
    return " ".join(sentences)


def findings(study: Study) -> list[tuple[str, str, str]]:
    """Figure, heading, and a text of theory and of measurement each, in the order of the theory."""
    a, distances, widths = study.arrays, study.distances, study.settings.widths
    gap = distances["gap_linearized"].mean(axis=1)
    moved = a["movement"][:, :, -1].mean(axis=1)
    concentration = distances["concentration"].mean(axis=1)
    regression = distances["from_regression_empirical"].mean(axis=1)
    cost = a["cost"][:, :, -1] / a["cost"][:, :, 0]
    ensemble, leading = study.ensemble, int(a["bands"][-1][0])
    left = a["remaining_network"][-1, 0, -1]
    rms = float(np.sqrt(np.mean(ensemble.mean_errors**2)))
    errors = {name: (values, spread) for name, values, spread in study.rows()}
    last = f"{errors['network, trained'][0][-1]:.3f} ± {errors['network, trained'][1][-1]:.3f}"
    limit = f"{errors['infinite width, same steps'][0][0]:.3f} ± {errors['infinite width, same steps'][1][0]:.3f}"
    return [
        (
            "concentration",
            "The kernel before training",
            "Theory: the tangent kernel Θ_0 of a random network is the nearer to its infinite-width limit Θ, the wider "
            "the network is (Jacot et al. 2018, Theorem 1; Arora et al. 2019, Theorem 3.1); averages of independent "
            "terms suggest width^-1/2. "
            f"Here: the distance {_goes(concentration)} from {concentration[0]:.2f} at width {widths[0]} to "
            f"{concentration[-1]:.2f} at width {widths[-1]}. {_quoted(study, 'concentration')}",
        ),
        (
            "spectrum",
            "What is learned when",
            "Theory: the training error decays along each component of Θ by itself, as exp(-2 μ t) in small steps "
            "(Jacot et al. 2018, section 5). "
            f"Here: of the squared training error along the first component {100 * left[0]:.2g} % is left at the end, "
            f"along components {leading + 1} to {len(a['eigenvalues'])} still {100 * left[-1]:.2g} %. Dots are a "
            "trained network, lines the prediction at infinite width from the same start. " + _leaving(study),
        ),
        (
            "predictions",
            "What the kernel predicts, and what the network does",
            "Theory: a wide network's outputs follow a linear differential equation that its kernel determines "
            "(Jacot et al. 2018). "
            f"Here: outputs on {a['watched_target'].shape[0]} held-out rows, one color each, over training time. "
            "Dots are the trained network, lines its linearization, dotted lines the infinite-width prediction from "
            "the same start. On the left the narrowest network, on the right the widest, where theory expects dots "
            "nearer to their lines.",
        ),
        (
            "movement",
            "How far the kernel and the parameters move in training",
            "Theory: at infinite width the kernel stays what it is before training (Jacot et al. 2018, Theorem 2), and "
            "the parameters θ of each layer move less and less beside their size. "
            f"Here: when training stops the kernel has moved by {100 * moved[0]:.0f} % at width {widths[0]} and by "
            f"{100 * moved[-1]:.0f} % at width {widths[-1]}. {_quoted(study, 'movement')}",
        ),
        (
            "gaps",
            "How far the network is from its prediction",
            "Theory: the distance from the linearized network stays below a constant times width^-1/2 for all times "
            "(Lee et al. 2019, Theorem 2.1). "
            f"Here: its largest value {_goes(gap)} from {gap[0]:.2f} at width {widths[0]} to {gap[-1]:.2f} at width "
            f"{widths[-1]}. {_quoted(study, 'gap_linearized', 'gap_infinite')}",
        ),
        (
            "errors",
            "Test error over time, and kernel regression",
            "Theory: trained to the end, a wide network predicts as kernel regression with its tangent kernel (Arora "
            f"et al. 2019, Theorem 3.2). Here: the {study.error_name} is {last} for networks of width {widths[-1]} and "
            f"{limit} for the infinite-width prediction after the same steps; the distance of the networks' outputs "
            f"from regression with their own kernels {_goes(regression)} from {regression[0]:.2f} at width {widths[0]} "
            f"to {regression[-1]:.2f} at width {widths[-1]}.",
        ),
        (
            "ensemble",
            "Many networks from many initializations",
            "Theory: over initializations the outputs of wide networks follow a Gaussian distribution at every time, "
            "with a mean and a spread that two kernels determine, Θ and the covariance of outputs before training (Lee "
            "et al. 2019, eq. 13 to 15). "
            f"Here: {len(ensemble.outputs)} networks of width {widths[len(widths) // 2]}, trained on few rows by small "
            f"steps; their means are {rms:.2f} standard errors from the predicted ones (about 1 is chance alone, more "
            "is the finite width), their variances "
            f"{ensemble.variance_ratios.mean():.2f} times the predicted ones.",
        ),
        (
            "scaling",
            "What width buys",
            "Theory: the movement of the kernel and all distances from predictions vanish as the width grows, at least "
            "as width^-1/2 (Lee et al. 2019, Theorem 2.1; Arora et al. 2019, Theorem 3.2). Here, one dot a network: "
            + _quoted(study, "from_regression_empirical", "from_regression_infinite")
            + " The other three laws are quoted above. Laws are fitted to networks whose cost fell below 1 % of its "
            f"start; the largest remainder is {100 * cost.max():.2g} %. {advice(study)}",
        ),
    ]


def _leaving(study: Study) -> str:
    """Why dots of leading components end far above their lines."""
    a = study.arrays
    share = min(2.0 * study.data["step"] * float(a["eigenvalues"][0]), 1.0)
    distance = float(a["concentration"][-1].mean())
    return (
        f"Why dots of the first components end far above their lines: a single step takes {100 * share:.0f} % of the "
        "first component away, so that the line, which knows these discrete steps, falls out of the picture within a "
        "few steps. "
        f"A finite network has another kernel ({100 * distance:.0f} % away from Θ at the largest width, and moving), "
        "whose components are mixtures of these: what is left along slow components feeds the fast ones. The axis is "
        "logarithmic, and such dots stand for a very small part of the error."
    )
