"""A study as files: results.json, arrays.npz and one self-contained report.html; and as a table on the terminal."""

import base64
import io
import json
import math
import os
import re
from html import escape
from pathlib import Path

import numpy as np

from .._support.atomic import write_whole
from .pictures import draw
from .study import Study

__all__ = ["advice", "summary", "table", "write"]

LAYERS = {
    "mlp": "hidden layers",
    "cnn": "convolutions",
    "resnet": "residual blocks",
    "myrtle": "layers of a Myrtle network",
}
"""What the depth of each network counts."""


def write(study: Study, folder: str | os.PathLike[str]) -> Path:
    """Write results.json, arrays.npz and report.html into a folder, made if need be; returns the report's path.

    An older file of these names is replaced whole, never half.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **study.arrays, **_ensemble_arrays(study))  # type: ignore[arg-type]
    files = {
        "results.json": (json.dumps(study.as_json(), indent=1) + "\n").encode(),
        "arrays.npz": arrays.getvalue(),
        "report.html": _page(study).encode(),
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    return folder / "report.html"


def _ensemble_arrays(study: Study) -> dict[str, np.ndarray]:
    ensemble = study.ensemble
    return {
        "ensemble_times": ensemble.times,
        "ensemble_outputs": ensemble.outputs,
        "ensemble_mean": ensemble.mean,
        "ensemble_standard_deviation": ensemble.standard_deviation,
    }


def table(study: Study) -> str:
    """The test errors as lines of text, one column a width."""
    widths = study.settings.widths
    head = f"{'test ' + study.error_name:<34}" + "".join(f"{f'width {w}':>12}" for w in widths)
    lines = [head, "-" * len(head)]
    for name, values in study.rows():
        cells = [f"{v:12.4f}" for v in values] if len(values) > 1 else [f"{values[0]:12.4f}".rjust(12 * len(widths))]
        lines.append(f"{name:<34}" + "".join(cells))
    return "\n".join(lines)


def summary(study: Study) -> str:
    """The laws as lines of text, and what to do where runs are left out of them."""
    names = {
        "concentration": "distance of the kernel at initialization from its limit",
        "gap_linearized": "distance from the linearized network",
        "movement": "movement of the kernel",
    }
    lines = [f"{text}: {study.laws[name]}" for name, text in names.items()]
    return "\n".join([*lines, *filter(None, [advice(study)])])


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


def _page(study: Study) -> str:
    data, settings, total = study.data, study.settings, study.seconds["total"]
    inputs = (
        f"images of {' x '.join(map(str, data['shape']))}" if settings.takes_images else f"{data['features']} features"
    )
    pooling = f" with pooling {settings.pooling!r}" if settings.network in ("cnn", "resnet") else ""
    outputs = f"{data['outputs']} classes" if data["classes"] else "a real target"
    described = (
        f"{data['name']}: {settings.train} training and {settings.test} held-out rows of {data['rows']}, {inputs}, "
        f"{outputs}. Networks: {settings.depth} {LAYERS[settings.network]}{pooling}, {settings.activation}, weight_std "
        f"{settings.weight_std:.4g}, bias_std {settings.bias_std:g}, readout weight_std "
        f"{settings.readout_weight_std:g}, NTK parameterization; "
        f"{settings.networks} of each width. Full-batch gradient descent, {settings.steps} steps of {data['step']:.4g} "
        f"({settings.step_fraction:g} of the largest stable step)."
    )
    # The text is escaped before powers are raised: escaping afterwards would turn the tags into text.
    sections = "".join(
        f"<section><h2>{escape(title)}</h2><p>{_powers(escape(text))}</p>{_picture(name, study, title)}</section>"
        for name, title, text in _findings(study)
    )
    versions = ", ".join(f"{key} {value}" for key, value in study.environment.items())
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(data['name'])}: networks and their kernels</title><style>{CSS}</style><main>"
        f"<h1>Networks and their kernels on {escape(data['name'])}</h1><p>{escape(described)}</p>"
        f"{_html_table(study)}{sections}"
        f"<footer>Made by ntk_array in {total:.0f} s. {escape(versions)}. Numbers: results.json, arrays.npz.</footer>"
        "</main></html>\n"
    )


def _findings(study: Study) -> list[tuple[str, str, str]]:
    """Figure, heading, and one sentence of theory and of measurement each, in the order of the theory."""
    a, laws, widths = study.arrays, study.laws, study.settings.widths
    gap = a["gap_linearized"].max(axis=2).mean(axis=1)
    moved = a["movement"][:, :, -1].mean(axis=1)
    concentration = a["concentration"].mean(axis=1)
    regression = a["from_regression_empirical"].mean(axis=1)
    cost = a["cost"][:, :, -1] / a["cost"][:, :, 0]
    ensemble, leading = study.ensemble, int(a["bands"][-1][0])
    left = a["remaining_network"][-1, 0, -1]
    return [
        (
            "concentration",
            "The kernel at initialization",
            "Theory: the kernel of a random network concentrates on its infinite-width limit (Jacot et al. 2018, "
            "Theorem 1; Arora et al. 2019, Theorem 3.1), as width^-1/2. "
            f"Here: their distance falls from {concentration[0]:.3f} at width {a['concentration_widths'][0]} to "
            f"{concentration[-1]:.3f} at width {a['concentration_widths'][-1]}, as {laws['concentration']}.",
        ),
        (
            "spectrum",
            "What is learned when",
            "Theory: the error decays along each principal component of the kernel by itself, with its eigenvalue for "
            "a rate, as exp(-2 mu t) (Jacot et al. 2018, section 5). "
            f"Here: of the squared training error along the first component {100 * left[0]:.2g} % is left at the end, "
            f"along components {leading + 1} to {len(a['eigenvalues'])} still {100 * left[-1]:.2g} %; dots are a "
            "trained network, lines the prediction at infinite width from its own start.",
        ),
        (
            "predictions",
            "What the kernel predicts, and what the network does",
            "Theory: a wide network's outputs follow a linear differential equation that its kernel determines "
            "(Jacot et al. 2018). "
            f"Here: outputs on {a['watched_target'].shape[0]} held-out inputs, one color each; dots are the trained "
            "network, lines its linearization, dots in a row the infinite-width kernel from the same start.",
        ),
        (
            "movement",
            "How little the kernel and the parameters move in training",
            "Theory: at infinite width the kernel stays what it is at initialization (Jacot et al. 2018, Theorem 2), "
            "and the parameters of each layer move less and less beside their size. "
            f"Here: when training stops the kernel has moved by {100 * moved[0]:.0f} % at width {widths[0]} and by "
            f"{100 * moved[-1]:.0f} % at width {widths[-1]}.",
        ),
        (
            "gaps",
            "How far the network is from its prediction",
            "Theory: the distance from the linearized network stays O(width^-1/2) for all times (Lee et al. 2019, "
            "Theorem 2.1). "
            f"Here: its largest value falls from {gap[0]:.3f} at width {widths[0]} to {gap[-1]:.3f} at width "
            f"{widths[-1]}.",
        ),
        (
            "errors",
            "Test error over time, and kernel regression",
            "Theory: trained to the end, a wide network predicts as kernel regression with its NTK (Arora et al. "
            f"2019, Theorem 3.2). Here: {study.error_name} {a['error_network'][-1, :, -1].mean():.3f} for the networks "
            f"of width {widths[-1]}, {a['error_infinite'][-1]:.3f} for the infinite-width prediction after the same "
            "steps; the distance of the networks' outputs from regression with their own kernels falls from "
            f"{regression[0]:.3f} at width {widths[0]} to {regression[-1]:.3f} at width {widths[-1]}.",
        ),
        (
            "ensemble",
            "Many networks from many initializations",
            "Theory: over initializations the outputs of wide networks are Gaussian at every time, with a mean and a "
            "covariance that the NTK and the NNGP kernel determine (Lee et al. 2019, eq. 13 to 15). "
            f"Here: {len(ensemble.outputs)} networks of width {widths[len(widths) // 2]}, trained on few inputs; their "
            f"means are {np.sqrt(np.mean(ensemble.mean_errors**2)):.2f} standard errors from the predicted ones (1 is "
            f"sampling alone), their variances {ensemble.variance_ratios.mean():.2f} times the predicted ones.",
        ),
        (
            "scaling",
            "What width buys",
            "Theory: the movement of the kernel, the distance from the linearized network and the distance from kernel "
            "regression all vanish as the width grows, at least as width^-1/2 (Lee et al. 2019, Theorem 2.1). "
            f"Here: the movement of the kernel as {laws['movement']}; the distance from the linearized network as "
            f"{laws['gap_linearized']}. Laws are fitted to runs whose cost fell below 1 % of its start; the largest "
            f"remainder is {100 * cost.max():.2g} %. {advice(study)}",
        ),
    ]


def _powers(text: str) -> str:
    """Raise what stands behind a caret: width^-1/2."""
    # A number has to end in a digit, so that the full stop of a sentence is not raised with it.
    return re.sub(r"\^(-?\d[\d./]*\d|-?\d)", r"<sup>\1</sup>", text)


def _picture(name: str, study: Study, title: str) -> str:
    buffer = io.BytesIO()
    draw(name, study).savefig(buffer, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{escape(title, quote=True)}' src='data:image/svg+xml;base64,{encoded}'>"


def _html_table(study: Study) -> str:
    widths = study.settings.widths
    head = "".join(f"<th>width {w}</th>" for w in widths)
    body = ""
    for name, values in study.rows():
        if len(values) == 1:
            cells = f"<td colspan='{len(widths)}'>{values[0]:.4f}</td>"
        else:
            cells = "".join(f"<td>{value:.4f}</td>" for value in values)
        body += f"<tr><th>{escape(name)}</th>{cells}</tr>"
    return f"<table><thead><tr><th>test {study.error_name}</th>{head}</tr></thead><tbody>{body}</tbody></table>"


CSS = """
body { margin: 0; background: #fff; color: #1b1b1b; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
p { max-width: 46rem } img { max-width: 100%; height: auto }
table { border-collapse: collapse; margin: 1.2rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid #e5e5e5 }
th:first-child { text-align: left; font-weight: normal } thead th { font-weight: 600 !important }
td[colspan] { text-align: center }
footer { margin: 2.5rem 0 1rem; font-size: .85rem; color: #666 }
"""
