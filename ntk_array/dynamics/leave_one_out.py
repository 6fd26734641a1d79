"""Leave-one-out in closed form: the prediction of each target by a kernel fitted to all others, without a refit."""

from typing import Any, NamedTuple

from .._array.kinds import unstack_diagonal
from .._array.namespace import Array, home
from .._array.short import short_repr
from ..solve.factor import Factorization
from .problem import KernelProblem
from .spectral import SpectralSolution

__all__ = ["LeaveOneOut", "error_derivative", "leave_one_out_of", "left_out_residual", "left_out_variance"]


class LeaveOneOut(NamedTuple):
    """The predictions of each target from all the others.

    Attributes
    ----------
    mean : array (N, C) or (N,)
        The prediction of y_i.
    residual : array (N, C) or (N,)
        y_i minus its prediction.
    variance : array (N,), optional
        Of y_i given the others, noise included; (N, C) where the outputs do not share a scalar kernel. None for a flow,
        which predicts no variance.
    """

    def __repr__(self) -> str:
        return short_repr(self)

    mean: Array
    residual: Array
    variance: Array | None = None

    @property
    def error(self) -> Array:
        """The mean squared residual, (1/N) sum_i ||y_i - mean_i||^2 as in the squared error; an array of no axes."""
        return home(self.residual).xp.sum(self.residual**2) / self.residual.shape[0]

    def plot(self, label: str | None = None, *, output: int = 0, ax: Any = None) -> Any:
        """Predictions over targets, as :func:`ntk_array.plotting.left_out`; returns the matplotlib Axes."""
        from .. import plotting

        return plotting.left_out(self, output, label, ax)


def leave_one_out_of(solution: SpectralSolution) -> LeaveOneOut:
    """That of the limit t = inf of a flow.

    ValueError if the sample has weights, numpy.linalg.LinAlgError if S is singular.
    """
    cost = solution.cost
    if not cost.p_in.uniform:
        raise ValueError(
            "leave-one-out has a closed form for equal weights only: those of the other points would change with "
            "each point left out; use EmpiricalMeasure(x) without weights, or refit"
        )
    factor = solution.limit_factor
    factor.refuse_singular("ridge", "leave-one-out has no closed form")
    # Equal weights make the weighted matrix the plain one, to which the formula applies.
    residual = left_out_residual(solution.problem, factor, factor.prepare(solution.residual))
    return LeaveOneOut(cost.shaped(cost.y - residual), cost.shaped(residual))


def left_out_residual(problem: KernelProblem, factor: Factorization, prepared: Array) -> Array:
    """y_i minus its prediction from the others, (N, C), for a regular S and the prepared residual y - f_0.

    It is [S^{-1}]_ii^{-1} [S^{-1} (y - f_0)]_i, where [.]_ii is a C x C block if the kernel couples the outputs: the
    block of S^{-1} is the inverse of the Schur complement, the covariance of point i given the others (Rasmussen and
    Williams 2006, eq. 5.12 and A.12).
    """
    alpha = factor.prepared_solve(prepared)
    if problem.kind != "full":
        return problem.unstack(alpha / factor.inverse_diagonal()[..., None])
    xp, outputs = home(alpha).xp, problem.initial.shape[1]
    blocks = factor.inverse_blocks(outputs)[0, ...]
    return xp.linalg.solve(blocks, xp.reshape(alpha, (-1, outputs, 1)))[..., 0]


def left_out_variance(problem: KernelProblem, factor: Factorization) -> Array:
    """The variance of each target given the others: the diagonal of [S^{-1}]_ii^{-1}."""
    outputs = problem.initial.shape[1]
    if problem.kind != "full":
        return unstack_diagonal(problem.kind, 1.0 / factor.inverse_diagonal(), outputs)
    xp = home(problem.initial).xp
    return xp.linalg.diagonal(xp.linalg.inv(factor.inverse_blocks(outputs)[0, ...]))


def error_derivative(inverse: Array, alpha: Array, change: Array) -> Array:
    """The derivative of ``LeaveOneOut.error`` of a scalar kernel, for a derivative ``change`` (n, n) of S.

    ``inverse`` is S^{-1} (n, n), and ``alpha`` is S^{-1} y (n, k). From dS^{-1} = -S^{-1} dS S^{-1}: with
    q = diag S^{-1}, the residual e = alpha / q has de = (d alpha - e dq) / q (Rasmussen and Williams 2006,
    section 5.4.2).
    """
    xp = home(inverse).xp
    moved = inverse @ change
    q = xp.linalg.diagonal(inverse)[:, None]
    residual = alpha / q
    dalpha = -(moved @ alpha)
    dq = -xp.sum(moved * inverse, axis=1)[:, None]  # the diagonal of -S^{-1} dS S^{-1}
    return 2.0 / inverse.shape[0] * xp.sum(residual * (dalpha - residual * dq) / q)
