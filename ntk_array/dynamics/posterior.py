"""The posterior of a Gaussian process, in the units in which targets are fitted."""

from dataclasses import dataclass

from .._array.kinds import stack_block, unstack_block, unstack_diagonal
from .._array.linalg import mirror
from .._array.namespace import Array, home
from ..solve.factor import Factorization
from ..solve.kernel_matrix import KernelMatrix
from ..solve.operator import GramOperator
from .gaussian import room_for_covariance
from .noise import Noise
from .problem import KernelProblem

__all__ = ["Posterior"]


@dataclass(frozen=True)
class Posterior:
    """The distribution of f at new inputs, or at the sample X where these are None, for S = K(X, X) + D.

    Parameters
    ----------
    problem : KernelProblem
        K, X and the prior mean f_0.
    prior : GramOperator
        K(X, X).
    noise : Noise
        D.
    factor : Factorization
        Of S.
    """

    problem: KernelProblem
    prior: GramOperator
    noise: Noise
    factor: Factorization

    def mean(self, x_new: Array | None, y: Array, alpha: Array, memory: str | int) -> Array:
        """(M, C) for targets y (N, C), where alpha (B, n, k) is S^{-1} (y - f_0)."""
        # K(x, X) (S^{-1} y), not half(c)^T half(y): that would divide the rounding of half(c) by small eigenvalues.
        start = self.problem.start(x_new)
        if x_new is not None:
            return start + self.problem.unstack(self.problem.products(x_new, alpha, memory))
        fitted = self.factor.fitted(self.problem.residual(y), alpha)
        if self.noise.above is not None:
            fitted = fitted - self.noise.above[:, None] * alpha
        return start + self.problem.unstack(fitted)

    def covariance(self, x_new: Array | None) -> Array:
        """(M, M), (C, M, M) or (M, C, M, C), exactly symmetric."""
        problem, kind, outputs = self.problem, self.problem.kind, self._outputs
        x, n = problem.p_in.x, len(problem.p_in)
        m = n if x_new is None else x_new.shape[0]
        each, stack = outputs if kind == "full" else 1, outputs if kind == "classwise" else 1
        room_for_covariance(x, each * m, each * n, stack=stack)
        if x_new is None:
            prior = self.prior.array()
            explained = self.factor.quadratic_of_gram() if self.noise.above is None else self.factor.quadratic(prior)
        else:
            prior = stack_block(kind, problem.kernel(x_new))
            explained = self.factor.quadratic(home(x).xp.matrix_transpose(problem.cross(x_new)))
        return unstack_block(kind, mirror(prior - explained), outputs)

    def variance(self, x_new: Array | None, memory: str | int) -> Array:
        """(M,), or (M, C) where outputs have their own; never negative."""
        problem, xp = self.problem, home(self.problem.p_in.x).xp
        if x_new is None:
            prior = self.prior.diagonal()
            explained = self.factor.quadratic_diagonal(self.prior.array())
        else:
            prior, parts = KernelMatrix(problem.kernel, x_new).diagonal(), []
            for cut in problem.cuts(x_new, memory, blocks=2):
                cross = xp.matrix_transpose(problem.cross(x_new[cut, ...]))
                parts.append(self.factor.quadratic_diagonal(cross))
            explained = xp.concat(parts, axis=-1)
        return unstack_diagonal(problem.kind, xp.clip(prior - explained, min=0.0), self._outputs)

    @property
    def _outputs(self) -> int:
        return int(self.problem.initial.shape[1])
