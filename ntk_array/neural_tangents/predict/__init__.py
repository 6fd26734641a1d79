"""Predictions of training, under the names of ``neural_tangents.predict``.

The loss of neural-tangents is 1/(2 N C) sum ||f - y||^2 (``SquaredError(convention="half_mean")`` here), and its time
``t`` counts steps: ``learning_rate * t`` is the time of :class:`ntk_array.dynamics.GradientFlow`. A kernel stands for
all outputs in ``trace_axes``.
"""

from .descent import gradient_descent_mse, max_learning_rate
from .ode import ODEState, gradient_descent
from .processes import Gaussian, gp_inference, gradient_descent_mse_ensemble

__all__ = [
    "Gaussian",
    "ODEState",
    "gp_inference",
    "gradient_descent",
    "gradient_descent_mse",
    "gradient_descent_mse_ensemble",
    "max_learning_rate",
]
