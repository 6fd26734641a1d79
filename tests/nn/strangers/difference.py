"""A combinator: the difference of two networks on the same inputs."""

from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.signal import Signal
from ntk_array.nn.branches import Branches


class Difference(Branches):
    """f_1(x) - f_2(x). At infinite width the covariances and the NTKs of centred branches add up."""

    def join(self, outputs):
        return outputs[0] - outputs[1]

    def split(self, outputs, delta):
        return [delta, -delta]

    def join_tangents(self, outputs, changes):
        return changes[0] - changes[1]

    def join_signals(self, signals):
        one, two = signals
        if one.shape != two.shape:
            raise ValueError(f"the branches of Difference have outputs of shapes {one.shape} and {two.shape}")
        return Signal(
            one.shape,
            gaussian=one.gaussian and two.gaussian,
            centred=one.centred and two.centred,
            degree=one.degree if one.degree == two.degree else None,
            obstacle=None if one.centred and two.centred else "Difference needs branches that end in a Dense layer",
        )

    def limit(self, states, signals):
        return Covariance.total(states)

    def limit_change(self, states, changes, signals, direction):
        return Covariance.total(changes)
