"""``ntk-array fit``: an estimator fitted to a table, as a file."""

import argparse
from typing import Any

import numpy as np

from .._support.progress import progress_within
from ..kernels.infinite import INFINITE_KERNELS
from ..nn.activations import NAMED
from ..study.data import BUNDLED, load_dataset, refuse_unscalable
from ..study.files import FORMATS, some_names
from .options import Commands, add_command, add_quiet, add_target, file_for_results, shows_progress

__all__ = ["register"]

CHOSEN = ("leave_one_out", "marginal_likelihood")


def register(commands: Commands) -> None:
    """Add the command."""
    fit = add_command(
        commands,
        "fit",
        run,
        "fit an infinitely wide network to a table, and save it for ntk-array predict",
        "Fit kernel regression or classification with the kernel of an infinitely wide network to a table, say how "
        "well it predicts rows that it has not seen, and save it as one file without pickle. Columns are standardised.",
    )
    fit.add_argument("data", help=f"a {', '.join(FORMATS)} file, or {', '.join(BUNDLED)}")
    add_target(fit)
    fit.add_argument("--out", required=True, help="file of the model, such as model.npz")
    fit.add_argument(
        "--kernel", choices=tuple(INFINITE_KERNELS), default="ntk", help="all layers trained, or the last one only"
    )
    fit.add_argument("--depth", type=int, default=2, help="hidden layers")
    fit.add_argument(
        "--activation", choices=sorted(NAMED), metavar="NAME", default="relu", help=f"one of {', '.join(sorted(NAMED))}"
    )
    fit.add_argument("--weight-std", type=float, metavar="S", default=2**0.5, help="sigma_w of all layers")
    fit.add_argument("--bias-std", type=float, metavar="S", default=0.1, help="sigma_b; 0 for no biases")
    fit.add_argument(
        "--ridge", type=_ridge, default="leave_one_out", help=f"a number, or how it is chosen: {', '.join(CHOSEN)}"
    )
    fit.add_argument("--raw", action="store_true", help="take the columns as they are, without standardising them")
    fit.add_argument("--folds", type=int, default=5, help="refits that say how well it predicts; 0 for none")
    add_quiet(fit)


def _ridge(text: str) -> float | str:
    if text in CHOSEN:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor one of {', '.join(CHOSEN)}") from None


def run(options: argparse.Namespace) -> int:
    """Fit, judge by refits, save, and say what is in the file."""
    out = file_for_results(options.out)
    if options.folds < 0 or options.folds == 1:
        raise ValueError(f"--folds must be at least 2, or 0 for none, got {options.folds}")
    from ..sklearn import NTKClassifier, NTKRegressor, save  # says how to install scikit-learn

    data = load_dataset(options.data, options.target, options.task)
    y = np.asarray(data.classes)[data.target] if data.classes else data.target
    names = ("kernel", "depth", "activation", "weight_std", "bias_std", "ridge")
    estimator = (NTKClassifier if data.classes else NTKRegressor)(**{name: getattr(options, name) for name in names})
    if not options.raw:
        refuse_unscalable(data.name, data.x, data.x.std(axis=0))
    model = estimator if options.raw else _standardised(estimator)
    with progress_within(shows_progress(options)):
        model.fit(data.x, y)
        scores = _scores(model, data.x, y, options.folds)
    if data.columns:
        # Set behind fit, which takes names of data frames only.
        (estimator if options.raw else model[0]).feature_names_in_ = np.asarray(data.columns, dtype=object)
    save(out, model)
    what = f"{len(data.classes)} classes: {some_names(data.classes)}" if data.classes else "a real target"
    print(f"{out}: {type(estimator).__name__}, {len(y)} rows of {data.x.shape[1]} columns, {what}")
    print(f"ridge {estimator.ridge_:.3g}")
    if len(scores):
        name, least, most = "accuracy" if data.classes else "R^2", scores.min(), scores.max()
        print(f"{name} {scores.mean():.3f} on rows left out, from {least:.3f} to {most:.3f} in {len(scores)} parts")
    elif options.folds:
        few = "a class has one row only" if data.classes else "there are fewer than 4"
        print(f"how well it predicts rows left out is not known: {few}")
    return 0


def _standardised(estimator: Any) -> Any:
    """A pipeline that standardises columns first."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)


def _scores(model: Any, x: np.ndarray, y: np.ndarray, folds: int) -> np.ndarray:
    """Of refits, each to all but one of so many parts of the rows, or of as many as the rows allow; none below 2."""
    from sklearn.base import is_classifier
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

    # Each part is to have a row of each class, or two rows: R^2 is not defined for one.
    classes = is_classifier(model)
    folds = min(folds, int(np.unique(y, return_counts=True)[1].min()) if classes else len(y) // 2)
    if folds < 2:
        return np.asarray([])
    # Tables are often sorted.
    parts = (StratifiedKFold if classes else KFold)(folds, shuffle=True, random_state=0)
    scores: np.ndarray = cross_val_score(model, x, y, cv=parts)
    return scores
