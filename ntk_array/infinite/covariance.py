"""The state that travels through the layers of an infinitely wide network."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .._array.linalg import with_diagonal
from .._array.namespace import Array, home
from .angle import sine_of_inputs

__all__ = ["Covariance", "Direction", "Inputs"]


class Inputs(NamedTuple):
    """What covariances with other batches need of a batch x (N, d).

    Attributes
    ----------
    scaled : array (N, d)
        x / sqrt(d).
    variance : array (N, 1)
        |x|^2 / d.
    """

    scaled: Array
    variance: Array

    @classmethod
    def of(cls, x: Array) -> "Inputs":
        """Of a batch (N, d)."""
        scaled = x / x.shape[1] ** 0.5
        return cls(scaled, home(x).xp.sum(scaled * scaled, axis=1, keepdims=True))


class Direction(NamedTuple):
    """A direction in which hyper-parameters change: factors common to the weight_std and the bias_std of all layers.

    A derivative along it is d/de where every weight_std is multiplied by exp(e * log_weight_std), every bias_std by
    exp(e * log_bias_std).
    """

    log_weight_std: float = 0.0
    log_bias_std: float = 0.0


@dataclass(frozen=True)
class Covariance:
    """Covariances (NNGP) and neural tangent kernel between two batches, at one layer.

    Attributes
    ----------
    k12, ntk : array (N1, N2)
        Covariance and NTK between the batches; (N,) for the pairs (x_i, x_i) of one batch. ``ntk`` is None
        where only the NNGP is wanted.
    k11, k22 : array (N1, 1), (1, N2)
        Variances of each batch; (N,) for pairs.
    width : int
        Features of the finite network here: the standard parameterization needs it.
    gaussian : bool
        Whether the layer's values are a Gaussian process, which is what activations need.
    quadrature_error : float
        The largest estimated relative error of a numerical dual activation so far; 0.0 for closed forms.
    sine : array of the shape of k12, optional
        The sine of the angle between the two, where it is known better than from its cosine: see :mod:`.angle`.
    """

    k12: Array
    k11: Array
    k22: Array
    ntk: Array | None
    width: int
    gaussian: bool = False
    quadrature_error: float = 0.0
    sine: Array | None = None

    @classmethod
    def between(cls, one: Inputs, two: Inputs | None, *, ntk: bool) -> "Covariance":
        """Of inputs (N1, d) and (N2, d): <x, x'> / d. The inputs are fixed: their NTK is zero.

        None means that both are the same batch: the diagonal of k12 is then k11 to the last bit, so that the angle
        there is exactly 0.
        """
        other = one if two is None else two
        k12 = one.scaled @ other.scaled.T
        k12 = with_diagonal(k12, one.variance[:, 0]) if two is None else k12
        zeros = home(k12).xp.zeros_like(k12) if ntk else None
        sine = sine_of_inputs(one, two, k12)
        return cls(k12, one.variance, other.variance.T, zeros, one.scaled.shape[1], sine=sine)

    @classmethod
    def of_pairs(cls, one: Inputs, *, ntk: bool) -> "Covariance":
        """Of each input with itself."""
        k = one.variance[:, 0]
        zeros = home(k).xp.zeros_like(k)
        return cls(k, k, k, zeros if ntk else None, one.scaled.shape[1], sine=zeros)

    def pairs(self, k: Array) -> "Covariance":
        """A state of inputs with themselves, of variances k of any shape."""
        flat = home(k).xp.reshape(k, (-1,))
        return self.to(k12=flat, k11=flat, k22=flat, ntk=None, sine=home(k).xp.zeros_like(flat))

    def unchanging(self) -> "Covariance":
        """The derivative of a state that depends on nothing: zeros."""
        zeros = home(self.k12).xp.zeros_like
        ntk = None if self.ntk is None else zeros(self.ntk)
        return self.to(k12=zeros(self.k12), k11=zeros(self.k11), k22=zeros(self.k22), ntk=ntk)

    def to(self, **changes: Any) -> "Covariance":
        """A copy with some attributes changed."""
        return replace(self, **changes)
