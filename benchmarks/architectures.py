"""The experiments on a convolutional, a residual and an attention network, as a section of docs/experiments.md.

Run from the checkout: python -m benchmarks.architectures [folder]. With a folder, an interrupted run goes on from it.
The numbers are in benchmarks/results/architectures.json.
"""

import json
import sys
from pathlib import Path
from textwrap import fill

import numpy as np

import ntk_array as ntk
from ntk_array.experiments import ScalingResult, kernel_concentration
from ntk_array.experiments.linearization import LinearizationGap
from ntk_array.experiments.regression import RegressionGap
from ntk_array.experiments.scaling import scaling_of_training
from ntk_array.experiments.stability import KernelStability
from ntk_array.study import load_dataset

from . import sections
from .experiments import ends, exponent, summary

ROOT = Path(__file__).parent.parent
TITLE = "Images and attention"
MEASURES = (KernelStability, LinearizationGap, RegressionGap)
SIZES = {"train": 20, "test": 60, "draws": 30, "networks": 6, "steps": 400}
SCATTER = SIZES["draws"] ** -0.5  # what is left of independent errors of mean zero in their mean


def transformer_block(width: int) -> ntk.nn.Sequential:
    """A transformer whose readout has weights for each position, as those of the other networks.

    Behind the mean over positions the kernel's eigenvalues are further apart, and training takes ten times the steps.
    """
    net = ntk.nn.transformer(
        1, width, 1, position_embedding="sum", normalization="pre", weight_std=2**0.5, bias_std=0.1
    )
    return ntk.nn.Sequential(*net.layers[:-2], ntk.nn.Flatten(), net.layers[-1])


NETWORKS = {
    "CNN": lambda width: ntk.nn.cnn((width, width), 1, pooling="flatten", bias_std=0.1),
    "residual CNN": lambda width: ntk.nn.resnet((width,), 1, blocks=1, pooling="flatten", bias_std=0.1),
    "transformer block": transformer_block,
}
WIDTHS = {"CNN": (16, 32, 64, 128), "residual CNN": (8, 16, 32, 64), "transformer block": (16, 32, 64, 128)}
QUANTITIES = {
    "entrywise": "eps at initialization",
    "frobenius": "distance from the limit at initialization",
    "kernel": "movement of the kernel in training",
    "gap": "distance from the linearization",
    "empirical": "distance from regression, own kernel",
    "infinite": "distance from regression, infinite kernel",
}

TEXT = """
The same experiments on three networks of images, with the number of channels as their width: a CNN of two 3 x 3
convolutions, a residual CNN of a convolution and one block of two, and a transformer block with normalization before
each branch, for which the eight rows of an image are words of eight channels. Their readouts have weights for every
position. The theorems above are about fully connected networks. What makes their kernels concentrate, many independent
terms, these have too: as many as channels.

Data: {train} training and {test} held-out images of the bundled digits; the target is 1 for the digits 5 to 9 and -1
for the others. One output, ReLU (GELU in the transformer), bias_std 0.1. At initialization {draws} networks of each
width are drawn; the mean of their kernels has {scatter:.0f} % of the errors left where these are scatter alone. Then
{networks} networks of each width are trained by {steps} steps, each half the network's own largest stable step. Laws
of training are fitted to the runs whose cost fell below 1 % of its start. Made by `python -m benchmarks.architectures`;
the numbers are in `benchmarks/results/architectures.json`.

{parts}
"""


def part(name: str, results: dict[str, ScalingResult]) -> str:
    """The table of one network, and how to read it."""
    widths = WIDTHS[name]
    head = f"| {name} | exponent | interval | networks | mean, width {widths[0]} | width {widths[-1]} |"
    found = {key: result for result in results.values() for key in result.laws if key in QUANTITIES}
    rows = [
        f"| {text} | {exponent(found[key].laws[key])} | {found[key].laws[key].points} | {ends(found[key], key)} |"
        for key, text in QUANTITIES.items()
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows]) + f"\n\n{reading(name, found)}"


def reading(name: str, found: dict[str, ScalingResult]) -> str:
    """The table in words."""
    near, moved, gap = (found[key].laws[key] for key in ("frobenius", "kernel", "gap"))
    half = "the interval holds -1/2" if near.low <= -0.5 <= near.high else "the interval leaves -1/2 out"
    steep = "are steeper than" if max(moved.exponent, gap.exponent) < -0.5 else "stand beside"
    kernels = found["frobenius"].arrays
    left = kernels["averaged"][:, -1] / kernels["frobenius"].mean(axis=1)
    biased = left[0] > 1.5 * SCATTER
    bias = (
        "narrow networks are biased, and the bias falls faster than the scatter"
        if biased
        else "there is no bias to see"
    )
    first, *_, last = 100 * found["kernel"].arrays["kernel"].mean(axis=1)
    cost, (narrow, *_, wide) = found["kernel"].arrays["cost"], WIDTHS[name]
    most, runs = 100 * (cost[..., -1] / cost[..., 0]).max(), moved.points + moved.excluded
    return (
        f"The kernel of the {name} nears its limit with the exponent {near.exponent:.2f}; {half}. The mean of the "
        f"drawn kernels is {100 * left[0]:.0f} % as far away as one of them at width {narrow}, {100 * left[-1]:.0f} % "
        f"at width {wide}: {bias}. Training moves the kernel by {first:.0f} % at width {narrow} and by {last:.0f} % "
        f"at width {wide}; the exponents of this and of the distance from the linearization, {moved.exponent:.2f} "
        f"and {gap.exponent:.2f}, {steep} the bound of the theory, -1/2. {moved.excluded} of {runs} runs are left out "
        f"of the laws; the largest cost at the end is {most:.2g} % of its start."
    )


def main(folder: str | None = None) -> None:
    """Run what is not in the folder, and write both files."""
    split = load_dataset("digits", images=True).split(SIZES["train"], SIZES["test"], np.random.SeedSequence(0))
    y = np.where(np.argmax(split.y_train, axis=1) >= 5, 1.0, -1.0)
    found, parts = {}, []
    for name, network in NETWORKS.items():
        # The rows of an image as words.
        x, x_test = (x[..., 0] if name == "transformer block" else x for x in (split.x_train, split.x_test))
        own = folder and Path(folder) / name.replace(" ", "-")
        results = {
            "kernel_concentration": kernel_concentration(
                network,
                x,
                WIDTHS[name],
                draws=SIZES["draws"],
                folder=own and own / "concentration",
                progress=True,
            ),
            **scaling_of_training(
                MEASURES,
                network,
                x,
                y,
                x_test,
                WIDTHS[name],
                networks=SIZES["networks"],
                steps=SIZES["steps"],
                folder=own and own / "training",
                progress=True,
            ),
        }
        averaged = results["kernel_concentration"].arrays["averaged"][:, -1]
        cost = results["kernel_stability"].arrays["cost"]
        found[name] = {
            **{measure: summary(result) for measure, result in results.items()},
            "distance_of_mean_kernel": averaged.tolist(),
            "largest_final_cost": float((cost[..., -1] / cost[..., 0]).max()),
        }
        parts.append(part(name, results))
    (ROOT / "benchmarks/results/architectures.json").write_text(
        json.dumps({"settings": {"data": "digits", **SIZES}, "networks": found}, indent=1) + "\n"
    )
    blocks = TEXT.format(**SIZES, scatter=100 * SCATTER, parts="\n\n".join(parts)).strip().split("\n\n")
    body = "\n\n".join(block if block[0] == "|" else fill(block, 118) for block in blocks)
    sections.put(ROOT / "docs/experiments.md", TITLE, body)


if __name__ == "__main__":
    main(*sys.argv[1:2])
