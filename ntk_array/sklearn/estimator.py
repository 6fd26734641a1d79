"""What the regressor and the classifier share."""

import math
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import count, one_of, real_array, time_points, unmasked
from ..kernels.base import Kernel
from ..kernels.infinite import INFINITE_KERNELS
from ..nn.builders import mlp
from ..nn.layer import Layer
from ..solve.ridge import Ridge
from .function import KernelFunction, fitted

__all__ = ["KernelEstimator", "moved"]


class KernelEstimator(BaseEstimator):  # type: ignore[misc]
    """Kernel regression with the kernel of an infinitely wide network."""

    def __init__(
        self,
        *,
        kernel: str = "ntk",
        depth: int = 2,
        activation: Any = "relu",
        weight_std: float = 2**0.5,
        bias_std: float = 0.1,
        network: Layer | None = None,
        ridge: Ridge | str = "leave_one_out",
        t: float = math.inf,
        solver: Any = "direct",
        memory: str | int = "1 GiB",
    ) -> None:
        self.kernel = kernel
        self.depth = depth
        self.activation = activation
        self.weight_std = weight_std
        self.bias_std = bias_std
        self.network = network
        self.ridge = ridge
        self.t = t
        self.solver = solver
        self.memory = memory

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def save(self, path: Any) -> None:
        """Write the fitted estimator to one file without pickles; see :func:`ntk_array.sklearn.save`."""
        from .files import save

        save(path, self)

    def _network(self) -> Layer:
        if self.network is not None:
            return self.network
        return mlp(
            (1,) * count("depth", self.depth),
            1,
            activation=self.activation,
            weight_std=self.weight_std,
            bias_std=self.bias_std,
        )

    def built_kernel(self) -> Kernel:
        """K of the options as they are now; ``kernel_`` is that of the fit."""
        return INFINITE_KERNELS[one_of("kernel", self.kernel, tuple(INFINITE_KERNELS))](self._network())

    def _time(self) -> float:
        times = time_points(self.t)
        if times.ndim:
            raise ValueError(f"t must be one time, got {self.t!r}")
        return float(times)

    def _validated(self, x: Any, y: Any, **options: Any) -> tuple[Array, Any]:
        """Inputs and targets of fit, by scikit-learn's rules; networks of images take inputs of more axes."""
        # scikit-learn takes a masked array for a plain one.
        unmasked("X", x)
        unmasked("y", y)
        images = self.network is not None
        # Two rows or more: the ridge is chosen among predictions of each target by the others. A copy: predictions
        # need the inputs, which the caller may write into later.
        x, y = validate_data(self, x, y, allow_nd=images, ensure_min_samples=2, copy=True, **options)
        return real_array("X", x), y

    def _fit(self, x: Array, y: Array) -> KernelFunction:
        """Fit targets (N, C) and keep what predictions need."""
        function = fitted(self.built_kernel(), x, y, self.ridge, self._time(), self.solver)
        self.kernel_, self.X_fit_, self.dual_coef_ = function.kernel, function.x, function.coefficients
        self.offset_, self.scale_, self.ridge_ = function.offset, function.scale, function.ridge
        return function

    def fitted_function(self) -> KernelFunction:
        """f(x) = offset_ + K(x, X) c, a function of arrays."""
        return KernelFunction(self.kernel_, self.X_fit_, self.dual_coef_, self.offset_, self.ridge_, self.scale_)

    def _inputs(self, x: Any, method: str) -> Array:
        """New inputs, validated, in the library, dtype and device of those of fit."""
        check_is_fitted(self)
        unmasked("X", x)
        x = real_array("X", validate_data(self, x, reset=False, allow_nd=self.X_fit_.ndim > 2))
        here, new = home(self.X_fit_), home(x)
        if (new.xp, new.device) != (here.xp, here.device):
            raise ValueError(
                f"Inputs passed to {type(self).__name__}.{method}() must use the same namespace and the same device as "
                f"those passed to fit(): {here.xp.__name__} on {here.device}, got {new.xp.__name__} on {new.device}"
            )
        return new.xp.astype(x, here.dtype)

    def _scores(self, x: Any, method: str) -> Array:
        """f at new inputs, (M, C)."""
        x = self._inputs(x, method)
        return self.fitted_function()(x, self.memory)


def moved(y: Any, x: Array) -> Array:
    """Targets as floats of the library, dtype and device of x, from wherever they are."""
    here = home(x)
    if is_array(y) and (home(y).xp, home(y).device) == (here.xp, here.device):
        return here.xp.astype(y, here.dtype)
    return here.asarray(to_host(y) if is_array(y) else y)
