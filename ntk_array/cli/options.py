"""Options that several commands share."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..nn.activations import NAMED
from ..study import StudySettings
from ..study.settings import NETWORKS, POOLINGS

__all__ = [
    "Commands",
    "add_command",
    "add_network",
    "add_quiet",
    "add_target",
    "default_settings",
    "file_for_results",
    "folder_for_results",
    "listed",
    "network_settings",
    "shows_progress",
]

Commands = Any
"""What ``ArgumentParser.add_subparsers`` returns; its class has no public name."""


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults behind the help of each option, but for those that are None: their help says what is taken."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    short: str,
    description: str,
    *,
    goes_on: bool = False,
) -> argparse.ArgumentParser:
    """A sub-parser whose options are run by a function that returns the exit status.

    ``goes_on`` says whether the same command goes on after an interruption from what was finished.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=short, description=description, formatter_class=_Formatter
    )
    parser.set_defaults(command=run, goes_on=goes_on)
    return parser


def add_target(parser: argparse.ArgumentParser) -> None:
    """What is predicted, and whether it is a class or a number."""
    parser.add_argument(
        "--target",
        help="what to predict: column name, or number from 0 (.csv, .parquet); column number (.npy); array name (.npz; "
        "by default y)",
    )
    parser.add_argument(
        "--task",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="auto: text, and whole numbers of at most 20 different values, are classes",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option --quiet, which :func:`shows_progress` reads."""
    parser.add_argument("--quiet", action="store_true", help="no progress bars; there are none either in a pipe")


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether somebody watches: standard error is a terminal, and --quiet was not given."""
    return not options.quiet and sys.stderr.isatty()


def default_settings() -> dict[str, Any]:
    """The defaults of StudySettings by name."""
    return {field.name: field.default for field in fields(StudySettings)}


def folder_for_results(out: str) -> Path:
    """The folder of --out, refused where it is a file or stands in one; it is not made."""
    folder = Path(out)
    for path in (folder, *folder.parents):
        if path.is_file():
            raise ValueError(f"--out {out}: {path} is a file; give a folder, which is made")
    return folder


def file_for_results(out: str) -> Path:
    """The file of --out, refused where it is a folder, or in none; it is not made."""
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"--out {out} is a folder; give a file, which is made")
    if not path.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {str(path.parent)!r}; make it first")
    return path


def listed(numbers: Sequence[int]) -> str:
    """Numbers as they are given on the command line."""
    return ",".join(map(str, numbers))


def add_network(parser: argparse.ArgumentParser) -> None:
    """What the network is, but for its widths; :func:`network_settings` reads these options."""
    default = default_settings()
    group = parser.add_argument_group("the network")
    group.add_argument(
        "--network",
        choices=tuple(NETWORKS),
        default=default["network"],
        help="mlp for tables; cnn, resnet or myrtle for images (N, H, W, channels) or (N, H, W) and for the digits",
    )
    group.add_argument(
        "--activation",
        choices=sorted(NAMED),
        metavar="NAME",
        default=default["activation"],
        help=f"one of {', '.join(sorted(NAMED))}",
    )
    group.add_argument(
        "--pooling", choices=POOLINGS, default=default["pooling"], help="behind the last layer of cnn and resnet"
    )
    group.add_argument(
        "--depth",
        type=int,
        default=argparse.SUPPRESS,
        help="hidden layers, convolutions or residual blocks; by default 2, and 5 for myrtle, which has 5, 7 or 10",
    )
    helps = {
        "weight_std": "sigma_w of the hidden layers",
        "bias_std": "sigma_b; 0 for no biases",
        "readout_weight_std": "sigma_w of the last layer; small keeps the outputs small before training",
    }
    for name, text in helps.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="S", default=default[name], help=text)


def network_settings(options: argparse.Namespace) -> StudySettings:
    """Settings from the options that were given; an option that is absent keeps its default."""
    # An option whose default depends on the network is absent where it was not given.
    given = {field.name: getattr(options, field.name) for field in fields(StudySettings) if field.name in options}
    return StudySettings(**given)
