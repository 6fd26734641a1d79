"""Pictures of Gram matrices and of their eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array.namespace import Array
from .axes import axes, legend, numbers

__all__ = ["gram", "spectrum"]


def gram(matrix: Array, labels: Any = None, ax: Any = None) -> Any:
    """A heat map of a Gram matrix.

    Parameters
    ----------
    matrix : array (N1, N2) or Store
        Kernel values. A matrix on disk is read as a whole.
    labels : sequence (N,), optional
        The class of each input of a symmetric matrix. Inputs are then sorted by class, and lines mark where one ends.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the matrix has other than two axes, or there is not one label for each of its rows and columns.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> ax = ntk.plotting.gram(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))(x), labels=x[:, 0] > 0)
    >>> ax.images[0].get_array().shape
    (20, 20)
    """
    values = numbers("matrix", matrix)
    if values.ndim != 2:
        raise ValueError(
            f"matrix must have two axes, got {values.shape}: choose an output of a full or class-wise kernel, such as "
            "matrix[:, 0, :, 0]"
        )
    ax = axes(ax, (4.6, 3.8))
    if labels is not None:
        names = np.asarray(labels)
        if names.shape != (values.shape[0],) or values.shape[0] != values.shape[1]:
            raise ValueError(f"labels {names.shape} must be one for each row and column of the matrix {values.shape}")
        order = np.argsort(names, kind="stable")
        values = values[np.ix_(order, order)]
        classes, starts = np.unique(names[order], return_index=True)
        for edge in starts[1:]:
            ax.axhline(edge - 0.5, color="white", lw=0.8)
            ax.axvline(edge - 0.5, color="white", lw=0.8)
        middles = (starts + np.append(starts[1:], len(names))) / 2 - 0.5
        ax.set_xticks(middles, [str(name) for name in classes])
        ax.set_yticks(middles, [str(name) for name in classes])
    ax.grid(False)
    image = ax.imshow(values, cmap="viridis", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    return ax


def spectrum(eigenvalues: Array, label: str | None = None, ax: Any = None) -> Any:
    """The decay of eigenvalues: each over its number from the largest on, on logarithmic axes.

    Parameters
    ----------
    eigenvalues : array (R,)
        In any order; values that are not positive are left out. Of a Gram matrix they are ``numpy.linalg.eigvalsh``,
        of a kernel on a sample ``eigenvalues`` of :class:`~ntk_array.dynamics.KernelSpectrum`.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is more than one axis, or no positive value.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ax = ntk.plotting.spectrum(np.asarray([0.5, 2.0, 1.0]))
    >>> ax.lines[0].get_ydata()
    array([2. , 1. , 0.5])
    """
    values = numbers("eigenvalues", eigenvalues)
    if values.ndim != 1 or not np.any(values > 0):
        raise ValueError(f"eigenvalues must be of one axis, and some of them positive; got {values.shape}")
    ax = axes(ax)
    values = np.sort(values[values > 0])[::-1]
    ax.plot(np.arange(1, len(values) + 1), values, ".-", ms=4, lw=0.8, label=label)
    ax.set(xscale="log", yscale="log", xlabel="component", ylabel="eigenvalue")
    return legend(ax, label)
