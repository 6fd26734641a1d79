"""The experiments on digits, as docs/experiments.md, its pictures and benchmarks/results/experiments.json.

Run from the checkout: python -m benchmarks.experiments [folder]. With a folder, an interrupted run goes on from there.
"""

import json
import sys
from pathlib import Path
from textwrap import fill

import numpy as np

import ntk_array as ntk
from ntk_array.experiments import ScalingResult, TrainedEnsemble, kernel_concentration, trained_ensemble
from ntk_array.experiments.linearization import LinearizationGap
from ntk_array.experiments.pictures import scaling_picture
from ntk_array.experiments.regression import RegressionGap
from ntk_array.experiments.scaling import scaling_of_training
from ntk_array.experiments.stability import KernelStability
from ntk_array.study import load_dataset

from . import sections

ROOT = Path(__file__).parent.parent
MEASURES = (KernelStability, LinearizationGap, RegressionGap)
ACTIVATIONS = ("relu", "erf")
DEPTHS = (1, 2, 3, 4)
ENSEMBLE = {"train": 30, "networks": 100, "steps": 400, "width": 512}
SIZES = {"train": 40, "test": 100, "draws": 50, "networks": 10, "steps": 200}
DRAWN, TRAINED = (64, 128, 256, 512, 1024, 2048), (128, 256, 512, 1024, 2048)

TEXT = """# Experiments

How well the theory of wide networks holds at finite width, measured by the functions of `ntk.experiments`. Made
by `python -m benchmarks.experiments`; the numbers are in `benchmarks/results/experiments.json`. Exponents are slopes
of the logarithm against that of the width, with 95 % confidence intervals by bootstrap over networks within each
width. An interval knows how networks scatter, not whether the widths are large enough for the law.

The data are {train} training and {test} held-out images of the bundled handwritten digits, scaled as `ntk-array
study` does. Trained networks have two hidden layers, ten outputs and bias_std 0.1, {networks} networks of each of the
widths {trained}. They take {steps} steps of full-batch gradient descent, each half the network's own largest stable
step. Laws are fitted to the runs whose cost fell below 1 % of its start; {learned}

## The kernel at initialization

*Theory.* For ReLU networks with L hidden layers and inputs of norm at most 1, a width of order L^6 / eps^4 log(L /
delta) suffices for |Theta_hat(x, x') - Theta(x, x')| <= (L + 1) eps with probability 1 - delta (Arora et al. 2019,
Theorem 3.1). For a given delta that is an eps of order width^(-1/4); averages of independent terms suggest
width^(-1/2).

*Measured* by `kernel_concentration`: ReLU, one output, no biases, {draws} networks of each depth and of each of the
widths {drawn}. The theorem's eps is the largest error of an entry, divided by L + 1 for images scaled to norm 1 at
most; that is the largest error as a share of the largest diagonal entry. Its mean over draws is in the last columns.

| hidden layers | exponent of eps | interval | of the Frobenius norm | interval | eps, width {narrow} | width {wide} |
|---|---|---|---|---|---|---|
{concentration}

Averaged over draws, the kernel comes nearer to its limit. ||mean - Theta|| / ||Theta|| with {deep} hidden layers and
width {narrow}: {averaged}.

## The kernel in training

*Theory.* At infinite width the kernel stays what it is at initialization (Jacot et al. 2018, Theorem 2); at finite
width ||Theta_t - Theta_0||_F = O(width^(-1/2)) at all times (Lee et al. 2019, Theorem 2.1).

*Measured* by `kernel_stability`: the largest ||Theta_t - Theta_0||_F / ||Theta_0||_F during training, and the largest
||theta_t - theta_0|| / ||theta_0|| of each layer's parameters (layers are numbered by their place in the network).

{stability}

## The linearization

*Theory.* sup_t ||f_t - f_lin,t|| = O(width^(-1/2)) for f_lin, the network linearized in its parameters (Lee et al.
2019, Theorem 2.1).

*Measured* by `linearization_gap`: the root mean square over held-out images and outputs, its largest value during
training, as a share of that of the targets.

{linearization}

## Kernel regression

*Theory.* A wide network that is trained to the end predicts as kernel regression with its NTK, up to an error that
falls with the width (Arora et al. 2019, Theorem 3.2).

*Measured* by `regression_gap`: the same distance after the last step, from regression at t = inf from the network's
own f_0, with the empirical kernel at initialization and with the infinite-width kernel.

{regression}

## ReLU networks in one picture

![Values of every network over the width, with their laws](images/scaling.svg)

## Ensembles

*Theory.* Over initializations the outputs of wide networks are Gaussian at every time of training, with a mean and a
covariance that the NTK and the NNGP kernel determine (Lee et al. 2019, eq. 13 to 15).

*Measured* by `trained_ensemble`:
{ensemble}

![Outputs of all networks over time on three held-out images, with the predicted mean and two standard deviations
](images/ensemble.svg)

"""


def table(results: dict[str, ScalingResult]) -> str:
    """All laws of an experiment, by activation."""
    widths = TRAINED[0], TRAINED[-1]
    head = f"| activation | quantity | exponent | interval | networks | mean, width {widths[0]} | width {widths[1]} |"
    rows = [
        f"| {activation} | {name} | {exponent(law)} | {law.points} | {ends(result, name)} |"
        for activation, result in results.items()
        for name, law in result.laws.items()
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def exponent(law: ntk.experiments.PowerLaw) -> str:
    """Exponent and interval as two cells."""
    found = "none" if np.isnan(law.exponent) else f"{law.exponent:.2f}"
    return f"{found} | " + ("none" if np.isnan(law.low) else f"{law.low:.2f} to {law.high:.2f}")


def ends(result: ScalingResult, name: str) -> str:
    """Means at the smallest and the largest width as two cells."""
    first, *_, last = result.arrays[name].mean(axis=1)
    return f"{first:#.3g} | {last:#.3g}"


def summary(result: ScalingResult) -> dict[str, object]:
    """What is committed of one experiment."""
    return {
        "widths": result.widths.tolist(),
        "laws": {name: law.as_json() for name, law in result.laws.items()},
        "mean": {name: result.arrays[name].mean(axis=1).tolist() for name in result.laws},
    }


def spread(ensemble: TrainedEnsemble) -> dict[str, float]:
    """How far the networks' means and variances are from the predicted ones, over times, inputs and outputs."""
    within = np.abs(ensemble.outputs - ensemble.mean) < 2 * ensemble.standard_deviation[..., None]
    return {
        "mean_error": float(np.sqrt(np.mean(ensemble.mean_errors**2))),
        "variance_ratio": float(ensemble.variance_ratios.mean()),
        "within_two_sigma": float(within.mean()),
        "largest_final_cost": float((ensemble.cost[:, -1] / ensemble.cost[:, 0]).max()),
    }


def of_ensemble(found: dict[str, float]) -> str:
    """The sentences on the ensemble."""
    return (
        f"{ENSEMBLE['networks']} ReLU networks with two hidden layers of width {ENSEMBLE['width']}, trained on "
        f"{ENSEMBLE['train']} images by {ENSEMBLE['steps']} steps. Their means are {found['mean_error']:.2f} standard "
        "errors from the predicted ones (root mean square over times, held-out images and outputs; 1 is sampling "
        f"alone), their variances {found['variance_ratio']:.3f} times the predicted ones on average, and "
        f"{100 * found['within_two_sigma']:.1f} % of all outputs are within two predicted standard deviations (95.4 % "
        "of a Gaussian)."
    )


def page(
    concentration: ScalingResult,
    trained: dict[str, dict[str, ScalingResult]],
    cost: dict[str, float],
    ensemble: dict[str, float],
) -> str:
    """docs/experiments.md."""
    laws, deep = concentration.laws, DEPTHS[-1]
    averaged = concentration.arrays[f"averaged, depth {deep}"][0]
    left_out = sum(result["kernel_stability"].law.excluded for result in trained.values())
    learned = f"{left_out} did not, the largest remainder is " if left_out else "all did, and the largest remainder is "
    tables = {measure: table({a: results[measure] for a, results in trained.items()}) for measure in trained["relu"]}
    text = TEXT.format(
        **SIZES,
        drawn=", ".join(map(str, DRAWN)),
        trained=", ".join(map(str, TRAINED)),
        learned=learned + " and ".join(f"{value:.1e} ({name})" for name, value in cost.items()) + ".",
        narrow=DRAWN[0],
        wide=DRAWN[-1],
        deep=deep,
        concentration="\n".join(
            f"| {d} | {exponent(laws[f'entrywise, depth {d}'])} | {exponent(laws[f'frobenius, depth {d}'])} | "
            f"{ends(concentration, f'entrywise, depth {d}')} |"
            for d in DEPTHS
        ),
        averaged=", ".join(f"{averaged[r - 1]:.3f} for {r} draw{'s' * (r > 1)}" for r in (1, 5, SIZES["draws"])),
        stability=tables["kernel_stability"],
        linearization=tables["linearization_gap"],
        regression=tables["regression_gap"],
        ensemble=of_ensemble(ensemble),
    )
    return "\n\n".join(part if part[0] in "#|!" else fill(part, 118) for part in text.strip().split("\n\n")) + "\n"


def main(folder: str | None = None) -> None:
    """Run what is not in the folder, and write all files."""
    split = load_dataset("digits").split(SIZES["train"], SIZES["test"], np.random.SeedSequence(0))
    concentration = kernel_concentration(
        lambda width, depth: ntk.nn.mlp((width,) * depth, 1),
        split.x_train,
        DRAWN,
        depths=DEPTHS,
        draws=SIZES["draws"],
        probe=SIZES["train"],
        folder=folder and Path(folder) / "concentration",
        progress=True,
    )
    trained = {
        activation: scaling_of_training(
            MEASURES,
            lambda width, phi=activation: ntk.nn.mlp((width, width), 10, activation=phi, bias_std=0.1),
            split.x_train,
            split.y_train,
            split.x_test,
            TRAINED,
            networks=SIZES["networks"],
            steps=SIZES["steps"],
            folder=folder and Path(folder) / activation,
            progress=True,
        )
        for activation in ACTIVATIONS
    }
    costs = {activation: results["kernel_stability"].arrays["cost"] for activation, results in trained.items()}
    remaining = {activation: float((cost[..., -1] / cost[..., 0]).max()) for activation, cost in costs.items()}
    few = slice(None, ENSEMBLE["train"])
    ensemble = trained_ensemble(
        ntk.nn.mlp((ENSEMBLE["width"],) * 2, 10, bias_std=0.1, readout_weight_std=1.0),
        split.x_train[few],
        split.y_train[few],
        split.x_test,
        networks=ENSEMBLE["networks"],
        steps=ENSEMBLE["steps"],
        folder=folder and Path(folder) / "ensemble",
        progress=True,
    )
    found = {
        "settings": {"data": "digits", **SIZES},
        "kernel_concentration": summary(concentration),
        **{m.name: {a: summary(results[m.name]) for a, results in trained.items()} for m in MEASURES},
        "largest_final_cost": remaining,
        "trained_ensemble": {**ENSEMBLE, **spread(ensemble)},
    }
    relu = trained["relu"]
    panels = [(concentration, f"frobenius, depth {d}") for d in (1, 3)]
    panels += [(relu["kernel_stability"], "kernel"), (relu["linearization_gap"], "gap")]
    panels += [(relu["regression_gap"], name) for name in ("empirical", "infinite")]
    figure = scaling_picture([(r.widths, r.arrays[name], r.laws[name], r.meaning[name]) for r, name in panels])
    (ROOT / "benchmarks/results/experiments.json").write_text(json.dumps(found, indent=1) + "\n")
    sections.rewrite(ROOT / "docs/experiments.md", page(concentration, trained, remaining, spread(ensemble)))
    figure.savefig(ROOT / "docs/images/scaling.svg", metadata={"Date": None})
    ensemble.plot().savefig(ROOT / "docs/images/ensemble.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:2])
