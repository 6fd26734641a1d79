"""What a model computes, recorded by torch.fx on an example."""

from __future__ import annotations

import os
import re
import traceback
from dataclasses import dataclass
from typing import Any

from .place import refusal

__all__ = ["Node", "Recorded", "line_of", "recorded"]

Node = Any
FRAME = re.compile(r'File "([^"]+)", line (\d+), in (.+)')


@dataclass(frozen=True)
class Recorded:
    """A model with its graph, and what each node of it came to for an example: the shape of a tensor, or the value."""

    module: Any
    graph: Any
    shapes: dict[Node, tuple[int, ...]]
    values: dict[Node, Any]


def recorded(module: Any, example: Any) -> Recorded:
    """Run a model on an example, node by node."""
    import torch
    from torch import fx

    class Tracer(fx.Tracer):  # type: ignore[misc]
        record_stack_traces = True

    shapes: dict[Node, tuple[int, ...]] = {}
    values: dict[Node, Any] = {}

    class Recorder(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                shapes[n] = tuple(result.shape)
            else:
                values[n] = result
            return result

    defaults, tracer = _defaults(module), Tracer()
    with torch.no_grad():
        module(example.clone())  # errors of inputs that the model does not take are PyTorch's own
    if tracer.is_leaf_module(module, ""):
        # A layer of PyTorch stands for itself, and is not looked into.
        module = torch.nn.Sequential(module)
        defaults = {}
    try:
        graph = tracer.trace(module, defaults)
    except Exception as error:
        where = last_line(traceback.extract_tb(error.__traceback__)) or type(module).__name__
        raise refusal(where, f"its graph cannot be recorded ({str(error).partition('. ')[0]})") from error
    with torch.no_grad():
        Recorder(fx.GraphModule(module, graph), garbage_collect_values=True).run(example)
    return Recorded(module, graph, shapes, values)


def _defaults(module: Any) -> dict[str, Any]:
    """The arguments of a forward pass behind the first, which must have defaults."""
    import inspect

    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for parameter in named:
        if parameter.default is parameter.empty:
            raise TypeError(f"its forward takes a second input {parameter.name!r}")
    return {parameter.name: parameter.default for parameter in named}


def last_line(frames: Any) -> str | None:
    """The last line that is neither PyTorch's nor ours: that of the model."""
    import torch

    others = (os.path.dirname(torch.__file__), os.path.dirname(os.path.dirname(__file__)), "<eval_with_key>", "<frozen")
    own = [frame for frame in frames if not frame.filename.startswith(others)]
    return f"{os.path.basename(own[-1].filename)}, line {own[-1].lineno}, in {own[-1].name}" if own else None


def line_of(node: Node) -> str | None:
    """The line of the model in which a node was made; None in a Sequential, which has no lines."""
    return last_line(
        [
            traceback.FrameSummary(file, int(line), name, lookup_line=False)
            for file, line, name in FRAME.findall(node.stack_trace or "")
        ]
    )
