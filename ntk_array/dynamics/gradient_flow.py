"""Training by gradient flow: in closed form for the squared error, by integration for every other cost."""

import copy
import math
from collections.abc import Callable
from typing import Any

from .._array.namespace import Array, home
from .._array.short import short_repr
from .._array.validate import nonnegative, time_points
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel
from ..solve.factor import Solution
from ..solve.ridge import Ridge
from ..solve.spectrum import Spectrum
from .heavy_ball import HeavyBall, IntegratedHeavyBall
from .leave_one_out import LeaveOneOut, leave_one_out_of
from .ode import IntegratedFlow
from .spectral_flow import SpectralFlow
from .state import FlowState

__all__ = ["GradientFlow"]


class GradientFlow:
    """Kernel gradient flow of a cost, d/dt f_t = -grad_K C|_{f_t}; with friction, the heavy ball.

    For the squared error it is in closed form at any time. With S = Theta + ridge I over the N training points,
    C(f) = (1/N) sum ||f(x_i) - y_i||^2 and phi_t(s) = (1 - exp(-2 t s / N)) / s (another convention of
    :class:`~ntk_array.function_space.SquaredError`, c times that, has c t in place of t),

        f_t(x) = f_0(x) + Theta(x, X) phi_t(S) (y - f_0(X))

    (Jacot et al. 2018, section 5; Lee et al. 2019, eq. 8 and 9). At t = inf it is kernel regression. The kernel matrix
    is computed at construction, and S is factored when a prediction first needs it.

    For every other cost N x C coefficients are integrated in time, after which any test point follows without more
    integration:

        f_t(x) = f_0(x) + Theta(x, X) c(t),  d/dt c_i = -w_i d|_{f_t}(x_i) - (2 ridge / N) c_i,  c(0) = 0.

    With ``friction`` it is the heavy ball from rest, d^2/dt^2 f_t + friction d/dt f_t = -grad_K C|_{f_t} (Polyak 1964;
    Su, Boyd and Candes 2016). :class:`GradientDescent` with step eta and momentum m follows it to first order in
    sqrt(eta), with friction = (1 - m) / sqrt(eta), at t = k sqrt(eta).

    Parameters
    ----------
    kernel : Kernel
        Theta. A kernel (N, N) is the same for every output; "classwise" is C flows; "full" couples the outputs.
    cost : Cost
        The sample, its weights and the targets.
    f0 : callable or array (N, C) or (N,), optional
        The function at t = 0, such as ``net.bind(params)``, or its values on the sample where no new inputs are asked
        for. None is the centred network, f_0 = 0.
    ridge : float or TimesMeanDiagonal
        Added to the kernel. For every cost it is weight decay (rho/2) ||theta - theta_0||^2 with ridge = rho N / 2. In
        another convention of the squared error ridge = rho N / (2 c), so that the limit depends on the ridge and not
        on the convention.
    solver : str or solver
        For the squared error. "direct" takes the spectrum for finite times and wherever there is no ridge, and a
        Cholesky factor for the limit t = inf with a ridge; see :class:`ntk_array.solve.Direct`. "spectrum" is for all
        times, "lanczos" needs nothing but products with the kernel matrix, "cholesky" and "conjugate_gradient" are for
        the limit alone. Or one of the classes of :mod:`ntk_array.solve` with its options.
    friction : float, optional
        Of the heavy ball. With 0 it oscillates forever and has no limit. None is gradient flow.

    Attributes
    ----------
    kernel, cost, f0, ridge, friction
        The arguments.
    solver : SpectralFlow or IntegratedFlow
        The solver: in closed form for the squared error, by integration for every other cost.
    spectrum : Spectrum
        Squared error only: eigenvalues of the weighted kernel matrix, its rank, condition number and the cut-off.
    solved : Solution
        Squared error only: the coefficients of the limit t = inf, and how exact they are.

    Notes
    -----
    A direction whose eigenvalue is below the cut-off of the spectrum, 4 eps lambda_max, cannot be told from a null
    direction. In a null direction a positive semidefinite kernel changes no prediction, on the sample or off it. At
    short times such a direction is kept, because its error is small. It is left out once 2 t / N times the cut-off is
    above sqrt(eps), or above 1 / 4 where eigenvalues fall to the cut-off without a gap, so that the limit is the
    solution of minimum norm. A ridge above 1/64 of the cut-off resolves all directions; with a smaller one it warns.

    The integration is by LSODA (Petzold 1983, in SciPy), stiff or not, with a relative tolerance of eps^(2/3): 4e-11 in
    float64. Coefficients lie on the host in float64; all else is computed where the data lie, in their dtype, and the
    kernel matrix is kept. Where the problem is stiff, LSODA forms and factors (N C)^2 numbers on the host many times,
    which suits N C up to a few thousand. A cost whose derivative jumps, such as an absolute error, is slow to integrate
    near its minimum.

    Without friction, rounding of an eigenvalue s turns its direction by about eps t sqrt(2 / (N s)) lambda_max: small
    eigenvalues lose their phase first. Times at which the dtype cannot tell that of the largest one are refused.

    A flow remembers nothing between calls. To continue from a time that was reached, keep the :class:`FlowState` that
    :meth:`advance` and :meth:`until` return, and pass it as ``start``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the kernel matrix is not positive semidefinite: when it is first factored (squared error), or at once.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> rng = np.random.default_rng(0)
    >>> x, x_new = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    >>> p_in, K = ntk.function_space.EmpiricalMeasure(x), ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
    >>> flow = ntk.dynamics.GradientFlow(K, ntk.function_space.SquaredError(p_in, np.sin(x[:, 0])))
    >>> flow.predict(x_new).shape, flow.predict(x_new, t=[1.0, 10.0, 100.0]).shape
    ((5,), (3, 5))
    >>> bool(np.allclose(flow.predict(), np.sin(x[:, 0])))
    True
    >>> ball = ntk.dynamics.GradientFlow(K, flow.cost, friction=0.2)
    >>> descent = ntk.dynamics.GradientDescent(K, flow.cost, step=0.05**2, momentum=1 - 0.2 * 0.05)
    >>> bool(np.allclose(ball.predict(x_new, t=5.0), descent.predict(x_new, k=100), atol=0.05))
    True

    Another cost, and a flow that continues from a state:

    >>> flow = ntk.dynamics.GradientFlow(K, ntk.function_space.CrossEntropy(p_in, np.arange(20) % 3))
    >>> state = flow.until(cost=0.5, longest=1e4)
    >>> later = flow.advance(2 * state.time, start=state)
    >>> bool(np.allclose(flow.predict(x_new, t=later.time, start=later), flow.predict(x_new, t=later.time)))
    True
    """

    __repr__ = short_repr

    def __init__(
        self,
        kernel: Kernel,
        cost: Cost,
        f0: Callable[[Array], Array] | None = None,
        ridge: Ridge = 0.0,
        solver: Any = "direct",
        friction: float | None = None,
    ) -> None:
        self.friction = None if friction is None else nonnegative("friction", friction)
        self.kernel, self.cost, self.f0 = kernel, cost, f0
        self.solver: SpectralFlow | IntegratedFlow
        if isinstance(cost, SquaredError):
            closed = (kernel, cost, f0, ridge, solver)
            self.solver = SpectralFlow(*closed) if self.friction is None else HeavyBall(*closed, self.friction)
        elif solver != "direct":
            raise ValueError(f"solver={solver!r} is for the squared error; {cost!r} is integrated in time")
        elif self.friction is None:
            self.solver = IntegratedFlow(kernel, cost, f0, ridge)
        else:
            self.solver = IntegratedHeavyBall(kernel, cost, f0, ridge, self.friction)

    @property
    def ridge(self) -> float:
        """The number added to the kernel."""
        return self.solver.ridge

    @property
    def spectrum(self) -> Spectrum:
        """The spectrum of the kernel matrix, where the flow is in closed form."""
        return self._closed(AttributeError, "the flow of {} is integrated and has no spectrum").solution.spectrum

    @property
    def solved(self) -> Solution:
        """How the limit t = inf was solved: by which method, how exact it is, its condition number and rank.

        AttributeError where the cost is not the squared error.
        """
        problem = "the flow of {} is integrated: no linear system is solved"
        return self._closed(AttributeError, problem).settled().limit

    def predict(
        self,
        x_new: Array | None = None,
        t: Any = math.inf,
        start: FlowState | None = None,
        *,
        memory: str | int = "1 GiB",
    ) -> Array:
        """f_t at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        t : float or sequence of float
            Times of d/dt f = -grad_K C, from 0 to inf (squared error) or finite. Gradient descent with step eta is at
            t = eta k. Several times take one integration.
        start : FlowState, optional
            A state of this flow to continue from; times must not lie before it.
        memory : str or int
            What kernel values of new inputs with the sample may take; new inputs come in blocks that fit.

        Returns
        -------
        array
            (M, C), or (T, M, C) for T times; without the last axis where the targets were (N,).

        Raises
        ------
        ValueError
            For t = inf where the cost is not the squared error: its limit need not exist.
        """
        times = time_points(t)
        flat = times.ravel().tolist()
        flows = self.solver.functions(x_new, self.solver.path(flat, self._checked(start)), memory)
        for factor in self.solver.doubtful(flat):
            factor.warn("ridge")
        return home(self.cost.y).xp.stack(flows) if times.ndim else flows[0]

    def advance(self, t: float, start: FlowState | None = None) -> FlowState:
        """The state at time t, to start from later; from t = 0 unless a state is given."""
        times = time_points(t)
        if times.ndim:
            raise ValueError(f"t must be one time, got {t!r}")
        return self.solver.path([float(times)], self._checked(start))[0]

    def until(self, cost: float, longest: float, start: FlowState | None = None) -> FlowState:
        """The state at the first time at which C(f_t) is at most ``cost``.

        With a ridge or friction C(f_t) may rise again. If it falls below ``cost`` for a short while only, that crossing
        may be missed: with friction, for less than 1/16 of the shortest period.

        Parameters
        ----------
        cost : float
            The value of the cost to stop at.
        longest : float
            The time by which the cost must have fallen so far.
        start : FlowState, optional
            A state of this flow to continue from.

        Raises
        ------
        ValueError
            If the cost is still larger at t = longest.
        """
        return self.solver.until(nonnegative("cost", cost), nonnegative("longest", longest), self._checked(start))

    def leave_one_out(self) -> LeaveOneOut:
        """The prediction of each target by the limit t = inf of the flow on all the others, without a refit.

        With S = Theta + ridge I and alpha = S^{-1} (y - f_0), the residual of point i is [S^{-1}]_ii^{-1} alpha_i; for
        a full kernel [S^{-1}]_ii is a C x C block. The refits have the same f_0 and the same ridge. A refit has N - 1
        points, so that its weight decay rho is larger: N rho is the same.

        Returns
        -------
        LeaveOneOut
            ``mean`` and ``residual`` (N, C), or (N,) where the targets were (N,); no variance.

        Raises
        ------
        TypeError
            If the cost is not the squared error: its limit is not linear in the targets.
        ValueError
            If the sample has weights.
        numpy.linalg.LinAlgError
            If S is singular: the formula would divide zero by zero.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> p_in, K = ntk.function_space.EmpiricalMeasure(x), ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
        >>> flow = ntk.dynamics.GradientFlow(K, ntk.function_space.SquaredError(p_in, np.sin(x[:, 0])), ridge=0.1)
        >>> left_out = flow.leave_one_out()
        >>> left_out.residual.shape, bool(left_out.error > flow.cost(flow.predict()))
        ((20,), True)
        """
        problem = "leave-one-out has a closed form for SquaredError only, got {}: refit"
        return leave_one_out_of(self._closed(TypeError, problem).settled())

    def with_ridge(self, ridge: Ridge) -> "GradientFlow":
        """The same flow with another ridge, from the same kernel matrix or eigendecomposition."""
        other = copy.copy(self)
        other.solver = self.solver.with_ridge(ridge)
        return other

    def with_solver(self, solver: Any) -> "GradientFlow":
        """The same flow by another solver, from the same kernel matrix.

        TypeError if the cost is not the squared error: its flow is integrated.
        """
        closed = self._closed(TypeError, "solvers are for SquaredError only, got {}: its flow is integrated")
        other = copy.copy(self)
        other.solver = closed.with_solver(solver)
        return other

    def _closed(self, error: type[Exception], problem: str) -> SpectralFlow:
        """The solver, if the flow is in closed form; an error that names the cost if not."""
        if isinstance(self.solver, SpectralFlow):
            return self.solver
        raise error(problem.format(type(self.cost).__name__))

    def _checked(self, start: FlowState | None) -> FlowState | None:
        moving = isinstance(self.solver, IntegratedHeavyBall)
        if start is not None and (
            not isinstance(start, FlowState)
            or start.coefficients.shape != self.cost.y.shape
            or (start.velocities is not None) != moving
        ):
            raise TypeError(f"start must be a FlowState of this flow, from advance or until, got {start!r}")
        return start
