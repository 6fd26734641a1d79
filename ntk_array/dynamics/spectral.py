"""What gradient flow and gradient descent share: along each eigenvector of the kernel the residual decays by itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from .._array.kinds import Kind, stack_block, stack_values, unstack_values
from .._array.namespace import Array, home
from ..function_space.cost import Cost, SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.spectrum import decompose
from .problem import KernelDynamics

__all__ = ["SpectralDynamics", "weight_root"]


class SpectralDynamics(KernelDynamics, ABC):
    """f(x) = f_0(x) + Theta(x, X) phi(S) (y - f_0(X)) for a function phi of the eigenvalues of S = Theta + ridge I.

    A subclass says what phi is at a time. S is diagonalized once, here, and never inverted.
    """

    def __init__(self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: float) -> None:
        super().__init__(kernel, cost, f0, ridge)
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the dynamics have a closed form for SquaredError only, got {type(cost).__name__}")
        xp = home(cost.y).xp
        residual = stack_values(kernel.kind, cost.y - self._initial)
        gram = self._gram()
        # With weights the dynamics are symmetric in the variables sqrt(N w_i) f(x_i).
        self._root = weight_root(kernel.kind, cost.p_in, cost.y.shape[1])
        if self._root is not None:
            gram = self._root * gram * xp.matrix_transpose(self._root)
            residual = self._root * residual
        self._rate = 2.0 * cost.factor / len(cost.p_in)
        self.spectrum = decompose(gram)
        self._coordinates = xp.matrix_transpose(self.spectrum.vectors) @ residual

    @abstractmethod
    def _phi(self, s: Array, time: float) -> Array:
        """phi of eigenvalues s of S, at one time."""

    @abstractmethod
    def _speed(self, time: float) -> float:
        """phi at s = 0, which is its largest value."""

    def _evolve(self, x_new: Array | None, times: Iterable[float]) -> list[Array]:
        """f at new inputs (the training points if None), one array a time."""
        kind, outputs = self.kernel.kind, self.cost.y.shape[1]
        features = self._features(x_new)
        start = self._initial if x_new is None else self._f0(x_new)
        return [
            self.cost.shaped(start + unstack_values(kind, features @ (self._filter(time) * self._coordinates), outputs))
            for time in times
        ]

    def _features(self, x_new: Array | None) -> Array:
        """Theta(x, X) times the eigenvectors, (B, rows, n), x the training points if None."""
        vectors, root = self.spectrum.vectors, self._root
        if x_new is None:
            features = vectors * self.spectrum.values[:, None, :]
            return features if root is None else features / root
        cross = stack_block(self.kernel.kind, self.kernel(x_new, self.cost.p_in.x))
        cross = cross if root is None else cross * home(cross).xp.matrix_transpose(root)
        return cross @ vectors

    def _filter(self, time: float) -> Array:
        """phi (B, n, 1), without the directions that rounding leaves unresolved once they would matter.

        Their share is noise of size eps lambda_max phi, and phi grows with time.
        """
        spectrum = self.spectrum
        xp, eps = home(spectrum.values).xp, home(spectrum.values).eps
        s = spectrum.values + self.ridge
        phi = self._phi(s, time)
        if self._speed(time) * max(spectrum.cutoff, 1e-300) > eps**0.5:
            phi = xp.where(s > spectrum.cutoff, phi, 0.0)
        return phi[..., None]


def weight_root(kind: Kind, p_in: EmpiricalMeasure, outputs: int) -> Array | None:
    """sqrt(N w_i) as (B, n, 1), None where all are 1."""
    if p_in.uniform:
        return None
    xp = home(p_in.x).xp
    columns = xp.broadcast_to(xp.sqrt(len(p_in) * p_in.column_weights), (len(p_in), outputs))
    return stack_values(kind, columns)[..., :1]
