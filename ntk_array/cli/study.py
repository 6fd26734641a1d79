"""``ntk-array study``: networks of several widths beside what their kernels predict, in one report."""

import argparse
from importlib import util
from time import process_time

from .._array.libraries import LIBRARIES
from .._support.clock import seconds_since_start
from .._support.hints import install_hint
from ..study import load_dataset, run_study
from ..study.data import BUNDLED
from ..study.files import FORMATS
from ..study.settings import WIDTHS, WIDTHS_OF_IMAGES
from .options import (
    Commands,
    add_command,
    add_network,
    add_quiet,
    add_target,
    default_settings,
    folder_for_results,
    listed,
    network_settings,
    shows_progress,
)

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command."""
    study = add_command(
        commands,
        "study",
        run,
        "train networks on your data and compare them with what their kernels predict",
        "Train networks of several widths on real data, compare them over time with what their empirical "
        "and infinite-width kernels predict, print a table and write a report with pictures.",
        goes_on=True,
    )
    study.add_argument(
        "data", nargs="?", default="digits", help=f"{', '.join(BUNDLED)}, or a {', '.join(FORMATS)} file"
    )
    add_target(study)
    add_network(study)
    study.add_argument(
        "--widths",
        type=_whole_numbers,
        default=argparse.SUPPRESS,
        help="hidden widths or numbers of channels, comma-separated; by default "
        f"{listed(WIDTHS)}, and {listed(WIDTHS_OF_IMAGES)} for networks of images",
    )
    helps = {
        "train": "training rows; by default 200 (100 images), fewer with many classes, or two thirds of small data",
        "test": "held-out rows; by default 400 (200 images), or all that are left",
        "networks": "networks trained for each width",
        "steps": "gradient-descent steps; by default as many as the infinite-width kernel needs, 500 to 3000",
        "step_fraction": "step as a share of the largest stable one",
        "draws": "networks a width for the concentration of the kernel",
        "ensemble": "networks trained on few inputs for the mean and spread over initializations",
        "seed": "of the split and all networks",
    }
    default = default_settings()
    for name, text in helps.items():
        value = default[name]
        study.add_argument(
            f"--{name.replace('_', '-')}",
            type=int if value is None else type(value),
            metavar="N",
            default=value,
            help=text,
        )
    study.add_argument("--library", choices=tuple(LIBRARIES), default="numpy", help="where to compute")
    study.add_argument("--out", default="ntk-study", help="folder for report.html, results.json, arrays.npz and runs")
    add_quiet(study)


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 64,256,1024") from None


def run(options: argparse.Namespace) -> int:
    """Run the study, write its report, and print its table."""
    from ..study.report import write
    from ..study.words import rows_used, summary, table

    # Asked before the study: the pictures are drawn after all networks are trained.
    if util.find_spec("matplotlib") is None:
        raise ImportError(f"the report needs matplotlib: {install_hint('study')}")
    settings = network_settings(options)
    folder = folder_for_results(options.out)
    dataset = load_dataset(options.data, options.target, options.task, images=settings.takes_images)
    # Made before the study: a folder that cannot be made is known now, and not after all networks are trained.
    folder.mkdir(parents=True, exist_ok=True)
    study = run_study(settings, dataset, folder=folder / "runs", progress=shows_progress(options))
    report = write(study, options.out, seconds_since_start)
    print(f"{rows_used(study)}\n\n{table(study)}\n\n{summary(study)}\n")
    print(f"{report} written in {seconds_since_start():.0f} s, with {process_time():.0f} s of processor time")
    return 0
