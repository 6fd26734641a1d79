"""How empirical kernels at initialization concentrate on the infinite-width kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from .._array.description import fingerprint
from .._array.namespace import Array, home, to_host
from .._array.random import Seed, seed_sequence
from .._array.validate import count, inputs
from ..kernels import EmpiricalNTK, InfiniteNTK
from ..nn import Layer
from .journal import Journal, described
from .power_law import PowerLaw
from .scaling import Folder, ScalingResult, checked_widths, first_rows, network_of_size, run_seed
from .together import SMALL, run_together

__all__ = ["kernel_concentration"]

MEANING = {
    "entrywise": "largest error of an entry of the kernel",
    "frobenius": "error of the kernel, Frobenius norm",
}


def kernel_concentration(
    network: Callable[..., Layer],
    x: Array,
    widths: Sequence[int],
    *,
    depths: Sequence[int] | None = None,
    draws: int = 10,
    probe: int = 32,
    seed: Seed = 0,
    folder: Folder = None,
    progress: bool = False,
) -> ScalingResult:
    """How far empirical kernels at initialization are from the infinite-width kernel, over widths, depths and draws.

    For ReLU networks of L hidden layers and inputs of norm at most 1, with probability 1 - delta, a width of order
    L^6 / eps^4 log(L / delta) suffices for |Theta_hat(x, x') - Theta(x, x')| <= (L + 1) eps (Arora et al. 2019, Theorem
    3.1). There Theta(x, x) = (L + 1) ||x||^2, so that eps is the largest error of an entry as a share of the largest
    diagonal entry, in which form it is measured here, for any network and inputs of any norm. Every output counts as a
    network by itself.

    Parameters
    ----------
    network : callable
        From a width to a network, such as ``lambda width: ntk.nn.mlp((width, width), 1)``; with ``depths`` from a width
        and a depth, such as ``lambda width, depth: ntk.nn.mlp((width,) * depth, 1)``. Networks for images, such as
        ``ntk.nn.cnn``, are taken alike.
    x : array (N, ...)
        Inputs; their library, device and dtype are used throughout.
    widths : sequence of int
        Two or more.
    depths : sequence of int, optional
        Also the second argument of ``network``, in turn.
    draws : int
        R, how many networks of each width (and depth) are drawn.
    probe : int
        How many of the inputs are used.
    seed, folder, progress
        As for :func:`kernel_stability`.

    Returns
    -------
    ScalingResult
        Laws and arrays (W, R): "entrywise", the largest |Theta_hat - Theta| over the largest Theta(x, x), which is eps;
        "frobenius", ||Theta_hat - Theta||_F / ||Theta||_F. Array "averaged" (W, R) without a law: ||mean - Theta||_F /
        ||Theta||_F for the mean kernel of the first 1, 2, ..., R draws. With depths there is one of each for every
        depth, as "entrywise, depth 3".

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, networks without an infinite-width limit, or a folder that holds runs of another
        experiment.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> result = ntk.experiments.kernel_concentration(
    ...     lambda width, depth: ntk.nn.mlp((width,) * depth, 1), x, (32, 128, 512), depths=(1, 2)
    ... )
    >>> result.arrays["frobenius, depth 1"].shape, result.laws["frobenius, depth 1"].exponent < -0.3
    ((3, 10), True)
    """
    probed = first_rows(inputs("x", x), count("probe", probe))
    widths, draws, root = checked_widths(widths), count("draws", draws), seed_sequence(seed)
    deep: list[tuple[int, ...]] = [(count("depths", depth),) for depth in depths] if depths else [()]
    sizes = [(width, *depth) for depth in deep for width in widths]
    nets = {size: network_of_size(network, *size) for size in sizes}
    journal = Journal(
        folder,
        {
            "measures": ["kernel_concentration"],
            "networks": {str(size): described(net) for size, net in nets.items()},
            "runs": draws,
            "x": fingerprint(probed),
            "library": home(probed).xp.__name__,
            "seed": [str(root.entropy), *root.spawn_key],
        },
    )

    def kernel(size: tuple[int, ...], draw: int) -> dict[str, np.ndarray]:
        net = nets[size]
        params = net.init(run_seed(root, *size, draw), like=probed)
        return {"kernel": to_host(EmpiricalNTK(net, params, outputs="classwise")(probed))}

    jobs = [(size, draw) for size in sizes for draw in range(draws)]

    def kept(job: tuple[tuple[int, ...], int], alone: bool) -> np.ndarray:
        size, draw = job
        return journal.keep("-".join(map(str, (*size, draw))), partial(kernel, size, draw))["kernel"]

    kernels = run_together(kept, jobs, probed, SMALL, "kernels at initialization", progress)
    drawn = np.stack(kernels).astype(np.float64)  # (depths W R, C, P, P)
    # The jobs go through depths first, then widths, then draws: so do the axes.
    drawn = drawn.reshape(-1, len(widths), draws, *drawn.shape[1:])
    limits = np.stack([to_host(InfiniteNTK(nets[size])(probed)) for size in sizes]).astype(np.float64)
    # One limit for each size, (P, P). The axes of length 1 stand for draws and outputs, which share the limit.
    limits = limits.reshape(-1, len(widths), 1, 1, *limits.shape[1:])
    arrays: dict[str, np.ndarray] = {}
    laws: dict[str, PowerLaw] = {}
    meaning: dict[str, str] = {}
    for k, depth in enumerate(deep):
        errors, label = _errors(drawn[k], limits[k]), "".join(f", depth {d}" for d in depth)
        arrays |= {f"{name}{label}": values for name, values in errors.items()}
        laws |= {f"{name}{label}": PowerLaw.fit(widths, errors[name]) for name in MEANING}
        meaning |= {f"{name}{label}": f"{text}{label}" for name, text in MEANING.items()}
    return ScalingResult("kernel_concentration", np.asarray(widths), arrays, laws, meaning)


def _errors(drawn: np.ndarray, limit: np.ndarray) -> dict[str, np.ndarray]:
    """The errors of kernels (W, R, C, P, P) against limits (W, 1, 1, P, P), each (W, R)."""
    matrix = (-3, -2, -1)
    largest = np.max(np.diagonal(limit, axis1=-2, axis2=-1), axis=-1)[..., 0]
    # The limit holds for each of the C outputs, so its squared norm counts C times.
    scale = np.sqrt(drawn.shape[2] * np.sum(limit**2, axis=matrix))
    averaged = np.cumsum(drawn, axis=1) / np.arange(1, drawn.shape[1] + 1)[:, None, None, None]
    return {
        "entrywise": np.max(np.abs(drawn - limit), axis=matrix) / largest,
        "frobenius": np.sqrt(np.sum((drawn - limit) ** 2, axis=matrix)) / scale,
        "averaged": np.sqrt(np.sum((averaged - limit) ** 2, axis=matrix)) / scale,
    }
