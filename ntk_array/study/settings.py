"""What a study is to do."""

from dataclasses import dataclass
from typing import Any, cast

from .._array.random import seed_sequence
from .._array.validate import count, nonnegative, one_of, positive
from ..nn import Sequential, cnn, mlp, myrtle, resnet

__all__ = ["NETWORKS", "POOLINGS", "WIDTHS", "WIDTHS_OF_IMAGES", "StudySettings"]

NETWORKS = ("mlp", "cnn", "resnet", "myrtle")
POOLINGS = ("flatten", "global")
IMAGES = frozenset(NETWORKS) - {"mlp"}
"""Networks that take images."""
WIDTHS, WIDTHS_OF_IMAGES = (64, 128, 256, 512), (8, 24, 64)


@dataclass(frozen=True)
class StudySettings:
    """What to study.

    Attributes
    ----------
    network : str
        "mlp" for tables; for images "cnn" (:func:`ntk_array.nn.cnn`), "resnet"
        (:func:`ntk_array.nn.resnet` of one stage) or "myrtle" (:func:`ntk_array.nn.myrtle`).
    widths : tuple of int
        Hidden widths, or numbers of channels, of the networks that are trained; if left out 64, 128, 256 and 512 for
        an mlp and 8, 24 and 64 for networks of images.
    depth : int
        Number of hidden layers, of convolutions, or of residual blocks; 5, 7 or 10 for "myrtle". If left out 5 for
        "myrtle" and 2 otherwise.
    pooling : str
        "flatten" or "global", of "cnn" and "resnet". With "flatten" gradient descent needs fewer steps, and the
        infinite-width kernel H W times less work.
    activation, weight_std, bias_std, readout_weight_std
        As for :func:`ntk_array.nn.mlp`. A small readout keeps f_0 small beside the targets: what f_0 is off the
        sample, training does not take back.
    train, test : int, optional
        Sizes of the training and the held-out set; if left out at most 200 and 400, as the data allow, and 100 and 200
        for networks of images. With many outputs there are fewer training rows: train * outputs, the size of the full
        empirical kernel, is then at most 1200.
    networks : int
        Networks trained for each width.
    steps : int, optional
        Gradient-descent steps. If left out as many, in hundreds, as take the cost at infinite width below 0.5 % of its
        start, but no fewer than 500 and no more than 3000.
    step_fraction : float
        The step, as a share of the largest one that is stable for the infinite-width kernel and for the kernels of
        all networks at initialization.
    draws : int
        Networks a width from which the concentration of the kernel at initialization is measured.
    ensemble : int
        Networks trained from many initializations, of a middle width and on few inputs, for their mean and spread.
    seed : int
        Of the split and of all networks.
    library : str
        "numpy", "torch", "jax" or "cupy": where everything is computed.
    """

    network: str = "mlp"
    widths: tuple[int, ...] = ()
    depth: int | None = None
    pooling: str = "flatten"
    activation: str = "relu"
    weight_std: float = 2**0.5
    bias_std: float = 0.1
    readout_weight_std: float = 0.5
    train: int | None = None
    test: int | None = None
    networks: int = 3
    steps: int | None = None
    step_fraction: float = 0.5
    draws: int = 8
    ensemble: int = 60
    seed: int = 0
    library: str = "numpy"

    def __post_init__(self) -> None:
        one_of("network", self.network, NETWORKS)
        one_of("pooling", self.pooling, POOLINGS)
        default = WIDTHS_OF_IMAGES if self.takes_images else WIDTHS
        widths = tuple(sorted({count("widths", w) for w in (self.widths if len(self.widths) else default)}))
        if len(widths) < 2:
            raise ValueError(f"widths must hold two different widths or more, got {self.widths}")
        object.__setattr__(self, "widths", widths)
        depth = (5 if self.network == "myrtle" else 2) if self.depth is None else self.depth
        object.__setattr__(self, "depth", count("depth", depth))
        # Python's own numbers, which JSON takes: a user may have given those of NumPy.
        for name in ("networks", "draws", "train", "test", "steps", "ensemble"):
            if getattr(self, name) is not None or name in ("networks", "draws", "ensemble"):
                object.__setattr__(self, name, count(name, getattr(self, name)))
        if self.ensemble < 2:
            raise ValueError("ensemble must be at least 2: one network has no spread")
        for name in ("weight_std", "readout_weight_std", "step_fraction"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        object.__setattr__(self, "bias_std", nonnegative("bias_std", self.bias_std))
        object.__setattr__(self, "seed", seed_sequence(self.seed).entropy)
        if self.step_fraction >= 1:
            raise ValueError(f"step_fraction must be below 1, where training is stable, got {self.step_fraction}")

        # Made for its checks, of the activation and of the depth of a Myrtle network.
        self.build(widths[0], 1)

    @property
    def takes_images(self) -> bool:
        """Whether the network takes images (N, H, W, channels), not rows of features."""
        return self.network in IMAGES

    def build(self, width: int, outputs: int) -> Sequential:
        """The network of this width."""
        # Never None here: __post_init__ has put a number.
        depth = cast(int, self.depth)
        options: dict[str, Any] = {
            "activation": self.activation,
            "weight_std": self.weight_std,
            "bias_std": self.bias_std,
            "readout_weight_std": self.readout_weight_std,
        }
        if self.network == "myrtle":
            return myrtle(depth, outputs, width=width, **options)
        if self.network == "resnet":
            return resnet((width,), outputs, blocks=depth, pooling=self.pooling, **options)
        if self.network == "cnn":
            return cnn((width,) * depth, outputs, pooling=self.pooling, **options)
        return mlp((width,) * depth, outputs, **options)
