"""Maps of states that mix all positions of each input, by matrices of its own: attention, and sums over graphs.

States have every pair of positions. Variances of the results are left to :meth:`.Covariance.facing`.
"""

from __future__ import annotations

from .._array.namespace import Array, home
from .covariance import Covariance
from .positions import Frame

__all__ = ["gathered", "mixed", "mixed_change", "product", "product_change"]

Pair = tuple[Covariance, Covariance]
"""A state and the change of it."""


def mixed(state: Covariance, one: Array, two: Array) -> Covariance:
    """The state of A v, for values v (P,) of this state and weights A (N1, P, P) and (N2, P, P): A K A'^T."""
    k12 = _mixed(state.k12, one, two, state.frame, state.k12.shape)
    ntk = None if state.ntk is None else _mixed(state.ntk, one, two, state.frame, state.k12.shape)
    return Covariance(k12, k12, k12, ntk, frame=state.frame)


def gathered(state: Covariance, one: Array, two: Array) -> Covariance:
    """The state of one sum w v for each input, without positions, for weights w (N1, 1, P) and (N2, 1, P)."""
    frame = Frame(blocks=state.frame.blocks)
    shape = (one.shape[0], two.shape[0]) if frame.blocks else (one.shape[0],)
    k12 = _mixed(state.k12, one, two, state.frame, shape)
    ntk = None if state.ntk is None else _mixed(state.ntk, one, two, state.frame, shape)
    return Covariance(k12, k12, k12, ntk, frame=frame)


def _mixed(array: Array, one: Array, two: Array, frame: Frame, shape: tuple[int, ...]) -> Array:
    """The products of both sides, in this shape."""
    xp, n, size = home(array).xp, two.shape[0], two.shape[-1]
    turned = xp.matrix_transpose(two)
    if not frame.blocks:
        return xp.reshape(one @ xp.reshape(array, (n, size, size)) @ turned, shape)
    # One product for each input of the first batch, then one for each of the second.
    half = one @ xp.reshape(array, (one.shape[0], size, n * size))
    half = xp.permute_dims(xp.reshape(half, (-1, n, size)), (1, 0, 2))
    return xp.reshape(xp.permute_dims(half @ turned, (1, 0, 2)), shape)


def mixed_change(
    state: Covariance, change: Covariance, weights: tuple[Array, Array], changes: tuple[Array, Array]
) -> Covariance:
    """How :func:`mixed` changes with the state and with the weights."""
    (one, two), (done, dtwo) = weights, changes
    return Covariance.total([mixed(change, one, two), mixed(state, done, two), mixed(state, one, dtwo)])


def product(query: Covariance, key: Covariance, value: Covariance) -> Covariance:
    """The state of sum_q <q_p, k_q> v_q, for independent q, k and v and many heads.

    K(p, p') = K_q(p, p') sum_{q, q'} K_k(q, q') K_v(q, q'), over all pairs of positions. By the product rule each of
    the three learns with the others as they are.
    """
    frame, states = query.frame, (query, key, value)
    k12 = _contracted(frame, *(s.k12 for s in states))
    ntk = None
    if query.ntk is not None:
        ntk = _sum_of_contracted(
            frame, [[s.ntk if i == learning else s.k12 for i, s in enumerate(states)] for learning in range(3)]
        )
    return Covariance(k12, k12, k12, ntk, frame=frame)


def product_change(*pairs: Pair) -> Covariance:
    """How :func:`product` changes, for queries, keys and values with their changes."""
    frame = pairs[0][0].frame

    def terms(learning: int | None) -> list[list[Array]]:
        """One for each of the three that changes."""
        found = []
        for changing in range(3):
            sides = [pair[i == changing] for i, pair in enumerate(pairs)]
            found.append([side.ntk if i == learning else side.k12 for i, side in enumerate(sides)])
        return found

    k12 = _sum_of_contracted(frame, terms(None))
    ntk = None
    if pairs[0][0].ntk is not None:
        ntk = _sum_of_contracted(frame, [term for learning in range(3) for term in terms(learning)])
    return Covariance(k12, k12, k12, ntk, frame=frame)


def _contracted(frame: Frame, query: Array, key: Array, value: Array) -> Array:
    total = home(key).xp.sum(key * value, axis=(*frame.rows, *frame.columns), keepdims=True)
    return query * total


def _sum_of_contracted(frame: Frame, terms: list[list[Array]]) -> Array:
    found = [_contracted(frame, *term) for term in terms]
    return sum(found[1:], found[0])
