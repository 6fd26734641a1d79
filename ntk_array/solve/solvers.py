"""Solvers by their words, and linear systems for users."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from .._array.namespace import Array
from .._array.validate import finite, inputs, real_array, same_home
from ..gram.store import Store
from ..gram.tiled import Tiled
from .cholesky import REGULAR, Cholesky, CholeskyFactor
from .conjugate_gradient import ConjugateGradient
from .factor import Factorization, Solution, Solver
from .lanczos import Lanczos
from .low_rank import LowRank
from .operator import GramOperator, Matrix
from .ridge import Ridge, absolute_ridge
from .spectrum import Spectral
from .stored import StoredMatrix

__all__ = ["Direct", "solve", "solver_of"]


@dataclass(frozen=True)
class Direct:
    """The default: a Cholesky factor where a ridge makes S regular, and the spectrum everywhere else.

    Without a ridge the kernel matrix may be singular to rounding. Its spectrum shows that, and gives the solution of
    minimum norm. With a ridge a Cholesky factor is as exact and about ten times as fast; where there is none, or its
    condition number is above 1 / (4 eps), the ridge is of the size of rounding and the spectrum is taken too. The
    result says which one ran.
    """

    matrix_free: ClassVar[bool] = False

    def matrices(self, ridge: float) -> float:
        return (Cholesky() if ridge > 0.0 else Spectral()).matrices(ridge)

    def factor(self, operator: GramOperator, ridge: float) -> Factorization:
        if ridge > 0.0:
            try:
                factor: CholeskyFactor | None = CholeskyFactor(operator, ridge)
            except np.linalg.LinAlgError:
                factor = None
            if factor is not None and REGULAR * operator.home.eps * factor.condition < 1.0:
                return factor
            del factor  # its memory is needed
        return Spectral().factor(operator, ridge)


WORDS: dict[str, Any] = {
    "direct": Direct,
    "cholesky": Cholesky,
    "spectrum": Spectral,
    "conjugate_gradient": ConjugateGradient,
    "lanczos": Lanczos,
    "low_rank": LowRank,
}


def solver_of(solver: Any) -> Solver:
    """The solver that a word stands for, or that an object is."""
    if isinstance(solver, str) and solver in WORDS:
        solver = WORDS[solver]()
    if isinstance(solver, tuple(WORDS.values())):
        found: Solver = cast(Solver, solver)
        return found
    words = ", ".join(f'"{word}"' for word in WORDS)
    raise ValueError(f"solver must be one of {words}, or an object such as ntk_array.solve.Cholesky(), got {solver!r}")


def solve(a: Any, b: Array, *, ridge: Ridge = 0.0, solver: Any = "direct") -> Solution:
    """The solution of (A + ridge I) x = b for a symmetric positive semidefinite matrix A, and how exact it is.

    Parameters
    ----------
    a : array (n, n), store or operator
        A Gram matrix; one on disk (:func:`ntk_array.gram.open`); or a kernel with its inputs,
        :class:`KernelMatrix`.
    b : array (n,) or (n, k)
        Right-hand sides.
    ridge : float or TimesMeanDiagonal
        At least 0.
    solver : str or solver
        "direct" (a Cholesky factor if there is a ridge, else the spectrum), "cholesky", "spectrum",
        "conjugate_gradient", "lanczos", or "low_rank" for kernels of explicit features; or one of the classes of this
        module with its options.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the method finds that A + ridge I is not positive semidefinite, or not definite where it has to be.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> gram = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))(x)
    >>> found = ntk.solve.solve(gram, x[:, 0], ridge=0.1)
    >>> found.solver, found.backward_error < 1e-15, bool(np.allclose(gram @ found.x + 0.1 * found.x, x[:, 0]))
    ('cholesky', True, True)
    """
    if isinstance(a, Tiled):
        raise TypeError(f"{a!r} is a kernel: give its matrix, or ntk_array.solve.KernelMatrix(kernel, x)")
    if isinstance(a, Store):
        a = StoredMatrix(a)
    if isinstance(a, GramOperator):
        operator, like = a, None
    else:
        a = like = inputs("a", a)
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ValueError(f"a has shape {tuple(a.shape)}; a Gram matrix is (n, n)")
        operator = Matrix(a[None, ...])
    b = finite("b", real_array("b", b, like=like))
    if like is not None:
        same_home(a=a, b=b)
    if b.ndim not in (1, 2) or b.shape[0] != operator.shape[1]:
        raise ValueError(f"b has shape {tuple(b.shape)}; expected ({operator.shape[1]},) or ({operator.shape[1]}, k)")
    factor = solver_of(solver).factor(operator, absolute_ridge("ridge", ridge, lambda: operator))
    columns = b[:, None] if b.ndim == 1 else b
    found = factor.solution(columns[None, ...])
    factor.warn("ridge")
    x = found.x[0, ...]
    return found.with_x(x[:, 0] if b.ndim == 1 else x)
