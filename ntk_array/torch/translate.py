"""Trained models of PyTorch as networks of :mod:`ntk_array.nn`."""

from __future__ import annotations

from typing import Any

from ..nn import Layer, Sequential
from ..nn.parameters import Params, flatten, tree_map
from .graph import network_of
from .place import Leaf, Ledger, refusal
from .record import recorded

__all__ = ["Translation", "evaluated", "from_module"]


class Translation(tuple[Layer, Params]):
    """A network and its parameters, ``net, params``, which remember the names of the model.

    Attributes
    ----------
    names : dict
        From the name of a parameter of the model, such as "layer1.0.weight", to those here, such as ("3.0.weight",).
        Parameters that the outputs do not depend on have none.
    """

    names: dict[str, tuple[str, ...]]

    def __new__(cls, net: Layer, params: Params, names: dict[str, tuple[str, ...]]) -> Translation:
        made = super().__new__(cls, (net, params))
        made.names = names
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self[0], self[1], self.names

    def __repr__(self) -> str:
        return f"Translation({self.net!r}, with {len(self.names)} parameters of the model)"

    @property
    def net(self) -> Layer:
        """The network."""
        return self[0]

    @property
    def params(self) -> Params:
        """Its parameters."""
        return self[1]

    def below(self, name: str) -> tuple[str, ...]:
        """All parameters here of a module of the model, such as "layer1", or of one parameter: for ``trainable=``."""
        found = [
            ours
            for torchs, own in self.names.items()
            if torchs == name or torchs.startswith(f"{name}.")
            for ours in own
        ]
        if not found:
            raise ValueError(f"{name!r} names no parameters; those of the model are {', '.join(self.names)}")
        return tuple(found)


def evaluated(module: Any) -> None:
    """Refuse a module that draws random numbers or looks at batches, and one that is compiled."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            "a module of TorchScript can be neither read nor differentiated here: give the module it is made of"
        )
    nn = torch.nn
    dropping = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    normalizing = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    for name, m in module.named_modules():
        drops = (isinstance(m, dropping) and m.p > 0) or (isinstance(m, nn.MultiheadAttention) and m.dropout > 0)
        if isinstance(m, normalizing) and m.running_mean is None:
            raise ValueError(
                f"{name or 'the module'} ({type(m).__name__}) normalizes by the batch in evaluation too "
                "(track_running_stats=False), so that outputs depend on the other inputs: no kernel is defined"
            )
        if m.training and (drops or isinstance(m, normalizing)):
            raise ValueError(
                f"{name or 'the module'} ({type(m).__name__}) is in training mode, in which outputs are random or "
                "depend on the batch: call model.eval() first"
            )


def from_module(module: Any, example_input: Any, xp: Any = None) -> Translation:
    """A trained model of PyTorch as a network with its parameters: ``net, params = from_module(model, x)``.

    The network computes what the model does, on the same tensors: ``net(params, x)`` is ``model(x)``, for a batch that
    is laid out as the model takes it. So ``ntk.EmpiricalNTK(net, params)(x)`` is the tangent kernel of the model, and
    all that the package does with networks works: kernels of some layers (``trainable=``), the linearized model, flows.

    Inputs have the shape of the example: windows of adaptive pooling, for instance, are those of its size.

    Parameters share the memory of those of the model, until they are moved to another library. So they change when the
    model is trained on. They are detached, and all of them count, whether or not they require a gradient. Statistics of
    batch normalization are copied.

    Translated are, as modules and as functions: Linear, convolutions (not transposed ones; padding with zeros or in
    circles), max and mean pooling, adaptive pooling to one position, or of means where windows
    have one size, flattening, products with a matrix of parameters, activations, LayerNorm, BatchNorm in
    evaluation, dropout in evaluation, self-attention and transformer encoder layers (batch_first, without masks), sums,
    products and concatenations of branches, means over positions, indices of positions, and numbers and parameters
    that values are added to or multiplied by. ``weight_std`` and ``bias_std`` of layers are those of PyTorch's default
    initialization, so that ``net.init`` draws networks like the untrained model.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example_input : tensor (N, ...)
        A few inputs. The translation is checked on them.
    xp : array library, optional
        Move the parameters there once, by DLPack, for instance ``numpy`` or ``cupy``. Inputs are then arrays of that
        library.

    Returns
    -------
    Translation
        ``net, params``, with ``names``.

    Raises
    ------
    ValueError
        For a module in training mode, and where outputs or gradients of network and model differ on the example.
    NotImplementedError
        For what cannot be translated, with the line of the model. :class:`ModuleKernel` takes every module.

    Examples
    --------
    >>> import torch, ntk_array as ntk
    >>> from ntk_array.torch import from_module
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> net, params = from_module(model, torch.randn(4, 3))
    >>> ntk.EmpiricalNTK(net, params)(torch.randn(5, 3)).shape
    torch.Size([5, 2, 5, 2])
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(example_input, torch.Tensor) or example_input.ndim < 2:
        raise TypeError(
            "example_input must be a tensor (N, ...) of a few inputs, of the dtype and device of the module"
        )
    module = _unwrapped(module)
    evaluated(module)
    example = example_input.detach().clone()  # the first operation may be in place
    # Of two inputs at least: with one, an axis of the batch looks like any axis of length 1.
    example = torch.cat([example, example]) if len(example) == 1 else example
    run = recorded(module, example)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    pieces, fact = network_of(run, Ledger(names))
    if not fact.features_only or len(fact.shape) > 2:
        raise refusal(type(module).__name__, f"its outputs have the shape {fact.shape}; kernels need (N, C)")
    tree = tuple(params for _, params in pieces)
    leaves: dict[str, Leaf] = flatten(tree)
    if not leaves:
        raise ValueError("the module has no parameters that its outputs depend on")
    net = Sequential(*(layer for layer, _ in pieces))
    params = tree_map(lambda leaf: leaf.tensor, tree)
    with torch.no_grad():
        _agree("outputs", net(params, example), module(example).reshape(len(example), -1))
    _same_gradients(module, net, params, leaves, example)
    if xp is not None:
        params = tree_map(lambda tensor: _moved(tensor, xp), params)
    return Translation(
        net,
        params,
        {torchs: tuple(ours for ours, leaf in leaves.items() if leaf.name == torchs) for torchs in names.values()},
    )


def _unwrapped(module: Any) -> Any:
    """The model inside of torch.compile, DataParallel or DistributedDataParallel, which compute the same."""
    inner = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
    name = type(module).__name__
    return _unwrapped(getattr(module, inner[name])) if name in inner else module


def _same_gradients(module: Any, net: Layer, params: Params, leaves: dict[str, Leaf], example: Any) -> None:
    """Refuse a network of which autograd says that its gradients are others, behind a detach or a no_grad, say."""
    import torch

    with torch.enable_grad():
        copies = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}
        f = torch.func.functional_call(module, copies, (example,)).reshape(len(example), -1)
        u = torch.cos(torch.arange(f.numel(), dtype=f.dtype, device=f.device)).reshape(f.shape)
        theirs = torch.autograd.grad(f, list(copies.values()), u, allow_unused=True, materialize_grads=True)
    by_name = dict(zip(copies, theirs, strict=True))
    ours = flatten(net.vjp(params, example, u))
    expected = [leaf.view(by_name[leaf.name]).reshape(-1) for leaf in leaves.values()]
    _agree("gradients", torch.cat([ours[name].reshape(-1) for name in leaves]), torch.cat(expected))


def _agree(what: str, ours: Any, theirs: Any) -> None:
    """Refuse a network whose outputs or gradients are not those of the model, up to rounding."""
    import torch

    apart, size, numbers = float((ours - theirs).abs().max()), float(theirs.abs().max()), torch.finfo(theirs.dtype)
    if not apart <= numbers.eps**0.5 * max(size, numbers.tiny):
        raise ValueError(
            f"the {what} of the network and the module differ by {apart:.1e} on the example, where those of the module "
            f"are up to {size:.1e}: hooks, no_grad, and operations in place on a value that is used again, are not "
            "translated; use ntk_array.torch.ModuleKernel"
        )


def _moved(tensor: Any, xp: Any) -> Any:
    """A tensor as an array of another library, by way of the host where that library has no such device."""
    tensor = tensor.contiguous()
    try:
        return xp.from_dlpack(tensor)
    except (BufferError, RuntimeError, TypeError, ValueError):
        return xp.from_dlpack(tensor.cpu())
