"""Functions and methods of tensors as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import nn
from .modules import ACTIVATIONS, MODULES, dense, reshaped
from .place import Made, Place

__all__ = ["FUNCTIONS", "HINTS", "JOINS", "NAMES", "joined_axis", "scaled"]

Arguments = Sequence[Any]
Options = Mapping[str, Any]

NAMES = {
    "iadd": "add",
    "imul": "mul",
    "isub": "sub",
    "itruediv": "truediv",
    "div": "truediv",
    "true_divide": "truediv",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "negative": "neg",
    "reshape": "view",
    "flatten": "view",
    "squeeze": "view",
    "unsqueeze": "view",
    "absolute": "abs",
    "contiguous": "clone",
    "swish": "silu",
    "mm": "matmul",
}
"""Other names of functions. In-place methods have a "_" more."""

OF_MODULES = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "softplus": "Softplus",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "logsigmoid": "LogSigmoid",
    "softsign": "Softsign",
    "hardtanh": "Hardtanh",
    "relu6": "ReLU6",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "softshrink": "Softshrink",
}
OF_MODULES |= {f"{kind}_pool{n}d": f"{kind.title()}Pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)}
OF_MODULES |= {
    f"adaptive_{kind}_pool{n}d": f"Adaptive{kind.title()}Pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)
}

ENTRYWISE: dict[str, Callable[[], nn.Activation]] = {
    "erf": nn.Erf,
    "sin": nn.Sin,
    "cos": nn.Cos,
    "exp": nn.Exp,
    "abs": nn.Abs,
    "neg": lambda: nn.Polynomial((0.0, -1.0)),
    "square": lambda: nn.Monomial(2),
}


def _like_module(name: str) -> Callable[[Place, Arguments, Options], Made]:
    def made(p: Place, args: Arguments, options: Options) -> Made:
        import torch

        # Arguments have the order of those of the module, but the last ones of pooling.
        p.insist("pool" not in name or len(args) <= 5, "give the last arguments of pooling by name")
        options = {key: value for key, value in options.items() if key != "inplace"}
        cls = OF_MODULES[name]
        if cls in ACTIVATIONS and name not in (
            "leaky_relu",
            "elu",
            "celu",
            "gelu",
            "softplus",
            "hardtanh",
            "softshrink",
        ):
            args = ()
        return MODULES[cls](getattr(torch.nn, cls)(*args, **options), p)

    return made


def _entrywise(name: str) -> Callable[[Place, Arguments, Options], Made]:
    return lambda p, args, options: ([(ENTRYWISE[name](), {})], p.onward())


def _view(p: Place, args: Arguments, options: Options) -> Made:
    return reshaped(p)


def _same(p: Place, args: Arguments, options: Options) -> Made:
    return [], p.onward()


def _dropout(p: Place, args: Arguments, options: Options) -> Made:
    rate, training = [*args, *[None] * 2][:2]
    rate = options.get("p", 0.5 if rate is None else rate)
    training = options.get("training", True if training is None else training)
    if rate and training:
        raise ValueError(
            f"{p.where}: dropout that is active: call model.eval() first, and give F.dropout training=self.training"
        )
    return [], p.onward()


def _mean(p: Place, args: Arguments, options: Options) -> Made:
    return _pooled(nn.GlobalAvgPool(), p, args, options)


def _sum(p: Place, args: Arguments, options: Options) -> Made:
    return _pooled(nn.GlobalSumPool(), p, args, options)


def _pooled(layer: nn.Layer, p: Place, args: Arguments, options: Options) -> Made:
    """Over all positions."""
    dims = options.get("dim", args[0] if args else None)
    n = len(p.fact.shape)
    chosen = {d % n for d in ([dims] if isinstance(dims, int) else dims or ())}
    p.insist(
        not p.fact.bare and chosen and chosen == set(p.fact.positions),
        f"over the axes {dims} of {p.fact.shape}; translated are means and sums over all positions and nothing else",
    )
    return [(layer, {})], p.onward(bare=len(p.after) > 2)


def _permute(p: Place, args: Arguments, options: Options) -> Made:
    n = len(p.fact.shape)
    dims = options.get("dims", args[0] if len(args) == 1 else args)
    return _permuted(p, tuple(d % n for d in dims))


def _transpose(p: Place, args: Arguments, options: Options) -> Made:
    n = len(p.fact.shape)
    one, two = options.get("dim0", args[0] if args else 0), options.get("dim1", args[1] if len(args) > 1 else 1)
    order = list(range(n))
    order[one], order[two] = order[two], order[one]
    return _permuted(p, tuple(order))


def _permuted(p: Place, order: tuple[int, ...]) -> Made:
    """Channels to the end, or from there to the second axis."""
    n = len(order)
    if order == tuple(range(n)):
        return [], p.onward()
    to_end, to_front = (0, *range(2, n), 1), (0, n - 1, *range(1, n - 1))
    p.insist(not p.fact.bare, "axes of length 1 that are permuted")
    if p.fact.moved and order == to_end:
        return [], p.onward(moved=False)
    if not p.fact.moved and order == to_front:
        return [], p.onward(moved=True)
    p.insist(
        not p.fact.moved and order == to_end,
        f"axes in the order {order}; translated is the way of channels to the end and back",
    )
    return [(nn.ChannelsLast(), {})], p.onward()


def _getitem(p: Place, args: Arguments, options: Options) -> Made:
    (index,) = args
    index = index if isinstance(index, tuple) else (index,)
    known = "translated are positions, by numbers and slices, of all inputs and all channels"
    p.insist(
        Ellipsis not in index and None not in index and len(index) <= len(p.fact.shape), f"the index {index}: {known}"
    )
    full = slice(None)
    index = (*index, *[full] * (len(p.fact.shape) - len(index)))
    if p.fact.features_only and index == (full, 0) and p.fact.shape[1] == 1:
        return [], p.onward(bare=True)
    chosen = tuple(index[axis] for axis in p.fact.positions)
    apart = [one for axis, one in enumerate(index) if axis not in p.fact.positions]
    p.insist(
        not p.fact.features_only and all(one == full for one in apart),
        f"the index {index}: {known}",
    )
    p.insist(all(isinstance(one, int | slice) for one in chosen), f"the index {index}: {known}")
    return [(nn.Index(chosen), {})], p.onward(moved=p.fact.moved and len(p.after) > 2)


def _pow(p: Place, args: Arguments, options: Options) -> Made:
    exponent = options.get("exponent", args[0] if args else None)
    p.insist(
        isinstance(exponent, int) and exponent > 0, f"the power {exponent}: translated are whole numbers from 1 on"
    )
    return [(nn.Monomial(exponent), {})], p.onward()


def _matmul(p: Place, args: Arguments, options: Options) -> Made:
    """By a matrix of parameters from the right."""
    (matrix,) = args or options.values()
    p.insist(getattr(matrix, "ndim", None) == 2, "a product with something else than a matrix of parameters")
    return dense(matrix, None, p, lambda w: w.T)


def _linear(p: Place, args: Arguments, options: Options) -> Made:
    weight, bias = args[0] if args else options["weight"], args[1] if len(args) > 1 else options.get("bias")
    return dense(weight, bias, p)


FUNCTIONS: dict[str, Callable[[Place, Arguments, Options], Made]] = {
    **{name: _like_module(name) for name in OF_MODULES},
    **{name: _entrywise(name) for name in ENTRYWISE},
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), _dropout),
    **dict.fromkeys(("clone",), _same),
    "view": _view,
    "mean": _mean,
    "sum": _sum,
    "permute": _permute,
    "transpose": _transpose,
    "getitem": _getitem,
    "pow": _pow,
    "linear": _linear,
    "matmul": _matmul,
}
"""Of one value, by name: how to make layers of a place and the other arguments."""

_LOGITS = ", and kernels are usually those of the logits: leave it out of the model"
HINTS = {
    **dict.fromkeys(("softmax", "log_softmax", "Softmax", "LogSoftmax"), _LOGITS),
    "clamp": "; clamp(min=0) is relu",
    "Embedding": ", and inputs of kernels are floats: give ModuleKernel a module that converts them, x.long()",
}
"""What to write in the place of functions and modules that are not translated."""

JOINS: dict[str, type[nn.Sum] | type[nn.Product] | type[nn.Concatenate]] = {
    "add": nn.Sum,
    "sub": nn.Sum,
    "mul": nn.Product,
    "cat": nn.Concatenate,
}
"""Of several values, by name."""


def joined_axis(name: str, p: Place, dim: int) -> None:
    """Refuse a concatenation along any axis but that of the channels."""
    if name == "cat":
        n = len(p.fact.shape)
        p.insist(
            dim % n == p.fact.channels, f"along the axis {dim} of {p.fact.shape}: translated are channels side by side"
        )


def scaled(name: str, p: Place, other: Any, reversed_: bool) -> Made:
    """A value and a number, or a parameter of the model, in either order."""
    if isinstance(other, int | float):
        p.insist(not (reversed_ and name == "truediv"), "a number divided by values of the network")
        a, b = {
            "add": (1.0, other),
            "sub": (-1.0, other) if reversed_ else (1.0, -other),
            "mul": (other, 0.0),
            "truediv": (1.0 / other if other else 0.0, 0.0),
        }[name]
        p.insist(a, "a division by zero, or values times zero")
        return [(nn.Polynomial((float(b), float(a))), {})], p.onward()
    p.insist(name in ("add", "mul"), f"{name} with a parameter; translated are sums and products with one")
    shape, n = tuple(other.shape), len(p.fact.shape)
    shape = (1,) * (n - len(shape)) + shape
    wide = tuple(n for axis, n in enumerate(p.fact.shape) if axis)
    channel = shape[p.fact.channels] == p.fact.shape[p.fact.channels]
    alone = all(size == 1 for axis, size in enumerate(shape) if axis != p.fact.channels)
    p.insist(
        p.after == p.fact.shape and not p.fact.bare and shape[0] == 1 and channel and (alone or shape[1:] == wide),
        f"a parameter of the shape {tuple(other.shape)} with values {p.fact.shape}; translated are parameters that "
        "have a number for each channel, or for each channel at each position",
    )

    def view(t: Any) -> Any:
        if alone:
            return t.reshape(-1)
        t = t.reshape(wide)
        return t.movedim(0, -1) if p.fact.moved else t

    weight, bias = (other, None) if name == "mul" else (None, other)
    return p.affine(weight, bias, view), p.onward()
