"""The command line: ``ntk-array study``, ``ntk-array gram`` and ``ntk-array info``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import util
from pathlib import Path
from typing import Any

from . import __version__
from ._array.libraries import LIBRARIES
from ._formula.compilers import descriptions
from ._support.versions import installed_version
from .gram import assemble
from .kernels import InfiniteNNGP, InfiniteNTK
from .nn.activations import NAMED
from .study import StudySettings, load_dataset, run_study
from .study.data import BUNDLED, load_inputs
from .study.settings import NETWORKS, POOLINGS, WIDTHS, WIDTHS_OF_IMAGES

__all__ = ["main"]

KERNELS = {"ntk": InfiniteNTK, "nngp": InfiniteNNGP}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        print(f"ntk-array: {'; '.join([str(error), *getattr(error, '__notes__', [])])}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ntk-array: interrupted; the same command goes on from what was finished", file=sys.stderr)
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
    default = _defaults()
    study.add_argument("data", nargs="?", default="digits", help=f"{', '.join(BUNDLED)}, or a .csv, .npy or .npz file")
    study.add_argument(
        "--target", help="what to predict: column name (.csv), array name (.npz; by default y), column number (.npy)"
    )
    study.add_argument("--task", choices=("auto", "classification", "regression"), default="auto")
    _add_network(study)
    study.add_argument(
        "--widths",
        type=_whole_numbers,
        default=argparse.SUPPRESS,
        help="hidden widths or numbers of channels, comma-separated; by default "
        f"{_listed(WIDTHS)}, and {_listed(WIDTHS_OF_IMAGES)} for networks of images",
    )
    helps = {
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
    _add_gram(commands)
    info = commands.add_parser("info", help="versions, and which array libraries are installed")
    info.set_defaults(command=_info)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    """What the network is, but for its widths."""
    default = _defaults()
    parser.add_argument(
        "--network",
        choices=tuple(NETWORKS),
        default=default["network"],
        help="mlp for tables; cnn, resnet or myrtle for images (N, H, W, channels) or (N, H, W) and for the digits",
    )
    parser.add_argument("--activation", choices=sorted(NAMED), default=default["activation"])
    parser.add_argument(
        "--pooling", choices=POOLINGS, default=default["pooling"], help="behind the last layer of cnn and resnet"
    )
    parser.add_argument(
        "--depth",
        type=int,
        default=argparse.SUPPRESS,
        help="hidden layers, convolutions or residual blocks; by default 2, and 5 for myrtle, which has 5, 7 or 10",
    )
    helps = {
        "weight_std": "sigma_w of the hidden layers",
        "bias_std": "sigma_b; 0 for no biases",
        "readout_weight_std": "sigma_w of the readout; small keeps f_0 small",
    }
    for name, text in helps.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default[name], help=text)


def _add_gram(commands: Any) -> None:
    gram = commands.add_parser(
        "gram",
        help="the kernel matrix of an infinitely wide network on your data, in a folder on disk",
        description="Compute the kernel matrix of an infinitely wide network between all inputs of a file, block by "
        "block, in a folder that ntk_array.gram.open reads. The same command goes on after an interruption.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    gram.add_argument("data", help="a .npy file with the inputs, or a .npz file with an array x; taken as they are")
    gram.add_argument("--out", required=True, help="folder of the matrix, which is made")
    gram.add_argument("--kernel", choices=tuple(KERNELS), default="ntk")
    _add_network(gram)
    gram.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="to compute in and to keep")
    gram.add_argument("--memory", default="2 GiB", help="what may be used, such as '512 MB'")
    gram.add_argument("--threads", type=int, help="None: as many as NumPy's matrix products use")
    gram.add_argument("--quiet", action="store_true", help="no progress bar; there is none either in a pipe")
    gram.set_defaults(command=_gram)


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in fields(StudySettings)}


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
    settings = _settings(options)
    dataset = load_dataset(options.data, options.target, options.task, images=settings.takes_images)
    study = run_study(settings, dataset, folder=Path(options.out) / "runs", progress=not options.quiet)
    report = write(study, options.out)
    print(table(study))
    print(f"\n{summary(study)}\n{report} written in {study.seconds['total']:.0f} s")
    return 0


def _settings(options: argparse.Namespace) -> StudySettings:
    # An option whose default depends on the network is absent where it was not given.
    given = {field.name: getattr(options, field.name) for field in fields(StudySettings) if field.name in options}
    return StudySettings(**given)


def _gram(options: argparse.Namespace) -> int:
    settings = _settings(options)
    x = load_inputs(options.data, images=settings.takes_images).astype(options.dtype, copy=False)
    # At infinite width neither the widths nor the number of outputs matter.
    store = assemble(
        KERNELS[options.kernel](settings.build(1, 1)),
        x,
        memory=options.memory,
        threads=options.threads,
        store=options.out,
        progress=not options.quiet and sys.stderr.isatty(),
    )
    print(f"{options.out}: {options.kernel} {store.shape}, {store.dtype}, finished and audited")
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
