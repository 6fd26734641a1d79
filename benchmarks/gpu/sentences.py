"""Sentences of docs/gpu.md, of the rows of jobs. Each function gives none where its job has not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .tables import Jobs, digits, power

FAR = 10.0
"""Over the floor this many times as far as another kernel."""


def tabulated(jobs: Jobs) -> Iterator[str]:
    """Tables beside closed forms."""
    tables = [row["over the floor"] for row in jobs.get("tanh", [])]
    closed = [row["over the floor"] for name in ("no_bias", "biases") for row in jobs.get(name, [])]
    if tables and closed and min(tables) > FAR * max(closed):
        yield (
            "Tabulated activations, such as tanh, are far from the floor on a GPU. ReLU and others with a dual in "
            "closed form are not."
        )


def precision(jobs: Jobs) -> Iterator[str]:
    """float32 beside float64."""
    if rows := jobs.get("precision"):
        worst = max(row["float32 against float64"] for row in rows)
        depths = sorted({len(row["case"]["widths"]) for row in rows if not row["case"]["outputs"]})
        finite = " and for an empirical NTK" if any(row["case"]["outputs"] for row in rows) else ""
        yield (
            f"Kernels in float32 were within {power(worst)} of float64 on the card, relative to "
            f"sqrt(K(x, x) K(x', x')), at {' and at '.join(map(str, depths))} hidden ReLU layers{finite}."
        )


def empirical(jobs: Jobs) -> Iterator[str]:
    """The share of the rate of products."""
    if rows := jobs.get("empirical"):
        shares = " and ".join(f"{100 * row['share']:.0f} %" for row in rows)
        yield (
            f"The empirical kernels run at {shares} of the card's rate for large products, in operations that are "
            "counted."
        )


def peers(jobs: Jobs) -> Iterator[str]:
    """Beside torch.func and JAX."""
    for row in jobs.get("peers", []):
        yield (
            f"Against Jacobians by `torch.func` on the same card, {described(row)}: "
            f"{digits(row['ours']['median'])} s and {digits(row['torch.func']['median'])} s, a ratio of "
            f"{digits(row['ratio'])}."
        )
    for row in jobs.get("jax_peer", []):
        told = {"highest": "in float32", "default": "in its default precision"}[row["precision"]]
        yield (
            f"Against Jacobians by JAX, compiled, with products {told}, of the same kernel: "
            f"{digits(row['ours']['median'])} s and {digits(row['JAX']['median'])} s, a ratio of "
            f"{digits(row['ratio'])}. Errors are {power(row['error'])} and {power(row['error of JAX'])}."
        )


def described(row: dict[str, dict[str, object]]) -> str:
    """The case that all libraries have."""
    case = row["case"]
    sizes = "-".join(str(size) for size in (case["features"], *case["widths"], case["outputs"]))  # type: ignore[misc]
    return f"{case['n']} inputs, {sizes} without biases, all outputs"


def regression(jobs: Jobs) -> Iterator[str]:
    """Gaussian processes of few inputs, as long as there is nothing newer."""
    if "gaussian" in jobs:
        return
    for row in jobs.get("regression", []):
        yield (
            f"A Gaussian process in float64 with {row['inputs']:,} inputs and ten targets, and the means of "
            f"{row['new inputs']:,} new inputs: {digits(row['seconds']['median'])} s, of which an eigendecomposition "
            f"takes {digits(row['eigh']['median'])} s. It was the default then. A Cholesky factor, which is the "
            f"default now, took {row['cholesky']['median']:.1g} s of the same matrix."
        )


def gaussian(jobs: Jobs) -> Iterator[str]:
    """Gaussian processes of many inputs."""
    for row in jobs.get("gaussian", []):
        parts = ", ".join(f"{name} {digits(seconds)} s" for name, seconds in row["parts"].items())
        yield (
            f"A Gaussian process in float64 with {row['inputs']:,} inputs ({row['data']}) and ten targets, and the "
            f"means of {row['new inputs']:,} new inputs: {digits(row['seconds']['median'])} s. By themselves its parts "
            f"take: {parts}. Means from a part of the inputs are within {power(row['error'])} of those of NumPy, "
            "relative to the largest."
        )


def mnist(jobs: Jobs) -> Iterator[str]:
    """Regression from arrays on the host to classes."""
    for row in jobs.get("mnist", [])[-1:]:
        yield (
            f"Regression on {row['inputs']:,} inputs ({row['data']}) in {row['dtype']}, from arrays on the host to the "
            f"classes of {row['new inputs']:,} new ones: {digits(row['seconds'])} s, of which the fit takes "
            f"{digits(row['fit'])} s. The matrix has {row['GiB of the matrix']:.1f} GiB, and CuPy took "
            f"{row['GiB at most']:.1f} GiB. The residual is {power(row['residual'])}, and "
            f"{100 * row['accuracy']:.2f} % are classified right."
        )


SENTENCES: tuple[Callable[[Jobs], Iterator[str]], ...] = (
    tabulated,
    precision,
    empirical,
    peers,
    regression,
    gaussian,
    mnist,
)
