"""``ntk-array gram``: the kernel matrix of an infinitely wide network, in a folder on disk."""

import argparse

from ..gram import assemble
from ..kernels.infinite import INFINITE_KERNELS
from ..study.data import load_inputs
from .options import Commands, add_command, add_network, add_quiet, folder_for_results, network_settings, shows_progress

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command."""
    gram = add_command(
        commands,
        "gram",
        run,
        "the kernel matrix of an infinitely wide network on your data, in a folder on disk",
        "Compute the kernel matrix of an infinitely wide network between all inputs of a file, block by "
        "block, in a folder that ntk_array.gram.open reads. The same command goes on after an interruption.",
        goes_on=True,
    )
    gram.add_argument(
        "data",
        help="a .npy file of inputs, a .npz file with an array x, or a .csv or .parquet file of numbers; not scaled",
    )
    gram.add_argument("--out", required=True, help="folder of the matrix, which is made")
    gram.add_argument(
        "--kernel",
        choices=tuple(INFINITE_KERNELS),
        default="ntk",
        help="tangent kernel, or that of outputs at initialization",
    )
    add_network(gram)
    gram.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="to compute in and to keep")
    gram.add_argument("--memory", default="2 GiB", help="what may be used, such as '512 MB'")
    gram.add_argument("--threads", type=int, help="by default as many as NumPy's matrix products use")
    add_quiet(gram)


def run(options: argparse.Namespace) -> int:
    """Assemble the matrix, and say what is in the folder."""
    settings = network_settings(options)
    folder_for_results(options.out)
    x = load_inputs(options.data, images=settings.takes_images).astype(options.dtype, copy=False)
    # At infinite width neither the widths nor the number of outputs matter.
    store = assemble(
        INFINITE_KERNELS[options.kernel](settings.build(1, 1)),
        x,
        memory=options.memory,
        threads=options.threads,
        store=options.out,
        progress=shows_progress(options),
    )
    print(f"{options.out}: {options.kernel} {store.shape}, {store.dtype}, finished and audited")
    return 0
