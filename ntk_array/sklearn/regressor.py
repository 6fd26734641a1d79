"""Regression."""

from typing import Any, Self

from sklearn.base import RegressorMixin

from .._array.namespace import Array, home
from ..dynamics.gaussian_process import GaussianProcess
from .estimator import KernelEstimator, moved

__all__ = ["NTKRegressor"]


NOT_PICKLED = "_uncertainty"
"""A factorisation of N^2 numbers, which is made again when it is asked for."""


class NTKRegressor(RegressorMixin, KernelEstimator):  # type: ignore[misc]
    """Kernel regression with the neural tangent kernel of an infinitely wide network.

    The prediction is that of the network itself after training by gradient flow for the time t, averaged over
    initializations: kernel regression f(x) = m + K(x, X) (K(X, X) + ridge I)^{-1} (y - m) at t = inf, for the means m
    of the targets (Jacot et al. 2018, section 5; Arora et al. 2020).

    Features are taken as they come: the network sees their scales. Standardise them before, as in
    ``make_pipeline(StandardScaler(), NTKRegressor())``.

    Parameters
    ----------
    kernel : "ntk" or "nngp"
        Of training all layers, or the last layer alone (which is Bayesian inference with the network as the prior).
    depth : int
        Hidden layers of the perceptron.
    activation : str or Activation
        Of the perceptron: a name such as "relu", "gelu", "erf", or a layer of :mod:`ntk_array.nn`.
    weight_std, bias_std : float
        Standard deviations of weights and biases of the perceptron, in the NTK parameterization; 0.0 for no biases.
    network : Layer, optional
        Any network of :mod:`ntk_array.nn` in place of the perceptron; the four options above are not read then. Inputs
        may have more than two axes, as images have. Its widths and its number of outputs do not matter.
    ridge : float, TimesMeanDiagonal, "leave_one_out" or "marginal_likelihood"
        What is added to the diagonal of the kernel matrix; as a multiple of the mean diagonal with
        :class:`ntk_array.solve.TimesMeanDiagonal`. A word chooses it: by the mean squared leave-one-out error,
        or by the marginal likelihood together with the scale, in closed form over the spectrum of one kernel matrix
        (Rasmussen and Williams 2006, eq. 5.12 and 5.8).
    t : float
        The time at which training is stopped: of d/dt f = -grad C with C(f) = (1/N) sum ||f(x_i) - y_i||^2. A finite
        time needs a number for the ridge, such as 0.0.
    solver : str or solver
        "direct", "cholesky", "spectrum", "conjugate_gradient", "lanczos" (for finite times), or an object of
        :mod:`ntk_array.solve` with its options. A ridge that is chosen takes the spectrum.
    memory : str or int
        What kernel values of new inputs may take in predictions.

    Attributes
    ----------
    kernel_ : Kernel
        K, of the options that it was fitted with.
    X_fit_ : array (N, ...)
        The training inputs, a copy.
    dual_coef_ : array (N, C)
        c of f(x) = offset_ + K(x, X) c.
    offset_ : array (C,)
        The means of the targets, m.
    ridge_ : float
        That was given or chosen.
    scale_ : float or None
        a of the Gaussian process with the covariance a^2 K and noise of the variance a^2 ridge_, which has these
        predictions for its mean: the scale for which the targets are most likely. None for a finite time.
    is_vector_ : bool
        Whether targets were (N,).
    n_features_in_ : int
    feature_names_in_ : array of str
        Where X is a data frame.

    Notes
    -----
    The kernel matrix takes N^2 numbers, its factorisation N^3 operations. A fitted model keeps the factorisation, for
    standard deviations; pickles and files leave it out. There are no sample weights: a sample
    weight of 2 and a repeated row differ in what is left out.

    With ``sklearn.set_config(array_api_dispatch=True)`` arrays of PyTorch, CuPy and JAX are computed on where they are.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from ntk_array.sklearn import NTKRegressor
    >>> x, x_new, y, y_new = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    >>> model = make_pipeline(StandardScaler(), NTKRegressor()).fit(x, y)
    >>> model.score(x_new, y_new) > 0.3
    True
    >>> mean, std = model.predict(x_new, return_std=True)
    >>> mean.shape, std.shape
    ((111,), (111,))
    """

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != NOT_PICKLED}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit targets (N,) or (N, C).

        Raises
        ------
        ValueError
            If an option is unknown, the ridge is to be chosen where that cannot be, or X and y do not fit together.
        numpy.linalg.LinAlgError
            If the solver finds no solution: K + ridge I is not positive definite.
        """
        x, y = self._validated(X, y, multi_output=True, y_numeric=True)
        y = moved(y, x)
        self.is_vector_ = y.ndim == 1
        self._uncertainty = self._fit(x, y[:, None] if self.is_vector_ else y).process
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions (M,) or (M, C), and with ``return_std`` their standard deviations, of the same shape.

        These are of the posterior of the Gaussian process with the covariance scale_^2 K and noise of the variance
        scale_^2 ridge_, the same for all outputs. The noise of a new observation is not in them: add its variance.

        Raises
        ------
        ValueError
            For standard deviations at a finite time (see :class:`ntk_array.dynamics.Ensemble` for these), or of a
            solver that gives none.
        """
        values = self._shaped(self._scores(X, "predict"))
        if not return_std:
            return values
        xp = home(values).xp
        predicted = self._process().predict(self._inputs(X, "predict"), "diagonal", memory=self.memory)
        std = self.scale_ * predicted.standard_deviation
        return values, std if self.is_vector_ else xp.broadcast_to(std[:, None], values.shape)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self.is_vector_ else values

    def _process(self) -> GaussianProcess:
        """The Gaussian process of unit scale. Variances do not depend on the targets."""
        if self.scale_ is None:
            raise ValueError(
                "standard deviations are those of the limit t = inf, and this model was fitted for a finite time: "
                "ntk_array.dynamics.Ensemble has those of training that is stopped early"
            )
        process: GaussianProcess | None = getattr(self, "_uncertainty", None)
        if process is None:
            x = self.X_fit_
            nothing = home(x).xp.zeros_like(self.dual_coef_)
            process = self._uncertainty = GaussianProcess(self.kernel_, x, nothing, self.ridge_, self.solver)
        return process
