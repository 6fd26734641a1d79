"""The words that arguments of layers take."""

from enum import Enum
from typing import Any

__all__ = ["AggregateImplementation", "AttentionMechanism", "Padding", "PositionalEmbedding", "plain_axes"]


class Padding(Enum):
    """Of convolutions and pooling; ``padding=Padding.SAME.name`` or "SAME"."""

    CIRCULAR = "CIRCULAR"
    SAME = "SAME"
    VALID = "VALID"


class AttentionMechanism(Enum):
    """How scores become weights."""

    SOFTMAX = "SOFTMAX"
    IDENTITY = "IDENTITY"
    ABS = "ABS"
    RELU = "RELU"


class PositionalEmbedding(Enum):
    """How embeddings of positions meet the inputs."""

    NONE = "NONE"
    SUM = "SUM"
    CONCAT = "CONCAT"


class AggregateImplementation(Enum):
    """What patterns are: dense adjacencies, or lists of edges."""

    DENSE = "DENSE"
    SPARSE = "SPARSE"


def plain_axes(name: str, batch_axis: Any = 0, channel_axis: Any = -1) -> None:
    """NotImplementedError for other axes than the first for batches and the last for channels."""
    if batch_axis != 0 or channel_axis != -1:
        raise NotImplementedError(
            f"{name} takes batch_axis=0 and channel_axis=-1 only, got {batch_axis} and {channel_axis}: move the axes "
            "of the inputs, or put ntk_array.nn.ChannelsLast() first in a network of ntk_array.nn"
        )
