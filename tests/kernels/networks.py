"""Networks from plain data, as the files of frozen values and the comparisons with other libraries have them."""

from typing import Any

from ntk_array import nn

BRANCHED = (nn.Sum, nn.Product, nn.Concatenate, nn.GraphNetwork)


def network(layers: list[Any]) -> nn.Sequential:
    """Layers given as lists of a class of ntk_array.nn and its arguments; branches are lists of layers."""
    return nn.Sequential(*(_layer(kind, dict(options)) for kind, options in layers))


def _layer(kind: str, options: dict[str, Any]) -> nn.Layer:
    made = getattr(nn, kind)
    if made in BRANCHED:
        return made(*(network(part) for part in options["branches"]))
    return made(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
