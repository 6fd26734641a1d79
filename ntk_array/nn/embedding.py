"""Random embeddings of positions, which are added to the channels of inputs or put beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance
from .parameters import Parameter

__all__ = ["PositionEmbedding"]


@dataclass(frozen=True)
class PositionEmbedding:
    """E = std R^(1/2) e for a parameter e (*positions, channels) with independent entries.

    R(p, q) is the covariance between positions: 1 where p = q and 0 elsewhere, or exp(-|p - q|^2 / length^2).

    Attributes
    ----------
    joined : "sum" or "concat"
        Whether E is added to the channels of the inputs or put beside them.
    width : int, optional
        The number of channels of E beside the inputs; by default as many as the inputs have.
    std : float
    length : float, optional
    standard : bool
        The parameter has the standard deviation std, and std is no factor.
    trained : bool
        Whether the parameter contributes to Theta at infinite width.
    """

    joined: str
    width: int | None
    std: float
    length: float | None
    standard: bool
    trained: bool = True

    @property
    def scale(self) -> float:
        """The factor in front of the parameter."""
        return 1.0 if self.standard else self.std

    def channels(self, inputs: int) -> int:
        """The number of channels of E for inputs with so many."""
        return inputs if self.width is None else self.width

    def seen(self, inputs: int) -> int:
        """The number of channels of inputs and E together."""
        return inputs if self.joined == "sum" else inputs + self.channels(inputs)

    def parameter(self, positions: tuple[int, ...], inputs: int) -> Parameter:
        """e."""
        return Parameter((*positions, self.channels(inputs)), self.std if self.standard else 1.0)

    def covariance(self, positions: tuple[int, ...]) -> np.ndarray:
        """R (P, P), on the host."""
        return reduce(np.kron, [self._along(n) for n in positions])

    def _along(self, n: int) -> np.ndarray:
        """R between positions along one axis; that of several axes is the product."""
        if self.length is None:
            return np.eye(n)
        place = np.arange(float(n)) / self.length
        return np.exp(-((place[:, None] - place[None, :]) ** 2))

    def _root(self, like: Array, positions: tuple[int, ...]) -> Array:
        """The symmetric root of R (P, P), in the home of an array."""
        roots = []
        for n in positions:
            values, vectors = np.linalg.eigh(self._along(n))
            roots.append((vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T)
        return home(like).asarray(reduce(np.kron, roots))

    # ---- the finite network -------------------------------------------------------------------------------------

    def joined_to(self, x: Array, e: Array) -> Array:
        """Inputs (N, P, n) with E. It is linear in both, so that it maps changes too."""
        xp, positions = home(x).xp, tuple(e.shape[:-1])
        embedding = self.scale * xp.reshape(e, (-1, e.shape[-1]))
        if self.length is not None:
            embedding = self._root(e, positions) @ embedding
        if self.joined == "sum":
            return x + embedding
        return xp.concat([x, xp.broadcast_to(embedding, (x.shape[0], *embedding.shape))], axis=-1)

    def pulled_back(self, delta: Array, positions: tuple[int, ...], inputs: int) -> tuple[Array, Array]:
        """Cotangents of x (N, C, P, n) and of e (N, C, *positions, channels), from those of the two together."""
        own = shared = delta
        if self.joined == "concat":
            own, shared = delta[..., :inputs], delta[..., inputs:]
        shared = self.scale * shared
        if self.length is not None:
            shared = self._root(delta, positions) @ shared
        return own, home(delta).xp.reshape(shared, (*delta.shape[:2], *positions, shared.shape[-1]))

    # ---- infinite width -------------------------------------------------------------------------------------------

    def shares(self, inputs: int) -> tuple[float, float]:
        """The factors of the covariances of inputs and of E in those of the two together, which are means."""
        if self.joined == "sum":
            return 1.0, 1.0
        total = self.seen(inputs)
        return inputs / total, self.channels(inputs) / total

    def within(self, k: Array, positions: tuple[int, ...], inputs: int) -> Array:
        """Covariances (N, P, P) within each input, of inputs and E together."""
        own, share = self.shares(inputs)
        return own * k + home(k).asarray(share * self.std**2 * self.covariance(positions))

    def of_state(self, state: Covariance, positions: tuple[int, ...], inputs: int) -> Covariance:
        """The state of inputs and E together, for every pair of positions. Variances are left out."""
        (own, share), place, frame = self.shares(inputs), home(state.k12), state.frame
        shape = (1, *positions, 1, *positions) if frame.blocks else (1, *positions, *positions)
        r = place.xp.reshape(place.asarray(share * self.covariance(positions)), shape)
        k12 = own * state.k12 + self.std**2 * r
        ntk = None if state.ntk is None else own * state.ntk
        after = Covariance(k12, k12, k12, ntk, frame=frame)
        return after.learned(self.scale**2 * r) if self.trained else after

    def of_change(self, change: Covariance, inputs: int) -> Covariance:
        """How that state changes with that of the inputs."""
        return change.bare().stretched(self.shares(inputs)[0])
