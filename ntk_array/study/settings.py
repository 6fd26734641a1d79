"""What a study is to do."""

from dataclasses import dataclass

from .._array.validate import count, nonnegative, positive
from ..nn import Sequential, mlp

__all__ = ["StudySettings"]


@dataclass(frozen=True)
class StudySettings:
    """What to study.

    Attributes
    ----------
    widths : tuple of int
        Hidden widths of the networks that are trained.
    depth : int
        Number of hidden layers.
    activation, weight_std, bias_std, readout_weight_std
        As for :func:`ntk_array.nn.mlp`. A small readout keeps f_0 small beside the targets: what f_0 is off the
        sample, training does not take back.
    train, test : int, optional
        Sizes of the training and the held-out set; at most 200 and 400, as the data allow, if left out.
    networks : int
        Networks trained for each width.
    steps : int
        Gradient-descent steps.
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

    widths: tuple[int, ...] = (64, 256, 1024)
    depth: int = 2
    activation: str = "relu"
    weight_std: float = 2**0.5
    bias_std: float = 0.1
    readout_weight_std: float = 0.5
    train: int | None = None
    test: int | None = None
    networks: int = 2
    steps: int = 500
    step_fraction: float = 0.5
    draws: int = 8
    ensemble: int = 100
    seed: int = 0
    library: str = "numpy"

    def __post_init__(self) -> None:
        widths = tuple(sorted({count("widths", w) for w in self.widths}))
        if len(widths) < 2:
            raise ValueError(f"widths must hold two different widths or more, got {self.widths}")
        object.__setattr__(self, "widths", widths)
        for name in ("depth", "networks", "steps", "draws"):
            count(name, getattr(self, name))
        for name in ("train", "test"):
            if getattr(self, name) is not None:
                count(name, getattr(self, name))
        if count("ensemble", self.ensemble) < 2:
            raise ValueError("ensemble must be at least 2: one network has no spread")
        positive("weight_std", self.weight_std)
        positive("readout_weight_std", self.readout_weight_std)
        nonnegative("bias_std", self.bias_std)
        if positive("step_fraction", self.step_fraction) >= 1:
            raise ValueError(f"step_fraction must be below 1, where training is stable, got {self.step_fraction}")

    def network(self, width: int, outputs: int) -> Sequential:
        """The network of this width."""
        return mlp(
            (width,) * self.depth,
            outputs,
            activation=self.activation,
            weight_std=self.weight_std,
            bias_std=self.bias_std,
            readout_weight_std=self.readout_weight_std,
        )
