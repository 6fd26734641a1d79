"""Random features of infinitely wide networks, layer by layer."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

from .._array.namespace import Array, Home, home, itemsize
from .._array.random import Seed, normal, seed_sequence
from .._array.validate import count
from ..gram.tiled import Costs
from ..nn.activations import Activation
from ..nn.dense import Dense
from .features import Approximation
from .infinite import InfiniteNNGP, InfiniteNTK

__all__ = ["RandomFeatures"]


@dataclass(frozen=True, eq=False)
class RandomFeatures(Approximation):
    """Random features of the NNGP kernel or the NTK of an infinitely wide network of Dense layers and activations.

    Behind an activation phi, n random features sqrt(1/n) phi(w_i^T g(x)) with w_i ~ N(0, 1) stand for E[phi(u) phi(v)],
    where g are the features of the layer below: arc-cosine features for ReLU (Cho and Saul 2009). A Dense layer
    multiplies them by weight_std and appends bias_std. Those of the NTK follow its recursion (Zandieh, Han, Avron,
    Shoham, Kim, Shin 2021, "Scaling neural tangent kernels via sketching and random features"): the product with
    E[phi'(u) phi'(v)] of the kernel with features t(x) has the random features
    sqrt(1/n) (a_i^T t(x)) phi'(w_i^T g(x)) with a_i ~ N(0, 1), Gaussian projections where the paper has sketches.

    With one hidden layer the kernel of the features is an unbiased estimate. With more it has a bias of O(1/n). Errors
    fall as n^(-1/2): :meth:`estimated_error` says how large they are. Features cost no landmarks and no
    factorisation, but for one accuracy a :class:`Nystroem` approximation takes far fewer of them.

    Parameters
    ----------
    kernel : InfiniteNTK or InfiniteNNGP
        Of a sequence of Dense layers in the NTK parameterization and activations, on inputs (N, d).
    width : int
        n, the number of features behind each activation. The NTK of a network with hidden layers has 2 n features, and
        one more if the last layer has a bias; the NNGP kernel n, and one more.
    seed : int or numpy.random.Generator
        One seed gives the same features on every library.

    Raises
    ------
    TypeError
        If the kernel is no InfiniteNTK or InfiniteNNGP. For inputs with positions, other layers and the standard
        parameterization when features are computed.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))
    >>> near = ntk.RandomFeatures(K, width=1000, seed=0)
    >>> near.features(x).shape
    (100, 2001)
    >>> near.estimated_error(x) < 0.05
    True
    """

    kernel: InfiniteNTK | InfiniteNNGP
    width: int
    seed: Seed

    _draws: ClassVar[list[tuple[Array, Array | None]] | None] = None
    """What was drawn for inputs like those of a problem, in an instance for it."""

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, InfiniteNTK | InfiniteNNGP):
            raise TypeError(
                f"kernel must be an InfiniteNTK or an InfiniteNNGP, got {self.kernel!r}; Nystroem takes every kernel"
            )
        object.__setattr__(self, "width", count("width", self.width))
        # A Generator is advanced once, here: all features of one kernel belong together.
        object.__setattr__(self, "seed", seed_sequence(self.seed))

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """Inputs (N, d) of a network that has random features."""
        x1, x2 = self.kernel.validated(x1, x2)
        self._layers(x1)
        return x1, x2

    def _layers(self, x: Array) -> list[Dense | Activation]:
        """The layers, for inputs like x; TypeError where there is another."""
        steps = self.kernel.program_for(x).steps
        chain = all(step.sources == (place,) for place, step in enumerate(steps))
        layers = [step.layer for step in steps]
        for layer in layers:
            ours = isinstance(layer, Activation) or (isinstance(layer, Dense) and layer.parameterization == "ntk")
            if not ours or not chain or x.ndim != 2:
                raise TypeError(
                    "random features are known for sequences of Dense layers in the NTK parameterization and "
                    f"activations on inputs (N, d), not for {layer!r} on inputs {tuple(x.shape)}: take Nystroem.of"
                )
        return layers  # type: ignore[return-value]

    def _sizes(self, x: Array) -> Iterator[tuple[int, int]]:
        """The numbers of features of the NNGP kernel and of the NTK at every place, the inputs first."""
        size, tangent = int(x.shape[1]), 0
        yield size, tangent
        for layer in self._layers(x):
            if isinstance(layer, Dense):
                bias = int(layer.bias_std > 0)
                trained = ("weight" not in layer.frozen) * size + ("bias" not in layer.frozen) * bias
                size, tangent = size + bias, tangent + trained
            else:
                size, tangent = self.width, self.width if tangent else 0
            yield size, tangent

    def feature_count(self, x: Array) -> int:
        return list(self._sizes(x))[-1][int(self.kernel.is_ntk)]

    def specialized(self, x1: Array, x2: Array | None) -> "RandomFeatures":
        del x2
        other = copy(self)
        object.__setattr__(other, "_draws", self._drawn(x1))
        return other

    def _drawn(self, x: Array) -> list[tuple[Array, Array | None]]:
        """w and a for each activation, for inputs like x."""
        if self._draws is not None:
            return self._draws
        # Refuses a kernel that does not exist, such as the NTK of a function that jumps.
        self.kernel.block_diagonal(x[:1, ...])
        here, draws = home(x), []
        layers, streams = self._layers(x), seed_sequence(self.seed)
        for layer, (size, tangent) in zip(layers, self._sizes(x), strict=False):
            if isinstance(layer, Activation):
                one, two = streams.spawn(2)
                weights = here.asarray(normal(one, size, self.width))
                draws.append((weights, self._projections(here, two, tangent)))
        return draws

    def _projections(self, here: Home, seeds: Any, tangent: int) -> Array | None:
        return here.asarray(normal(seeds, tangent, self.width)) if self.kernel.is_ntk and tangent else None

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Features, and those of the layers before the last."""
        own = super().costs(x1, x2)
        return Costs(own.home, 1, own.entry, own.input + 4 * self.width * itemsize(own.home))

    def feature_rows(self, x: Array) -> Array:
        here, draws = home(x), iter(self._drawn(x))
        features, tangent = x / x.shape[1] ** 0.5, None
        for layer in self._layers(x):
            if isinstance(layer, Dense):
                features, tangent = _through_dense(layer, features, tangent)
                continue
            weights, projections = next(draws)
            value, slope = layer.value_and_derivative(here.xp, features @ weights)
            if projections is not None:
                tangent = (tangent @ projections) * slope / self.width**0.5
            features = value / self.width**0.5
        return tangent if self.kernel.is_ntk else features


def _through_dense(layer: Dense, features: Array, tangent: Array | None) -> tuple[Array, Array | None]:
    """K -> weight_std^2 K + bias_std^2 and Theta -> what is trained of that + weight_std^2 Theta, in features."""
    xp = home(features).xp
    weight = layer.weight_std * features
    parts = {"weight": weight}
    if layer.bias_std:
        parts["bias"] = xp.full_like(features[:, :1], layer.bias_std)
    learned = [part for name, part in parts.items() if name not in layer.frozen]
    if tangent is not None:
        learned.append(layer.weight_std * tangent)
    return xp.concat(list(parts.values()), axis=1), xp.concat(learned, axis=1) if learned else None
