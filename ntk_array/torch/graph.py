"""The recorded graph of a model as a network: what lies between two values, and branches that part and meet again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import nn
from .functions import FUNCTIONS, HINTS, JOINS, NAMES, joined_axis, scaled
from .modules import CHANNELS_FIRST, CHANNELS_LAST, MODULES, chain
from .place import Fact, Ledger, Piece, Place, refusal
from .record import Node, Recorded, line_of

__all__ = ["network_of"]


@dataclass(frozen=True)
class Step:
    """A node as layers, behind one value or behind several that are joined.

    Attributes
    ----------
    parents : tuple of nodes
    before : list for each parent
        Layers that its value goes through before it is joined.
    join : class or None
    pieces : list
        Layers behind that.
    fact : Fact
        Of what comes out.
    """

    parents: tuple[Node, ...]
    before: tuple[list[Piece], ...]
    join: Any
    pieces: list[Piece]
    fact: Fact


@dataclass
class _Builder:
    run: Recorded
    ledger: Ledger
    steps: dict[Node, Step] = field(default_factory=dict)
    dominator: dict[Node, Node] = field(default_factory=dict)
    depth: dict[Node, int] = field(default_factory=dict)
    built: set[Node] = field(default_factory=set)

    def where(self, node: Node) -> str:
        """The line of the model and the operation."""
        what = f"{node.target} ({type(self.submodule(node)).__name__})" if node.op == "call_module" else _name(node)
        line = line_of(node)
        return f"{what}, {line}" if line else what

    def submodule(self, node: Node) -> Any:
        return self.run.module.get_submodule(node.target)

    def place(self, node: Node, fact: Fact) -> Place:
        shape = self.run.shapes.get(node)
        if shape is None and isinstance(self.run.values.get(node), tuple):
            shape = tuple(self.run.values[node][0].shape)  # outputs and weights of attention
        return Place(self.where(node), fact, shape or (), self.ledger)

    def add(self, node: Node) -> None:
        """Make the step of a node, if what it computes depends on the inputs."""
        if node.op == "placeholder":
            if node in self.run.shapes:
                self._input(node)
            return
        operands = [a for a in node.all_input_nodes if a in self.steps]
        if operands and node.op != "output" and node.op != "call_module" and self._is_several(node):
            self.place(node, self.steps[operands[0]].fact).refuse(f"{_name(node)} gives several tensors")
        # Numbers and shapes are read where they are asked for.
        if not operands or node.op == "output" or (node not in self.run.shapes and node.op != "call_module"):
            return
        first = self.place(node, self.steps[operands[0]].fact)
        if node.op == "call_module":
            step = self._module(node, operands, first)
        elif _name(node) in JOINS and not self._is_scaled(node, operands):
            step = self._join(node, first)
        else:
            step = self._function(node, operands, first)
        self.steps[node] = step
        common = step.parents[0]
        for parent in step.parents[1:]:
            common = self._common(common, parent)
        self.dominator[node], self.depth[node] = common, self.depth[common] + 1

    def _is_several(self, node: Node) -> bool:
        value = self.run.values.get(node)
        return isinstance(value, tuple | list) and any(hasattr(one, "requires_grad") for one in value)

    def _is_attention(self, node: Node) -> bool:
        return node.op == "call_module" and type(self.submodule(node)).__name__ == "MultiheadAttention"

    def _input(self, node: Node) -> None:
        shape = self.run.shapes[node]
        first = len(shape) > 2 and self._channels_first()
        pieces: list[Piece] = [(nn.ChannelsLast(), {})] if first else []
        self.steps[node] = Step((), (), None, pieces, Fact(shape, first))
        self.depth[node] = 0

    def _channels_first(self) -> bool:
        """Whether the first module or function that knows of an order of axes has channels first."""
        for node in self.run.graph.nodes:
            name = type(self.submodule(node)).__name__ if node.op == "call_module" else _name(node)
            if name.startswith(CHANNELS_FIRST) or "_pool" in name:
                return True
            if name in CHANNELS_LAST and node in self.run.shapes:
                return False
        return False

    def _module(self, node: Node, operands: list[Node], p: Place) -> Step:
        m = self.submodule(node)
        name = type(m).__name__
        p.insist(
            type(m).__module__.startswith("torch.nn.modules.") and name in MODULES,
            f"no layer here does what {name} does{HINTS.get(name, '')}",
        )
        if name == "MultiheadAttention":
            given = dict(
                zip(("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask"), node.args, strict=False)
            )
            given |= node.kwargs
            same = given["query"] is given["key"] is given["value"]
            p.insist(same, "attention of one value to another; self-attention has one")
            masks = [given.get(key) for key in ("key_padding_mask", "attn_mask", "is_causal")]
            p.insist(
                not any(mask is not None and mask is not False for mask in masks), "masks are known for no layer here"
            )
        else:
            p.insist(len(node.args) == 1 and not node.kwargs, "options beside its input, such as masks")
        pieces, fact = MODULES[name](m, p)
        return Step((operands[0],), ([],), None, list(pieces), fact)

    def _is_scaled(self, node: Node, operands: list[Node]) -> bool:
        """Whether one operand is a number or a parameter."""
        return _name(node) != "cat" and len([a for a in node.args[:2] if a in self.steps]) < 2

    def constant(self, node: Any, p: Place) -> Any:
        """A number or a parameter in the model. What is computed from sizes differs from batch to batch."""
        if not hasattr(node, "op"):
            return node
        p.insist(node.op == "get_attr", "a number or tensor that is computed in the forward pass")
        found: Any = self.run.module
        for part in node.target.split("."):
            found = getattr(found, part)
        p.insist(
            id(found) in self.ledger.names,
            f"{node.target} is a constant tensor and no parameter; inputs can be standardized before the model",
        )
        return found

    def _function(self, node: Node, operands: list[Node], p: Place) -> Step:
        from torch import fx

        name = _name(node)
        parent, options = operands[0], dict(node.kwargs)
        if self._is_attention(parent):
            p.insist(name == "getitem" and node.args[1] == 0, "the weights of attention; translated are its outputs")
            return Step((parent,), ([],), None, [], self.steps[parent].fact)
        if name in (*JOINS, "truediv"):
            p.insist(len(node.args) == 2 and not options, f"options of {name}")
            turned = node.args[1] is parent
            pieces, fact = scaled(name, p, self.constant(node.args[0 if turned else 1], p), turned)
            return Step((parent,), ([],), None, list(pieces), fact)
        p.insist(
            name in FUNCTIONS and len(operands) == 1 and node.args[:1] == (parent,),
            f"no layer here does what {name} does{HINTS.get(name, '')}",
        )
        if name in ("view", "clone"):  # the shape that it came to says all
            rest: list[Any] = []
        elif name in ("linear", "matmul"):
            rest = [self.constant(a, p) for a in node.args[1:]]
            options = {key: self.constant(a, p) for key, a in options.items()}
        else:
            rest, options = fx.node.map_arg([list(node.args[1:]), options], lambda n: self.constant(n, p))
        pieces, fact = FUNCTIONS[name](p, rest, options)
        return Step((parent,), ([],), None, list(pieces), fact)

    def _join(self, node: Node, p: Place) -> Step:
        name, options = _name(node), dict(node.kwargs)
        if name == "cat":
            parents = tuple(node.args[0])
            dim = node.args[1] if len(node.args) > 1 else options.pop("dim", 0)
        else:
            parents, dim = node.args, 1
        p.insist(not options, f"options of {name}")
        p.insist(
            all(a in self.steps for a in parents),
            "a tensor that does not depend on the inputs, such as a class token, is put beside values: no layer here "
            "holds one",
        )
        facts = [self.steps[a].fact for a in parents]
        target = next((fact for fact in facts if fact.moved), facts[0])
        before: list[list[Piece]] = []
        for fact in facts:
            turn = target.moved and not fact.moved and not fact.features_only
            alike = (fact.features_only == target.features_only) and (turn or fact.moved == target.moved)
            p.insist(
                alike and (name == "cat" or fact.shape == p.after),
                f"values of different shapes, {' and '.join(str(f.shape) for f in facts)}, that are joined",
            )
            before.append([(nn.ChannelsLast(), {})] if turn else [])
        joined_axis(name, Place(p.where, target, p.after, p.ledger), dim)
        if name == "sub":
            before[1].append((nn.Polynomial((0.0, -1.0)), {}))
        return Step(parents, tuple(before), JOINS[name], [], target._replace(shape=p.after))

    def _common(self, a: Node, b: Node) -> Node:
        """The last node that all ways to either go through."""
        while a is not b:
            if self.depth[a] < self.depth[b]:
                a, b = b, a
            a = self.dominator[a]
        return a

    def pieces(self, source: Node | None, target: Node) -> list[Piece]:
        """The layers from a value to a later one, which all ways to go through the first; None for the inputs."""
        found: list[list[Piece]] = []
        while target is not source:
            step = self.steps[target]
            if any(params for _, params in step.pieces) and target in self.built:
                raise refusal(
                    self.where(target),
                    "its value is needed in several branches that do not part and meet "
                    "again at one place each, and its weights would be there twice",
                )
            self.built.add(target)
            found.append(step.pieces)
            if not step.parents:
                break
            if step.join is not None:
                found.append([self._branches(target, step)])
            target = self.dominator[target]
        return [piece for part in reversed(found) for piece in part]

    def _branches(self, node: Node, step: Step) -> Piece:
        start = self.dominator[node]
        branches = [
            chain([*self.pieces(start, parent), *before])
            for parent, before in zip(step.parents, step.before, strict=True)
        ]
        plain = [isinstance(layer, nn.Identity) for layer, _ in branches]
        if step.join is nn.Sum and len(branches) == 2 and sum(plain) == 1:
            (branch, params), _ = sorted(branches, key=lambda piece: isinstance(piece[0], nn.Identity))
            return nn.Residual(branch), (params, {})
        layers, params = zip(*branches, strict=True)
        return step.join(*layers), params


def _name(node: Node) -> str:
    """What a node does, under the one name of it."""
    if node.op == "call_method":
        name = str(node.target)
    elif node.op == "call_function":
        module = getattr(node.target, "__module__", None) or "torch"
        known = module.partition(".")[0] in ("torch", "_operator", "operator", "builtins")
        # Of another package with its module, so that a relu of the user is not taken for that of PyTorch.
        name = node.target.__name__ if known else f"{module}.{getattr(node.target, '__name__', node.target)}"
    else:
        return ""
    name = str(name).removesuffix("_") if not name.startswith("__") else name
    return NAMES.get(name, name)


def network_of(run: Recorded, ledger: Ledger) -> tuple[list[Piece], Fact]:
    """The layers of a model, one after the other, and the fact of its outputs."""
    builder = _Builder(run, ledger)
    (end,) = [node for node in run.graph.nodes if node.op == "output"]
    result = end.args[0]
    live, pending = set(), [end]
    while pending:
        node = pending.pop()
        if node not in live:
            live.add(node)
            pending += node.all_input_nodes
    for node in run.graph.nodes:
        if node in live or node.op == "placeholder":
            builder.add(node)
    if not hasattr(result, "op") or result not in builder.steps:
        raise refusal(type(run.module).__name__, "its output is not one tensor that depends on its input")
    return builder.pieces(None, result), builder.steps[result].fact
