"""An activation with its dual in closed form."""

from ntk_array._array.namespace import home
from ntk_array.infinite.dual import Dual
from ntk_array.nn.activations.base import ClosedForm


class Square(ClosedForm):
    """phi(x) = x^2, with E[u^2 v^2] = k11 k22 + 2 k12^2 by Isserlis' theorem."""

    homogeneity = 2.0
    even = True

    def function(self, xp, x):
        return x * x

    def derivative(self, xp, x):
        return 2.0 * x

    def dual(self, state):
        return Dual(state.k11 * state.k22 + 2.0 * state.k12 * state.k12, 4.0 * state.k12)

    def dual_tangent(self, state, change):
        moved = change.k11 * state.k22 + state.k11 * change.k22 + 4.0 * state.k12 * change.k12
        return Dual(moved, 4.0 * change.k12)

    def mean(self, k):
        return k, home(k).xp.ones_like(k)
