"""Checks of arguments: bad input is refused with an error that names the argument and says what to do.

Every public function passes its arguments through here once; the code below it is plain mathematics.
Each check that looks at values reads one number back from the device.
"""

import math
import numbers
from typing import Any

import numpy as np

from .libraries import is_numpy, library_of
from .namespace import Array, default_dtype, home, is_array, namespace_of, to_host

__all__ = [
    "count",
    "finite",
    "inputs",
    "momentum_below_one",
    "nonnegative",
    "number",
    "one_of",
    "positive",
    "real_array",
    "same_home",
    "targets",
    "time_points",
    "unmasked",
    "unrecorded",
]


def real_array(name: str, x: Any, like: Array | None = None) -> Array:
    """x as an array of real floats, which may be infinite or NaN.

    Integers and booleans become floats of the dtype of ``like``, if given and of the same library, and otherwise of the
    default dtype of the library.
    """
    unmasked(name, x)
    if is_numpy(x) and x.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {x.dtype}; give real numbers, e.g. {name}.astype(float) for numbers stored as "
            "text or objects; complex numbers are not supported"
        )
    if is_numpy(x) and not x.dtype.isnative:
        # Files keep the byte order of another machine. Compiled loops and most libraries know only that of this one.
        x = x.astype(x.dtype.newbyteorder("="))
    if not is_array(x):
        raise TypeError(
            f"{name} is a {type(x).__name__}, not an array; convert it, e.g. numpy.asarray({name}), "
            "or pass an array of CuPy, PyTorch or JAX"
        )
    library = library_of(namespace_of(x))
    # Asked before anything reads a number of x, because an array without values has none.
    if advice := library.without_values(x):
        raise TypeError(f"{name} is {advice}")
    unrecorded(name, x, f"{name}.detach()")
    xp, dtype, device = home(x)
    if not xp.isdtype(dtype, "real floating"):
        if not xp.isdtype(dtype, ("integral", "bool")):
            raise TypeError(f"{name} has dtype {dtype}; give real numbers")
        together = like is not None and home(like).xp is xp
        return xp.astype(x, home(like).dtype if together else default_dtype(xp, device))
    if xp.finfo(dtype).bits not in (32, 64):
        raise TypeError(f"{name} has dtype {dtype}; kernels need float32 or float64: convert {name} first")
    return x


def unmasked(name: str, x: Any) -> None:
    """TypeError for a masked array. It is a numpy.ndarray too, and would pass with the numbers under its mask."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill the masked entries first, e.g. {name}.filled(0.0)")


def unrecorded(name: str, x: Array, instead: str) -> None:
    """Refuse an array whose gradient automatic differentiation would miss: kernels write tiles into buffers."""
    if library_of(namespace_of(x)).recorded(x):
        raise TypeError(
            f"{name} requires a gradient, and nothing is recorded here: the gradient would be cut off; give {instead}"
        )


def inputs(name: str, x: Any) -> Array:
    """A batch of inputs (N, features...): at least two axes, no axis empty, every number finite."""
    x = real_array(name, x)
    if x.ndim < 2:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; inputs are (N, features): for one feature use {name}[:, None], "
            f"for one input {name}[None, :]"
        )
    if 0 in x.shape:
        raise ValueError(f"{name} is empty: its shape is {tuple(x.shape)}")
    return finite(name, x)


def targets(name: str, y: Any, x: Array) -> Array:
    """Values on a sample of n inputs x, (n,) or (n, C), every number finite; integers get the dtype of x."""
    n = int(x.shape[0])
    y = real_array(name, y, like=x)
    if y.ndim not in (1, 2) or y.shape[0] != n or 0 in y.shape:
        raise ValueError(f"{name} has shape {tuple(y.shape)}; expected ({n},) or ({n}, C), one row for each input")
    return finite(name, y)


def same_home(**arrays: Array | None) -> None:
    """All arrays share library, device and dtype."""
    given = {name: a for name, a in arrays.items() if a is not None}
    namespace_of(*given.values())
    (first, a), *rest = given.items()
    for name, b in rest:
        one, two = home(a), home(b)
        if one.device != two.device:
            for own, array in ((first, a), (name, b)):
                if advice := home(array).library.without_values(array):
                    raise TypeError(f"{own} is {advice}")
            raise ValueError(f"{first} is on device {one.device}, {name} on {two.device}; move them to the same device")
        if one.dtype != two.dtype:
            raise TypeError(f"{first} has dtype {one.dtype}, {name} has {two.dtype}; cast one to the other")


def finite(name: str, x: Array) -> Array:
    """x, if every number of it is finite."""
    xp = namespace_of(x)
    mask = xp.isfinite(x)
    if not to_host(xp.all(mask)):
        # The whole mask goes to the host only for the message. A valid array costs one number.
        bad = np.argwhere(~to_host(mask))
        rows = len(np.unique(bad[:, 0]))
        raise ValueError(
            f"{name} has NaN or infinity in {rows} of its {x.shape[0]} rows, first in row {bad[0, 0]}; "
            "drop these rows or fill them in"
        )
    return x


def count(name: str, value: Any) -> int:
    """A whole number of at least 1."""
    # In Python bool is a kind of int, and True would be the count 1.
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def number(name: str, value: Any) -> float:
    """A finite number, as a Python float."""
    result = _real(name, value)
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return result


def positive(name: str, value: Any) -> float:
    """A finite number above zero, as a Python float."""
    result = nonnegative(name, value)
    if result == 0.0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return result


def nonnegative(name: str, value: Any) -> float:
    """A finite number of at least zero, as a Python float."""
    result = _real(name, value)
    if not (math.isfinite(result) and result >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return result


def _real(name: str, value: Any) -> float:
    """A real number as a Python float: a NumPy scalar would turn float32 into float64."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def momentum_below_one(value: Any) -> float:
    """A momentum, at least 0 and below 1."""
    momentum = nonnegative("momentum", value)
    if momentum >= 1:
        raise ValueError(f"momentum must be below 1, got {value!r}")
    return momentum


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)


def time_points(t: Any) -> np.ndarray:
    """A time or a sequence of times from 0 to inf, on the host, with 0 or 1 axes."""
    times = np.asarray(to_host(t) if is_array(t) else t, dtype=np.float64)
    # Written as not (times >= 0), because this refuses NaN too: every comparison with NaN is false.
    if times.ndim > 1 or times.size == 0 or not (times >= 0).all():
        raise ValueError(f"t must be a time or a sequence of times, from 0 to inf, got {t!r}")
    return times
