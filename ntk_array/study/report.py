"""A study as files: results.json, arrays.npz and one self-contained report.html."""

import base64
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import numpy as np

from .._support.atomic import write_whole
from .laws import checked_laws
from .pictures import draw
from .study import Study
from .words import GLOSSARY, LAYERS, findings, rows_used, verdict

__all__ = ["write"]


def write(study: Study, folder: str | os.PathLike[str], elapsed: Callable[[], float] | None = None) -> Path:
    """Write results.json, arrays.npz and report.html into a folder, made if need be; returns the report's path.

    An older file of these names is replaced whole, never half.

    Parameters
    ----------
    study : Study
    folder : path
    elapsed : callable, optional
        The seconds that all of it took, asked when the pictures are drawn. If left out, those of the study and of its
        pictures.

    Raises
    ------
    ImportError
        Without matplotlib.
    OSError
        If the folder or a file cannot be written.
    """
    folder, began = Path(folder), time.perf_counter()
    if elapsed is None:

        def elapsed() -> float:
            return study.seconds["total"] + time.perf_counter() - began

    folder.mkdir(parents=True, exist_ok=True)
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **study.arrays, **_ensemble_arrays(study))  # type: ignore[arg-type]
    files = {
        "results.json": (json.dumps(study.as_json(), indent=1) + "\n").encode(),
        "arrays.npz": arrays.getvalue(),
        "report.html": _page(study, elapsed).encode(),
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


def _page(study: Study, elapsed: Callable[[], float]) -> str:
    name = escape(study.data["name"])
    parts = [
        f"<h1>Networks and their kernels on {name}</h1>",
        f"<div class='verdict'><h2>In short</h2>{_paragraphs(verdict(study))}</div>",
        f"<p>{escape(_described(study))}</p>",
        "<h2>Words and symbols</h2><dl>",
        *(f"<dt>{_text(word)}</dt><dd>{_text(meaning)}</dd>" for word, meaning in GLOSSARY),
        "</dl><h2>Test errors</h2>",
        _html_table(study),
        "<h2>Laws in the width</h2>",
        _html_laws(study),
        *(
            f"<section><h2>{escape(title)}</h2>{_paragraphs(_halves(text))}{_picture(figure, study, title)}</section>"
            for figure, title, text in findings(study)
        ),
    ]
    versions = ", ".join(f"{key} {value}" for key, value in study.environment.items())
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{name}: networks and their kernels</title><style>{CSS}</style><main>"
        f"{''.join(parts)}"
        f"<footer>Made by ntk_array in {elapsed():.0f} s, pictures included. {escape(versions)}. Numbers: "
        "results.json, arrays.npz.</footer></main></html>\n"
    )


def _described(study: Study) -> str:
    """The data and the networks."""
    data, settings = study.data, study.settings
    inputs = (
        f"images of {' x '.join(map(str, data['shape']))}" if settings.takes_images else f"{data['features']} features"
    )
    pooling = f" with pooling {settings.pooling!r}" if settings.network in ("cnn", "resnet") else ""
    outputs = f"{data['outputs']} classes" if data["classes"] else "a real target"
    return (
        f"{rows_used(study)}. {inputs}, {outputs}. Networks: {settings.depth} {LAYERS[settings.network]}{pooling}, "
        f"{settings.activation}, weight_std {settings.weight_std:.4g}, bias_std {settings.bias_std:g}, readout "
        f"weight_std {settings.readout_weight_std:g}, NTK parameterization; {settings.networks} of each width. "
        f"Full-batch gradient descent on the squared error, {settings.steps} steps of {data['step']:.4g} "
        f"({settings.step_fraction:g} of the largest stable step)."
    )


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{_text(text)}</p>" for text in texts)


def _halves(text: str) -> list[str]:
    """Theory, and what was found here."""
    return re.split(r"(?=\bHere[:,])", text, maxsplit=1)


def _text(text: str) -> str:
    """Text as HTML, with raised powers and lowered indices."""
    # The text is escaped first: escaping afterwards would turn the tags into text.
    return re.sub(r"([\wΘθ])_([0t])\b", r"\1<sub>\2</sub>", _powers(escape(text)))


def _powers(text: str) -> str:
    """Raise what stands behind a caret: width^-1/2."""
    # A number has to end in a digit, so that the full stop of a sentence is not raised with it.
    return re.sub(r"\^(-?\d[\d./]*\d|-?\d)", r"<sup>\1</sup>", text)


def _picture(name: str, study: Study, title: str) -> str:
    buffer = io.BytesIO()
    draw(name, study).savefig(buffer, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    image = f"<img alt='{escape(title, quote=True)}' src='data:image/svg+xml;base64,{encoded}'>"
    return f"<div class='wide'>{image}</div>"


def _html_table(study: Study) -> str:
    widths = study.settings.widths
    head = "".join(f"<th>width {w}</th>" for w in widths)
    body = ""
    for name, values, errors in study.rows():
        shown = [f"{value:.3f} ± {error:.3f}" for value, error in zip(values, errors, strict=True)]
        span = f" colspan='{len(widths)}'" if len(shown) == 1 else ""
        body += f"<tr><th>{escape(name)}</th>{''.join(f'<td{span}>{cell}</td>' for cell in shown)}</tr>"
    return _wide(f"<thead><tr><th>test {study.error_name}</th>{head}</tr></thead><tbody>{body}</tbody>")


def _html_laws(study: Study) -> str:
    """Every law that is drawn, beside theory."""
    rows = ""
    for one in checked_laws(study):
        rows += (
            f"<tr><th>{escape(f'{one.quantity.text} ({one.quantity.source})')}</th>"
            f"<td>{one.means[0]:.3g}</td><td>{one.means[-1]:.3g}</td>"
            f"<td>{_text(one.exponent)}</td><td>{escape(one.verdict)}</td></tr>"
        )
    head = (
        "<th>distance (source of theory)</th><th>narrowest</th><th>widest</th><th>law</th>"
        "<th>theory: width<sup>-1/2</sup> or faster</th>"
    )
    return _wide(f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>")


def _wide(table: str) -> str:
    """A table that scrolls sideways by itself where the screen is narrow."""
    return f"<div class='wide'><table>{table}</table></div>"


CSS = """
body { margin: 0; background: #fff; color: #1b1b1b; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
p, dl { max-width: 46rem } dt { font-weight: 600 } dd { margin: 0 0 .4rem 1rem }
.verdict { background: #f2f6fa; border-left: 4px solid #2e86c1; padding: .2rem 1rem; margin: 1rem 0 }
.verdict h2 { margin: .6rem 0 0 }
.wide { overflow-x: auto } img { max-width: 100%; height: auto }
table { border-collapse: collapse; margin: 1.2rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid #e5e5e5 }
th:first-child { text-align: left; font-weight: normal } thead th { font-weight: 600 !important }
td[colspan] { text-align: center }
footer { margin: 2.5rem 0 1rem; font-size: .85rem; color: #666 }
@media (max-width: 40rem) {
  main { margin: 1rem auto; padding: 0 .7rem } h1 { font-size: 1.3rem }
  th, td { padding: .3rem .4rem; font-size: .85rem } .wide img { max-width: none; width: 44rem }
}
"""
