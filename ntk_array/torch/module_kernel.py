"""The tangent kernel of any module of PyTorch, by automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._array.kinds import Kind, numbers
from .._array.namespace import Array, home, itemsize
from .._array.validate import one_of
from ..gram.tiled import Costs
from ..kernels import Kernel
from ..nn.contraction import Contraction
from ..nn.parameters import selection
from .translate import evaluated

__all__ = ["ModuleKernel"]

JACOBIAN_BYTES = 2**26
"""What the derivatives of a few inputs may take while they are computed."""


@dataclass(frozen=True, eq=False)
class ModuleKernel(Kernel):
    """The empirical NTK of any module of PyTorch, Theta_{cc'}(x, x') = <J_c(x), J_c'(x')>.

    For modules that :func:`from_module` does not translate. Jacobians in the parameters are formed by ``torch.func``
    for some inputs at a time, and multiplied. That takes the memory of C P numbers for each of them, for P parameters
    and C outputs, and longer than ``EmpiricalNTK`` of a translated network does. Like every
    kernel it works in flows, processes and Gram matrices in tiles.

    The parameters are those that the module has when the kernel is computed, all of them unless ``trainable`` says
    which. Nothing is recorded by autograd. Modules that ``torch.func.vmap`` does not take, because they change tensors
    in place or branch on values, are differentiated input by input, which is slower still.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It takes one tensor (N, ...) and returns (N, C) or (N,), each output from its own input.
        Integers become floats before they arrive: wrap a module that starts with an embedding, and convert them there.
    outputs : "full", "trace", "classwise" or "sum_of_logits"
        As for :class:`ntk_array.EmpiricalNTK`.
    trainable : str or sequence of str, optional
        Only these parameters, by their names in the module, such as "layer1" or "fc.weight".

    Raises
    ------
    ValueError
        For a module in training mode, names of no parameters, outputs of another shape, and outputs that are random or
        depend on the other inputs of the batch.

    Examples
    --------
    >>> import torch
    >>> from ntk_array.torch import ModuleKernel
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.PReLU(), torch.nn.Linear(8, 2))
    >>> ModuleKernel(model, outputs="trace")(torch.randn(5, 3)).shape
    torch.Size([5, 5])
    """

    module: Any
    outputs: str = "full"
    trainable: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        import torch

        if not isinstance(self.module, torch.nn.Module):
            kind = type(self.module)
            raise TypeError(f"module must be a torch.nn.Module, got {kind.__module__}.{kind.__qualname__}")
        one_of("outputs", self.outputs, ("full", "trace", "classwise", "sum_of_logits"))
        self._split()
        evaluated(self.module)

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Scalar for "trace" and "sum_of_logits"."""
        return {"full": "full", "classwise": "classwise"}.get(self.outputs, "scalar")  # type: ignore[return-value]

    def _split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters that are trained, and the other parameters and buffers, detached."""
        named = {name: parameter.detach() for name, parameter in self.module.named_parameters()}
        words = selection(self.trainable)
        chosen = set(named)
        if words is not None:
            chosen = set()
            for word in (words,) if isinstance(words, str) else words:
                found = {name for name in named if name == word or name.startswith(f"{word}.")}
                if not found:
                    raise ValueError(f"trainable names {word!r}; the parameters of the module are {', '.join(named)}")
                chosen |= found
        if not chosen:
            raise ValueError("the module has no parameters: its NTK is zero")
        rest = {name: p for name, p in named.items() if name not in chosen}
        rest |= {name: buffer.detach() for name, buffer in self.module.named_buffers()}
        return {name: p for name, p in named.items() if name in chosen}, rest

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """The inputs, validated against the parameters and the mode of the module too."""
        import torch

        x1, x2 = super().validated(x1, x2)
        evaluated(self.module)
        if not isinstance(x1, torch.Tensor):
            raise TypeError(f"inputs of a module of PyTorch are its tensors, got {type(x1).__name__}")
        parameter = next(iter(self.module.parameters()))
        if (parameter.dtype, parameter.device) != (x1.dtype, x1.device):
            raise TypeError(
                f"the module is in {parameter.dtype} on {parameter.device}, inputs in {x1.dtype} on {x1.device}: "
                "convert one of them"
            )
        self._refuse_chance(x1)
        return x1, x2

    def _refuse_chance(self, x: Array) -> None:
        """Refuse a module whose output for an input is another when it is alone, beside others, or there again."""
        import torch

        few = x[:8]
        with torch.no_grad():
            alone = self._values(self.module(few[:1].clone()))
            # Of a few outputs some random numbers might be the same by chance, of many not.
            twice = self._values(self.module(torch.cat([few] * -(-16 // len(few)))))
        apart = max(
            float((a - b).abs().max()) for a, b in ((alone[0], twice[0]), (twice[len(few) :], twice[: -len(few)]))
        )
        # Rounding may be that of another algorithm for another number of inputs.
        if not apart <= torch.finfo(alone.dtype).eps ** 0.25 * float(twice.abs().max()):
            raise ValueError(
                f"outputs for the same input differ by {apart:.1e}: they are random, or depend on the other inputs of "
                "the batch, so that no kernel is defined; call model.eval(), give F.dropout training=self.training"
            )

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """The explicit Jacobian of each input, twice while it is made."""
        import torch

        with torch.no_grad():
            outputs = self._values(self.module(x1[:1].clone())).shape[1]
        here, size = home(x1), itemsize(home(x1))
        rows = 1 if self.outputs == "sum_of_logits" else outputs
        parameters = sum(p.numel() for p in self._split()[0].values())
        kinds = 1 if self.kind == "scalar" else outputs
        return Costs(here, kinds, 4 * size * numbers(self.kind, kinds), 2 * size * rows * parameters)

    def _values(self, f: Any) -> Any:
        """Outputs as (N, C), or what the kernel needs of them."""
        import torch

        if not isinstance(f, torch.Tensor) or f.ndim not in (1, 2):
            shape = tuple(f.shape) if isinstance(f, torch.Tensor) else type(f).__name__
            raise ValueError(f"the module's output is {shape}; kernels need (N, C) or (N,)")
        f = f[:, None] if f.ndim == 1 else f
        # The factor makes the variance of the sum that of one logit.
        return f.sum(dim=1, keepdim=True) / f.shape[1] ** 0.5 if self.outputs == "sum_of_logits" else f

    def prepare(self, x: Array) -> list[Array]:
        """The Jacobian in each parameter, (N, C, size of it)."""
        trained, rest = self._split()
        try:
            found = self._together(trained, rest, x)
        except RuntimeError:
            # Operations in place, and branches that depend on values, are not known for many inputs at once.
            found = self._one_by_one(trained, rest, x)
        return [own.detach().reshape((*own.shape[:2], -1)) for own in found]

    def _outputs(self, parameters: dict[str, Any], rest: dict[str, Any], x: Array) -> Any:
        import torch

        # A copy: the first operation may be in place.
        return self._values(torch.func.functional_call(self.module, (parameters, rest), (x.clone(),)))

    def _together(self, trained: dict[str, Any], rest: dict[str, Any], x: Array) -> list[Any]:
        """Some inputs at a time, as many as their derivatives have room for."""
        import torch

        with torch.no_grad():
            rows = self._outputs(trained, rest, x[:1]).shape[1]
        each = itemsize(home(x)) * (rows * sum(p.numel() for p in trained.values()) + math.prod(x.shape[1:]))
        jacobian = torch.func.vmap(
            torch.func.jacrev(lambda parameters, one: self._outputs(parameters, rest, one[None])[0]),
            in_dims=(None, 0),
            chunk_size=max(JACOBIAN_BYTES // each, 1),
        )
        # Other ways to compute attention have no batching rules, and PyTorch warns of each.
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return list(jacobian(trained, x).values())

    def _one_by_one(self, trained: dict[str, Any], rest: dict[str, Any], x: Array) -> list[Any]:
        """A backward pass for each output of each input."""
        import torch

        leaves = {name: p.detach().requires_grad_() for name, p in trained.items()}
        found = []
        with torch.enable_grad():
            for i in range(x.shape[0]):
                f = self._outputs(leaves, rest, x[i : i + 1])[0]
                pulled = [
                    torch.autograd.grad(
                        one, list(leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=True
                    )
                    for one in f
                ]
                found.append([torch.stack(own) for own in zip(*pulled, strict=True)])
        return [torch.stack(own) for own in zip(*found, strict=True)]

    def prepared_block(self, prepared1: list[Array], prepared2: list[Array] | None) -> Array:
        """A product of Jacobians for each parameter."""
        return self._contract(prepared1, prepared1 if prepared2 is None else prepared2)

    def block_diagonal(self, x: Array) -> Array:
        """The same over the pairs (x_i, x_i), a few inputs at a time."""
        costs = self.costs(x, None)
        size = max(JACOBIAN_BYTES // max(costs.input, 1), 1)

        def block(start: int) -> Array:
            part = self.prepare(x[start : start + size, ...])
            return self._contract(part, part, paired=True)

        blocks = [block(start) for start in range(0, x.shape[0], size)]
        return home(x).xp.concat(blocks, axis=1 if self.kind == "classwise" else 0)

    def _contract(self, one: list[Array], two: list[Array], paired: bool = False) -> Array:
        contraction = Contraction(self.kind, paired)
        for j1, j2 in zip(one, two, strict=True):
            contraction.add_products(j1, j2, 1.0)
        return contraction.block
