"""One operation of a model, while it is translated: where it is, what comes in, and which parameters it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from .. import nn
from ..nn import Layer

__all__ = ["Fact", "Leaf", "Ledger", "Piece", "Place", "refusal"]

Tensor = Any


@dataclass(frozen=True, eq=False)
class Leaf:
    """A parameter of the model by its name, and how it, or a part of it, is seen here."""

    name: str
    whole: Tensor
    view: Callable[[Tensor], Tensor]

    @property
    def tensor(self) -> Tensor:
        """The parameter here, which shares the memory of the model's."""
        return self.view(self.whole)


Piece = tuple[Layer, Any]
"""A layer and its parameters, whose leaves are :class:`Leaf`."""


class Fact(NamedTuple):
    """How a value of the model is laid out in the translated network.

    Attributes
    ----------
    shape : tuple of int
        In the model, with the inputs.
    moved : bool
        (N, channels, *positions) in the model and (N, *positions, channels) here; otherwise both are alike.
    bare : bool
        (N, features) here, and some axes of length 1 more, or one fewer, in the model.
    """

    shape: tuple[int, ...]
    moved: bool
    bare: bool = False

    @property
    def features_only(self) -> bool:
        """Whether it is (N, features) here."""
        return self.bare or len(self.shape) == 2

    @property
    def positions(self) -> tuple[int, ...]:
        """The axes of positions in the model."""
        n = len(self.shape)
        return tuple(range(2, n)) if self.moved else tuple(range(1, n - 1))

    @property
    def channels(self) -> int:
        """The axis of the channels in the model."""
        return 1 if self.moved else len(self.shape) - 1


def refusal(where: str, reason: str) -> NotImplementedError:
    """What cannot be translated, where it is, and what takes it all the same."""
    return NotImplementedError(
        f"{where}: {reason}; ntk_array.torch.ModuleKernel(module) takes every module, without a translation"
    )


@dataclass
class Ledger:
    """The parameters of a model by the identity of their tensors, and where each was used."""

    names: dict[int, str]
    used: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """An operation of the model.

    Attributes
    ----------
    where : str
        For messages.
    fact : Fact
        Of what comes in.
    after : tuple of int
        The shape of what comes out, in the model.
    """

    where: str
    fact: Fact
    after: tuple[int, ...]
    ledger: Ledger

    def refuse(self, reason: str) -> NoReturn:
        raise refusal(self.where, reason)

    def insist(self, holds: Any, reason: str) -> None:
        """Refuse unless a condition holds."""
        if not holds:
            self.refuse(reason)

    def claim(self, tensor: Tensor, *views: Callable[[Tensor], Tensor]) -> list[Leaf]:
        """A parameter of the model, seen in these ways, which share its memory."""
        name = self.ledger.names.get(id(tensor))
        self.insist(name, "its weight is computed from other tensors (weight_norm, say) and is no parameter itself")
        assert name is not None
        earlier = self.ledger.used.get(id(tensor))
        self.insist(earlier is None, f"it shares its weights, {name} is used before by {earlier}")
        self.ledger.used[id(tensor)] = self.where
        return [Leaf(name, tensor.detach(), view) for view in views or (lambda t: t,)]

    def affine(self, weight: Tensor | None, bias: Tensor | None, view: Callable[[Tensor], Tensor]) -> list[Piece]:
        """Factors and shifts, which every position has of its own where the views have more than one axis."""
        given = {name: t for name, t in (("weight", weight), ("bias", bias)) if t is not None}
        if not given:
            return []
        leaves = {name: self.claim(tensor, view)[0] for name, tensor in given.items()}
        own = any(leaf.tensor.ndim > 1 for leaf in leaves.values())
        return [(nn.Affine(float("weight" in given), float("bias" in given), own), leaves)]

    def moved(self) -> list[Piece]:
        """What brings channels to the end, for an operation that has them first in the model."""
        return [] if self.fact.moved or self.fact.features_only else [(nn.ChannelsLast(), {})]

    def insist_last(self) -> None:
        """Refuse unless the last axis of the model holds the features."""
        shape = self.fact.shape
        last = len(shape) == 2 or (len(shape) > 2 and not self.fact.moved)
        self.insist(last, f"it acts along the last axis of {shape}, which is not that of the channels: permute them")

    def flattened(self) -> list[Piece]:
        """All axes as features, in the order of the model."""
        return [] if self.fact.features_only else [(nn.Flatten(channels_first=self.fact.moved), {})]

    def onward(self, **changes: Any) -> Fact:
        """The fact of what comes out, laid out as what comes in."""
        return self.fact._replace(shape=self.after, **changes)


Made = tuple[Sequence[Piece], Fact]
