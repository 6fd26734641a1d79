"""Small classification tasks: NTK classifiers beside forests, boosting and an RBF support vector machine.

Run from the checkout: python -m benchmarks.tabular --data uci90.npz. It goes on from what is in the results. Without
--data the section is written again from them. Writes benchmarks/results/tabular.json, and a section of docs/sklearn.md.

The file has the 90 UCI sets of Arora et al. 2020 as arrays: `names`, and for each of them NAME/X, NAME/y,
NAME/tune_train, NAME/tune_valid (row numbers), and NAME/fold0_train, NAME/fold0_test to fold 3.
"""

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from scipy.stats import friedmanchisquare, rankdata
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import ntk_array as ntk
from ntk_array.sklearn import NTKClassifier

from . import sections
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/tabular.json"
PAGE = ROOT / "docs/sklearn.md"
TITLE = "Small tables, measured"
ROWS = 300
FOLDS = 4
DEPTHS = (1, 2, 3, 4, 5)

INTRO = """
The {sets} sets of at most {rows} rows among the 90 UCI sets of Arora et al. 2020, by their protocol, which is that of
Fernandez-Delgado et al. 2014: the options of a method are chosen on one split into halves, and its accuracy is the mean
of {folds} folds. Features are standardised. Ranks are means over sets, 1 for the most accurate, ties shared; P90 and
P95 are the shares of sets on which a method has at least 90 % or 95 % of the best accuracy, and PMA is the mean of its
share of the best. Seconds are of the processor, for all fits and predictions of all sets, on one thread, beside other
work on the machine.
"""
READING = """
Friedman's test of equal ranks has p = {p:.2g}; two mean ranks differ at the level 0.05, by Nemenyi's test, where they
are {distance:.2f} apart (Demsar 2006), and {which}. Made by `python -m benchmarks.tabular`; the numbers and the options
that were searched are in `benchmarks/results/tabular.json`.
"""
STUDENTIZED = {5: 2.728}
"""Quantiles of Nemenyi's test at the level 0.05 by the number of methods (Demsar 2006, table 5)."""

Fit = Callable[[np.ndarray, np.ndarray], Any]


def kernel(depth: int) -> ntk.Kernel:
    return ntk.InfiniteNTK(ntk.nn.mlp((1,) * depth, 1, bias_std=0.1))


def ridge() -> Iterator[tuple[str, Any]]:
    """The ridge is chosen by leave-one-out in each fit."""
    for depth in DEPTHS:
        yield f"depth={depth}", NTKClassifier(depth=depth)


def vectors() -> Iterator[tuple[str, Any]]:
    for depth, c in itertools.product(DEPTHS, 10.0 ** np.arange(-2, 5)):
        yield f"depth={depth}, C={c:g}", SVC(C=c, kernel=kernel(depth))


def forest() -> Iterator[tuple[str, Any]]:
    for share in (0.1, 0.2, 0.4, 0.8):
        yield f"max_features={share}", RandomForestClassifier(500, max_features=share, random_state=0)


def boosting() -> Iterator[tuple[str, Any]]:
    for rate, depth in itertools.product((0.03, 0.1, 0.3), (1, 3)):
        yield (
            f"learning_rate={rate}, max_depth={depth}",
            GradientBoostingClassifier(learning_rate=rate, max_depth=depth, random_state=0),
        )


def rbf() -> Iterator[tuple[str, Any]]:
    for c, gamma in itertools.product(2.0 ** np.arange(-5, 16, 2), 2.0 ** np.arange(-15, 4, 2)):
        yield f"C={c:g}, gamma={gamma:g}", SVC(C=c, gamma=gamma)


METHODS: dict[str, tuple[str, Callable[[], Iterator[tuple[str, Any]]]]] = {
    "ridge": ("NTKClassifier", ridge),
    "vectors": ("SVC, our NTK", vectors),
    "forest": ("random forest", forest),
    "boosting": ("gradient boosting", boosting),
    "rbf": ("SVC, RBF kernel", rbf),
}


def accuracy(model: Any, x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Of a fit to some rows on others. The smallest sets have splits with rows of one class only: it is predicted."""
    if len(np.unique(y[train])) == 1:
        return float(np.mean(y[test] == y[train][0]))
    return float(model.fit(x[train], y[train]).score(x[test], y[test]))


def measured(method: str, data: Any, name: str) -> dict[str, Any]:
    """One method on one set: its accuracy in each fold, the options that were chosen, and the processor's seconds."""
    x, y = data[f"{name}/X"].astype(np.float64), data[f"{name}/y"]
    start = time.process_time()
    best, chosen, model = -1.0, "", None
    for words, candidate in METHODS[method][1]():
        reached = accuracy(candidate, x, y, data[f"{name}/tune_train"], data[f"{name}/tune_valid"])
        if reached > best:
            best, chosen, model = reached, words, candidate
    folds = [accuracy(model, x, y, data[f"{name}/fold{k}_train"], data[f"{name}/fold{k}_test"]) for k in range(FOLDS)]
    return {"folds": folds, "options": chosen, "seconds": time.process_time() - start}


def measure(path: Path, names: list[str] | None) -> None:
    """Every method on every set that is not in the results yet; they are written after each."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"machine": machine(), "sets": {}}
    with np.load(path, allow_pickle=False) as archive:
        data = dict(archive)
    small = [str(name) for name in data["names"] if len(data[f"{name}/y"]) <= ROWS]
    for name in names or small:
        rows = found["sets"].setdefault(name, {"rows": len(data[f"{name}/y"]), "methods": {}})
        for method in METHODS:
            if method not in rows["methods"]:
                with threadpool_limits(1), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    rows["methods"][method] = measured(method, data, name)
                found["searched"] = {one: [words for words, _ in grid()] for one, (_, grid) in METHODS.items()}
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(name, {one: round(float(np.mean(rows["methods"][one]["folds"])), 3) for one in METHODS}, flush=True)


def table(found: dict[str, Any]) -> tuple[str, np.ndarray, np.ndarray]:
    """The section's table, the accuracies (sets, methods) behind it, and the mean ranks of methods."""
    sets = [one["methods"] for one in found["sets"].values() if len(one["methods"]) == len(METHODS)]
    values = np.asarray([[np.mean(one[method]["folds"]) for method in METHODS] for one in sets])
    ranks = np.mean([rankdata(-row) for row in values], axis=0)
    shares = values / values.max(axis=1, keepdims=True)
    lines = ["| method | mean accuracy | rank | P90 | P95 | PMA | seconds |", "|---|---|---|---|---|---|---|"]
    for i, (method, (label, _)) in enumerate(METHODS.items()):
        seconds = sum(one[method]["seconds"] for one in sets)
        p90, p95 = (100.0 * np.mean(shares[:, i] >= level) for level in (0.9, 0.95))
        lines.append(
            f"| {label} | {100 * values[:, i].mean():.1f} % | {ranks[i]:.2f} | {p90:.0f} % | {p95:.0f} % | "
            f"{100 * shares[:, i].mean():.1f} % | {seconds:.0f} |"
        )
    return "\n".join(lines), values, ranks


def write(found: dict[str, Any]) -> None:
    """The section of the page."""
    text, values, ranks = table(found)
    n, k = values.shape
    intro = fill(" ".join(INTRO.split()).format(sets=n, rows=ROWS, folds=FOLDS), 120)
    distance = STUDENTIZED[k] * (k * (k + 1) / (6.0 * n)) ** 0.5
    p, apart = friedmanchisquare(*values.T).pvalue, np.ptp(ranks)
    which = "the first and the last are" if apart > distance else f"no two are: the largest distance is {apart:.2f}"
    reading = fill(" ".join(READING.split()).format(p=p, distance=distance, which=which), 120)
    sections.put(PAGE, TITLE, f"{intro}\n\n{text}\n\n{reading}")


def main() -> None:
    """Measure, or write the section again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the file of the sets")
    parser.add_argument("--sets", nargs="*", help="some of them, by name")
    options = parser.parse_args()
    if options.data:
        measure(options.data, options.sets)
    write(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
