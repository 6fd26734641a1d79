"""The three functions that a layer of stax is."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._array.namespace import Array, home, to_host
from ..infinite.signal import Signal
from ..kernels import InfiniteNNGP, InfiniteNTK
from .asked import answered, chosen
from .kernel import FIELDS, Kernel
from .keys import key_of
from .network import Network
from .parts import Part

__all__ = ["ApplyFn", "InitFn", "KernelFn", "Layer", "layer_of"]


class InitFn:
    """``init_fn(key, input_shape)``: the shape of the outputs, and parameters in the layout of neural-tangents."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, key: Any, input_shape: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Draw parameters. They live in the library of the key: NumPy for whole numbers and Generators.

        Parameters
        ----------
        key : int, numpy.random.Generator or a key of JAX
            Draws are not those of JAX: they come from NumPy, the same on every library.
        input_shape : tuple of int
            With the axis of the inputs first, of any length: (-1, 3).

        Returns
        -------
        output_shape : tuple of int
        params
        """
        del kwargs
        rows, *shape = input_shape
        if not isinstance(rows, int | None):
            raise NotImplementedError("networks of ntk_array have one input: input_shape must be one shape")
        seeds, place = key_of(key)
        before = tuple(shape)
        return (rows, *self.network.part.shape(before)), self.network.part.draw(before, seeds, place)


class ApplyFn:
    """``apply_fn(params, x)``: the outputs of the network at inputs x."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    def net(self) -> Any:
        """The network, of ``ntk_array.nn``."""
        return self.network.net

    def __call__(
        self,
        params: Any,
        x: Array,
        *,
        rng: Any = None,
        pattern: Any = None,
        mask_constant: Any = None,
        **kwargs: Any,
    ) -> Array:
        """Outputs (N, ...).

        Parameters
        ----------
        params
            In the layout of neural-tangents.
        x : array (N, ...)
        rng : key, optional
            For Dropout in the mode "train", which needs one.
        pattern : array, optional
            The edges of graphs, for Aggregate.
        mask_constant : float, optional
            The value of positions that do not exist, behind those that do. Outputs are an array, as those of
            ``stax.unmask_fn(apply_fn)``.
        """
        own = self.masked(mask_constant)
        net = own.with_noise(rng, **kwargs)
        return net(own.network.params(params), own.network.packed(x, pattern))

    def masked(self, mask_constant: Any) -> ApplyFn:
        """The function for inputs with this constant."""
        return self if mask_constant is None else ApplyFn(self.network.masked(mask_constant))

    def with_noise(self, rng: Any = None, **kwargs: Any) -> Any:
        """The network of ours, with random numbers where it takes some."""
        if kwargs:
            raise TypeError(f"apply_fn got the argument {next(iter(kwargs))}, which no layer of it takes")
        if not self.net.noisy:
            return self.net
        if rng is None:
            raise ValueError('Dropout in the mode "train" needs a key: apply_fn(params, x, rng=key)')
        return self.net.sampled(key_of(rng).seeds)


class KernelFn:
    """``kernel_fn(x1, x2, get)``: kernels of the network at infinite width."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._kernels: dict[str, Any] = {}
        self._masked: dict[str, KernelFn] = {}

    @property
    def net(self) -> Any:
        """The network, of ``ntk_array.nn``: ``ntk_array.InfiniteNTK(kernel_fn.net)`` is the NTK as a kernel of ours."""
        return self.network.net

    def __call__(
        self,
        x1: Array,
        x2: Array | None = None,
        get: Any = None,
        *,
        pattern: Any = None,
        mask_constant: Any = None,
        diagonal_batch: bool | None = None,
        diagonal_spatial: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Kernel values.

        Parameters
        ----------
        x1, x2 : array (N, ...)
            Inputs; x2 is x1 where it is None.
        get : str, tuple of str or None
            "nngp", "ntk", "cov1", "cov2" or another field of :class:`Kernel`; a tuple gives a named tuple, None a
            :class:`Kernel`.
        pattern : tuple of two arrays, optional
            The edges of the graphs of both batches, for Aggregate.
        mask_constant : float, optional
            The value of positions that do not exist, behind those that do.
        diagonal_batch : bool, optional
            Whether cov1 and cov2 are diagonals (N,), which they are unless this is False, or matrices (N, N).
        diagonal_spatial : bool, optional
            Without effect: outputs with positions are refused.

        Raises
        ------
        NotImplementedError
            For what has no counterpart in ntk_array.
        """
        del diagonal_spatial
        if mask_constant is not None:
            masked = self._for_masked(mask_constant)
            return masked(x1, x2, get, pattern=pattern, diagonal_batch=diagonal_batch, **kwargs)
        if kwargs:
            raise NotImplementedError(
                f"{next(iter(kwargs))} is no argument here: inputs are along the first axis, channels along the last"
            )
        if isinstance(x1, Kernel):
            raise NotImplementedError(
                "kernels cannot be passed on from one kernel_fn to the next: put all layers into one stax.serial"
            )
        names = chosen(get, FIELDS, FIELDS)
        one, two, same = self._inputs(x1, x2, pattern)
        self._refuse_positions(one)
        batches = {"1": one, "2": one if two is None else two}

        def value(name: str) -> Any:
            if name in ("nngp", "ntk"):
                return self._kernel(name)(one, None if same else two)
            if name in ("cov1", "cov2"):
                if name == "cov2" and two is None:
                    return None
                kernel, x = self._kernel("nngp"), batches[name[-1]]
                return kernel(x) if diagonal_batch is False else kernel.diag(x)
            shape = tuple(one.shape[1:])
            facts = self.net.signal(Signal(shape))
            shapes = {f"shape{i}": (x.shape[0], *facts.shape) for i, x in batches.items()}
            return Kernel.facts(same, facts.gaussian, diagonal_batch is not False, len(facts.shape) + 1, shapes)[name]

        if get is None:
            return Kernel(**{name: value(name) for name in names})
        return answered("AnalyticKernel", get, names, value)

    def _for_masked(self, mask_constant: Any) -> KernelFn:
        """The function for inputs with this constant. It keeps its kernels too."""
        # By its text, because NaN equals nothing.
        key = repr(float(mask_constant))
        if key not in self._masked:
            self._masked[key] = KernelFn(self.network.masked(mask_constant))
        return self._masked[key]

    def _kernel(self, name: str) -> Any:
        # A kernel keeps the programs, series and tables that it has made.
        if name not in self._kernels:
            self._kernels[name] = {"nngp": InfiniteNNGP, "ntk": InfiniteNTK}[name](self.net)
        return self._kernels[name]

    def _inputs(self, x1: Any, x2: Any, pattern: Any) -> tuple[Array, Array | None, bool]:
        """Both batches, and whether they are one."""
        patterns = pattern if isinstance(pattern, list | tuple) else (pattern, pattern)
        one = self.network.packed(x1, patterns[0])
        if x2 is None:
            return one, None, True
        two = self.network.packed(x2, patterns[1])
        return one, two, x2 is x1 or _equal(one, two)

    def _refuse_positions(self, x: Array) -> None:
        shape = self.net.signal(Signal(tuple(x.shape[1:]))).shape
        if len(shape) > 1:
            raise NotImplementedError(
                f"the outputs have positions, (N, {', '.join(map(str, shape))}), and kernels of ntk_array are between "
                "inputs: end the network with Flatten or GlobalAvgPool"
            )


def _equal(one: Array, two: Array) -> bool:
    """Whether two batches are one, as neural-tangents says it: no number is further apart than 1e-12."""
    if one.shape != two.shape:
        return False
    xp = home(one, two).xp
    return bool(to_host(xp.max(xp.abs(one - two))) < 1e-12)


class Layer(NamedTuple):
    """A layer of stax: three functions, which share one network."""

    init_fn: InitFn
    apply_fn: ApplyFn
    kernel_fn: KernelFn


def layer_of(part: Part) -> Layer:
    """The functions of a part."""
    network = Network(part)
    return Layer(InitFn(network), ApplyFn(network), KernelFn(network))
