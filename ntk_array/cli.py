"""The command line: ``ntk-array study`` and ``ntk-array info``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import util
from pathlib import Path

from . import __version__
from ._array.libraries import LIBRARIES
from ._formula.compilers import descriptions
from ._support.versions import installed_version
from .nn.activations import NAMED
from .study import StudySettings, load_dataset, run_study
from .study.data import BUNDLED
from .study.settings import NETWORKS, POOLINGS, WIDTHS, WIDTHS_OF_IMAGES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, TypeError, FileNotFoundError, ImportError, FloatingPointError) as error:
        print(f"ntk-array: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ntk-array: interrupted; the same command goes on from the runs that were finished", file=sys.stderr)
        # 130 is 128 plus the number of the signal SIGINT, as shells report it.
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ntk-array", description="Neural tangent kernels on any array library.")
    parser.add_argument("--version", action="version", version=f"ntk_array {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    study = commands.add_parser(
        "study",
        help="train networks on your data and compare them with what their kernels predict",
        description="Train networks of several widths on real data, compare them over time with what their empirical "
        "and infinite-width kernels predict, print a table and write a report with pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = {field.name: field.default for field in fields(StudySettings)}
    study.add_argument("data", nargs="?", default="digits", help=f"{', '.join(BUNDLED)}, or a .csv, .npy or .npz file")
    study.add_argument(
        "--target", help="what to predict: column name (.csv), array name (.npz; by default y), column number (.npy)"
    )
    study.add_argument("--task", choices=("auto", "classification", "regression"), default="auto")
    study.add_argument(
        "--network",
        choices=tuple(NETWORKS),
        default=default["network"],
        help="mlp for tables; cnn, resnet or myrtle for images (N, H, W, channels) or (N, H, W) and for the digits",
    )
    study.add_argument(
        "--widths",
        type=_whole_numbers,
        default=argparse.SUPPRESS,
        help="hidden widths or numbers of channels, comma-separated; by default "
        f"{_listed(WIDTHS)}, and {_listed(WIDTHS_OF_IMAGES)} for networks of images",
    )
    study.add_argument("--activation", choices=sorted(NAMED), default=default["activation"])
    study.add_argument(
        "--pooling", choices=POOLINGS, default=default["pooling"], help="behind the last layer of cnn and resnet"
    )
    study.add_argument(
        "--depth",
        type=int,
        default=argparse.SUPPRESS,
        help="hidden layers, convolutions or residual blocks; by default 2, and 5 for myrtle, which has 5, 7 or 10",
    )
    helps = {
        "weight_std": "sigma_w of the hidden layers",
        "bias_std": "sigma_b; 0 for no biases",
        "readout_weight_std": "sigma_w of the readout; small keeps f_0 small",
        "train": "training rows; None: 200 (100 images), or two thirds of small data",
        "test": "held-out rows; None: 400 (200 images), or all that are left",
        "networks": "networks trained for each width",
        "steps": "gradient-descent steps; None: as many as the infinite-width kernel needs, 500 to 3000",
        "step_fraction": "step as a share of the largest stable one",
        "draws": "networks a width for the concentration of the kernel",
        "ensemble": "networks trained on few inputs for the mean and spread over initializations",
        "seed": "of the split and all networks",
    }
    for name, text in helps.items():
        value = default[name]
        study.add_argument(
            f"--{name.replace('_', '-')}", type=int if value is None else type(value), default=value, help=text
        )
    study.add_argument("--library", choices=tuple(LIBRARIES), default="numpy", help="where to compute")
    study.add_argument("--out", default="ntk-study", help="folder for report.html, results.json, arrays.npz and runs")
    study.add_argument("--quiet", action="store_true", help="no progress bars")
    study.set_defaults(command=_study)
    info = commands.add_parser("info", help="versions, and which array libraries are installed")
    info.set_defaults(command=_info)
    return parser


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 64,256,1024") from None


def _study(options: argparse.Namespace) -> int:
    from .study.report import summary, table, write

    # Asked before the study: the pictures are drawn after all networks are trained.
    if util.find_spec("matplotlib") is None:
        raise ImportError("the report needs matplotlib: pip install 'ntk_array[study]'")
    # An option whose default depends on the network is absent where it was not given.
    given = {field.name: getattr(options, field.name) for field in fields(StudySettings) if field.name in options}
    settings = StudySettings(**given)
    dataset = load_dataset(options.data, options.target, options.task, images=settings.takes_images)
    study = run_study(settings, dataset, folder=Path(options.out) / "runs", progress=not options.quiet)
    report = write(study, options.out)
    print(table(study))
    print(f"\n{summary(study)}\n{report} written in {study.seconds['total']:.0f} s")
    return 0


def _info(options: argparse.Namespace) -> int:
    del options
    print(f"ntk_array {__version__}, Python {sys.version.split()[0]}")
    core = ("numpy", "scipy", "array_api_compat", "numba")
    for name in dict.fromkeys([*core, *LIBRARIES, "scikit-learn", "matplotlib"]):
        print(f"{name:<18}{installed_version(name) or 'not installed'}")
    print("\nformulas of infinite-width kernels on arrays of")
    for name, description in descriptions().items():
        print(f"{name:<18}{description}")
    return 0
