"""Batches of graphs as arrays: the features of nodes, a mark for each node, and the adjacency, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import count, finite, one_of, real_array, same_home

__all__ = ["Graphs", "graphs"]


class Graphs(NamedTuple):
    """A batch of graphs that :func:`graphs` packed, taken apart.

    Attributes
    ----------
    features : array (N, P, channels)
    marks : array (N, P)
        Not zero for nodes, zero for padding.
    adjacency : array (N, P, P)
        What the node p takes from the node q. Zero where either is padding.
    """

    features: Array
    marks: Array
    adjacency: Array

    @classmethod
    def of(cls, x: Array) -> Graphs:
        """From a packed batch (N, P, channels + 1 + P)."""
        channels = x.shape[2] - x.shape[1] - 1
        marks = x[..., channels]
        present = home(x).xp.astype(marks != 0, x.dtype)
        # Whatever stands in rows and columns of padding, no node sees it.
        adjacency = x[..., channels + 1 :] * present[:, :, None] * present[:, None, :]
        return cls(x[..., :channels], marks, adjacency)

    @property
    def present(self) -> Array:
        """1 for nodes and 0 for padding, (N, P)."""
        return home(self.marks).xp.astype(self.marks != 0, self.marks.dtype)

    def refuse_unmarked(self) -> None:
        """ValueError where marks are none: an array of features alone looks like packed graphs of fewer channels."""
        xp = home(self.marks).xp
        # All nodes of a graph have one mark. It is no matter which: a multiple of a batch is a batch of graphs too.
        size = xp.abs(self.marks)
        largest = xp.max(size, axis=1, keepdims=True)
        total, number = xp.sum(self.marks, axis=1, keepdims=True), xp.sum(self.present, axis=1, keepdims=True)
        alike = xp.all((size == 0) | (size == largest)) & xp.all(xp.abs(total) > (number - 0.5) * largest)
        if not to_host(alike):
            raise ValueError(
                "the inputs are no graphs: nodes have no marks behind their features, or a graph has no node; make "
                "them by ntk_array.nn.graphs(features, adjacency)"
            )


def graphs(
    features: Any,
    adjacency: Any,
    *,
    sizes: Any = None,
    nodes: int | None = None,
    self_loops: bool = False,
    normalize: str | None = None,
) -> Array:
    """Graphs as one array, the inputs of a :class:`GraphNetwork`: (N, P, channels + 1 + P) for at most P nodes.

    The features of nodes come first, then a mark of 1 for each node, then the rows of its adjacency. Graphs of fewer
    nodes are padded with zeros, and networks and kernels do not depend on how many: padding is left out of every sum
    and mean. The result is an array as any other. Kernels, training and tiles cut it along its first axis.

    Parameters
    ----------
    features : sequence of arrays (n_i, channels), or array (N, P, channels)
        One array for each graph, of any sizes, or all graphs in one array.
    adjacency : sequence of arrays or SciPy sparse matrices (n_i, n_i), or array (N, P, P) or (P, P)
        Its entry (p, q) is what the node p takes from the node q in :class:`Aggregate`: 1 for an edge, or any weight.
        Sparse matrices become dense ones where the features are. One matrix (P, P) is that of all graphs.
    sizes : sequence of int, optional
        The number of nodes of each graph, where graphs in one array are padded already. What stands behind is left out.
    nodes : int, optional
        P, by default the size of the largest graph. Batches that meet in a kernel have one P.
    self_loops : bool
        Whether 1 is added to the diagonal, so that each node takes its own features too.
    normalize : None, "mean" or "symmetric"
        With the sums d of the rows, "mean" divides by d_p (means over neighbours), "symmetric" by sqrt(d_p d_q), for
        symmetric matrices. Rows of zeros stay zero.

    Returns
    -------
    array (N, P, channels + 1 + P)
        Of the library, dtype and device of the features.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit together, matrices that are not square, NaN, sizes that are none, and negative
        degrees with ``normalize="symmetric"``. Errors name the graph.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> path = np.asarray([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> x = ntk.nn.graphs([np.ones((3, 2)), np.ones((2, 2))], [path, path[:2, :2]], self_loops=True)
    >>> x.shape
    (2, 3, 6)
    >>> x[1]                                # two nodes and padding: features, marks, adjacency with self-loops
    array([[1., 1., 1., 1., 1., 0.],
           [1., 1., 1., 1., 1., 0.],
           [0., 0., 0., 0., 0., 0.]])
    """
    if normalize is not None:
        one_of("normalize", normalize, ("mean", "symmetric"))
    if isinstance(features, list | tuple):
        if sizes is not None:
            raise ValueError("sizes is for graphs in one array; those of a list are the sizes of its arrays")
        x, a, present = _from_lists(features, adjacency)
    else:
        x, a, present = _from_arrays(features, adjacency, sizes)
    if nodes is not None:
        x, a, present = _padded(x, a, present, count("nodes", nodes))
    a = a * present[:, :, None] * present[:, None, :]
    if self_loops:
        a = a + home(x).eye(x.shape[1]) * present[:, :, None]
    if normalize is not None:
        a = _normalized(a, normalize)
    return home(x).xp.concat([x * present[..., None], present[..., None], a], axis=-1)


def _from_lists(features: Sequence[Any], adjacency: Any) -> tuple[Array, Array, Array]:
    """Features (N, P, channels), adjacency (N, P, P) and marks (N, P) of graphs one by one."""
    if not isinstance(adjacency, list | tuple) or len(adjacency) != len(features):
        given = f"{len(adjacency)} of them" if isinstance(adjacency, list | tuple) else f"a {type(adjacency).__name__}"
        raise ValueError(f"adjacency must be a list of {len(features)} matrices, one for each graph; got {given}")
    if not features:
        raise ValueError("features is empty; give at least one graph")
    parts: list[tuple[Array, Array, Array]] = []
    for i, (one, matrix) in enumerate(zip(features, adjacency, strict=True)):
        x = real_array(f"features[{i}]", one)
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"features[{i}] has shape {tuple(x.shape)}; a graph has features (nodes, channels)")
        a = _dense(f"adjacency[{i}]", matrix, x)
        if tuple(a.shape) != (x.shape[0], x.shape[0]):
            raise ValueError(
                f"adjacency[{i}] has shape {tuple(a.shape)}; the {x.shape[0]} nodes of features[{i}] need "
                f"({x.shape[0]}, {x.shape[0]})"
            )
        same_home(**{"features[0]": parts[0][0] if parts else None, f"features[{i}]": x, f"adjacency[{i}]": a})
        if parts and x.shape[1] != parts[0][0].shape[1]:
            raise ValueError(f"features[{i}] has {x.shape[1]} channels and features[0] {parts[0][0].shape[1]}")
        marks = home(x).xp.ones((x.shape[0],), dtype=x.dtype, device=home(x).device)
        parts.append((finite(f"features[{i}]", x), finite(f"adjacency[{i}]", a), marks))
    most = max(x.shape[0] for x, _, _ in parts)
    padded = [_padded(x[None, ...], a[None, ...], marks[None, ...], most) for x, a, marks in parts]
    x, a, marks = (home(own[0]).xp.concat(list(own)) for own in zip(*padded, strict=True))
    return x, a, marks


def _from_arrays(features: Any, adjacency: Any, sizes: Any) -> tuple[Array, Array, Array]:
    """The same of graphs in one array."""
    x = real_array("features", features)
    if x.ndim != 3 or 0 in x.shape:
        hint = "; one graph is a list of one: graphs([features], [adjacency])" if x.ndim == 2 else ""
        raise ValueError(f"features has shape {tuple(x.shape)}; graphs in one array are (N, nodes, channels){hint}")
    if isinstance(adjacency, list | tuple):
        raise TypeError("adjacency is a list and features is one array; give lists of both, or arrays of both")
    a = _dense("adjacency", adjacency, x)
    n, p = x.shape[:2]
    if tuple(a.shape) not in ((n, p, p), (p, p)):
        raise ValueError(
            f"adjacency has shape {tuple(a.shape)}; features {tuple(x.shape)} need ({n}, {p}, {p}), or ({p}, {p}) for "
            "one matrix of all graphs"
        )
    same_home(features=x, adjacency=a)
    finite("features", x)
    finite("adjacency", a)
    numbers = np.full(n, p) if sizes is None else _sizes(sizes, n, p)
    present = home(x).asarray(np.arange(p) < numbers[:, None])
    return x, home(x).xp.broadcast_to(a, (n, p, p)), present


def _sizes(sizes: Any, n: int, p: int) -> np.ndarray:
    """Numbers of nodes, on the host."""
    found = np.asarray(to_host(sizes) if is_array(sizes) else sizes)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise ValueError(f"sizes must be {n} whole numbers, one for each graph; got {sizes!r}")
    wrong = np.flatnonzero((found < 1) | (found > p))
    if len(wrong):
        raise ValueError(f"sizes must be from 1 to {p}, the nodes of features; graph {wrong[0]} has {found[wrong[0]]}")
    return found


def _dense(name: str, matrix: Any, like: Array) -> Array:
    """A matrix as an array; a sparse one in the home of another array."""
    if not hasattr(matrix, "toarray"):
        return real_array(name, matrix, like=like)
    return home(like).asarray(to_host(real_array(name, matrix.toarray())))


def _padded(x: Array, a: Array, present: Array, nodes: int) -> tuple[Array, Array, Array]:
    """With zeros up to a number of nodes."""
    here, p = home(x), x.shape[1]
    if nodes < p:
        raise ValueError(f"nodes is {nodes}, and the largest graph has {p}")
    if nodes == p:
        return x, a, present

    def longer(array: Array, axis: int) -> Array:
        shape = list(array.shape)
        shape[axis] = nodes - p
        return here.xp.concat([array, here.xp.zeros(tuple(shape), dtype=x.dtype, device=here.device)], axis=axis)

    return longer(x, 1), longer(longer(a, 1), 2), longer(present, 1)


def _normalized(a: Array, how: str) -> Array:
    """Matrices divided by the sums of their rows."""
    xp = home(a).xp
    degrees = xp.sum(a, axis=-1)
    if how == "symmetric" and to_host(xp.any(degrees < 0)):
        raise ValueError('normalize="symmetric" takes roots of the sums of rows, and one is negative; use "mean"')
    over = xp.where(degrees != 0, 1.0 / xp.where(degrees != 0, degrees, 1.0), 0.0)
    if how == "mean":
        return over[:, :, None] * a
    return xp.sqrt(over)[:, :, None] * a * xp.sqrt(over)[:, None, :]
