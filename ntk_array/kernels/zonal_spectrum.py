"""The spectrum of a kernel on the sphere, where it is a function of the angle."""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array.short import short_repr
from .._array.validate import count, positive
from .base import Kernel, only_kernels

__all__ = ["ZonalSpectrum", "zonal_spectrum"]

PANEL = 32  # Gauss-Legendre nodes a panel
MOST_NODES = 2**13
TOLERANCE = 1e-14
PROBES = 4


@dataclass(frozen=True)
class ZonalSpectrum:
    """Eigenvalues of a kernel on the sphere in R^d, by the degree k = 0 .. K of the spherical harmonics.

    Attributes
    ----------
    dimension : int
        d, of the space that the sphere lies in.
    degrees : array (K + 1,)
        k.
    values : array (K + 1,)
        mu_k.
    multiplicities : array (K + 1,)
        N(d, k), how many harmonics have degree k and so share mu_k; floats, since they soon exceed integers.
    error : array (K + 1,)
        Estimated error of each value, from twice the nodes and from rounding. A smaller value cannot be told from zero.
    """

    __repr__ = short_repr

    dimension: int
    degrees: np.ndarray
    values: np.ndarray
    multiplicities: np.ndarray
    error: np.ndarray

    def plot(self, label: str | None = None, ax: Any = None) -> Any:
        """The eigenvalues mu_k that are above their error, each as often as it occurs; returns the matplotlib Axes.

        At most 10,000 components are drawn. See :func:`ntk_array.plotting.spectrum`.
        """
        from .. import plotting

        resolved = self.values > self.error
        often = np.minimum(self.multiplicities[resolved], 10_000).astype(int)
        return plotting.spectrum(np.sort(np.repeat(self.values[resolved], often))[::-1][:10_000], label=label, ax=ax)

    def kernel(self, angle: Any) -> np.ndarray:
        """The kernel at angles t, sum_k mu_k N(d, k) P_k(cos t), without values below their error."""
        t = np.asarray(angle, dtype=np.float64)
        shares = np.where(np.abs(self.values) > self.error, self.values * self.multiplicities, 0.0)
        return np.asarray(shares @ _legendre(self.dimension, len(shares), t.ravel())).reshape(t.shape)


def zonal_spectrum(kernel: Kernel, dimension: int, max_degree: int, radius: float | None = None) -> ZonalSpectrum:
    """Eigenvalues of the integral operator of a zonal kernel, with the uniform distribution on a sphere as p^in.

    On the sphere in R^d the infinite-width kernels of dense networks are functions kappa(cos t) of the angle t between
    two inputs. The eigenfunctions of T_K f = E_{x' ~ p^in}[K(., x') f(x')] are then the spherical harmonics: all
    N(d, k) = (2k + d - 2)/k binom(k + d - 3, k - 1) of degree k (N(d, 0) = 1) have the eigenvalue

        mu_k = (omega_{d-2} / omega_{d-1}) int_0^pi kappa(cos t) P_k(cos t) (sin t)^(d-2) dt,

    with omega_n the area of the unit sphere S^n and P_k the Legendre polynomial in d dimensions, a Gegenbauer
    polynomial with P_k(1) = 1 (Funk and Hecke; Bietti and Mairal 2019, Proposition 5). In d = 2 they are Fourier
    coefficients. The sum of all mu_k N(d, k) is K(x, x).

    Parameters
    ----------
    kernel : Kernel
        A scalar kernel that takes NumPy arrays (N, d).
    dimension : int
        d, at least 2; the inputs of the kernel have d features.
    max_degree : int
        K, the highest degree, at least 1.
    radius : float, optional
        Of the sphere, where biases or an activation tell one radius from another. sqrt(d) if None: features of unit
        variance.

    Returns
    -------
    ZonalSpectrum
        On the host, in float64: NumPy arrays, whatever the library of your data.

    Raises
    ------
    TypeError
        If kernel is not a kernel.
    ValueError
        If the kernel is not scalar or not a function of the angle, such as an empirical one; for a dimension below 2;
        for more harmonics of one degree than a float can count.

    Notes
    -----
    The integral is by Gauss-Legendre in t, since the kernels of ReLU networks are smooth in t and not in cos t. Nodes
    are doubled until values sqrt(N(d, k)), coefficients in orthonormal polynomials, no longer move beyond rounding, or
    until there are some thousands: kinks in t and near-singularities (tiny biases, great depth) show in ``error``. What
    the kernel itself is wrong by, such as its own ``quadrature_error``, comes on top. Whether the kernel depends on the
    angle alone is tested in a few random planes.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="relu"))
    >>> spectrum = ntk.kernels.zonal_spectrum(K, dimension=3, max_degree=6)
    >>> spectrum.multiplicities
    array([ 1.,  3.,  5.,  7.,  9., 11., 13.])
    >>> np.abs(spectrum.values).round(4)              # one hidden layer without bias: no odd degrees from 3 on
    array([1.    , 0.6667, 0.1562, 0.    , 0.0104, 0.    , 0.0028])
    """
    only_kernels("kernel", kernel)
    if kernel.kind != "scalar":
        raise ValueError(
            f"kernel has blocks for each output ({kernel.kind}); a function of the angle is scalar: use an "
            "infinite-width kernel"
        )
    d, terms = count("dimension", dimension), count("max_degree", max_degree) + 1
    if d < 2:
        raise ValueError(f"dimension must be at least 2, got {d}: a sphere in R^1 is two points")
    radius = math.sqrt(d) if radius is None else positive("radius", radius)
    multiplicities = _multiplicities(d, terms)
    _refuse_other_kernels(kernel, d, radius)

    # P_k oscillates like cos(k t), (sin t)^d at most like cos(d t) and, to rounding, like cos(9 sqrt(d) t): four nodes
    # an oscillation before the first doubling.
    panels = math.ceil((terms + min(d, 9.0 * math.sqrt(d))) / (PANEL / 2))
    values, _ = _integrate(kernel, d, terms, radius, panels)
    while True:
        panels, coarse = 2 * panels, values
        values, scale = _integrate(kernel, d, terms, radius, panels)
        moved = np.abs(values - coarse)
        if np.max(moved * np.sqrt(multiplicities)) <= TOLERANCE * scale or 2 * PANEL * panels > MOST_NODES:
            break
    error = moved + 8.0 * sys.float_info.epsilon * scale / np.sqrt(multiplicities)
    return ZonalSpectrum(d, np.arange(terms), values, multiplicities, error)


def _integrate(kernel: Kernel, d: int, terms: int, radius: float, panels: int) -> tuple[np.ndarray, float]:
    """mu_k for k below ``terms``, and the largest absolute value of the kernel."""
    x, w = np.polynomial.legendre.leggauss(PANEL)
    half = math.pi / (2 * panels)
    t = (half * (2.0 * np.arange(panels)[:, None] + 1.0 + x)).ravel()
    weight = np.tile(w, panels) * np.sin(t) ** (d - 2)
    values = _on_circle(kernel, t, radius * np.eye(2, d))
    # Divided by their sum instead of multiplied by areas of spheres: p^in has mass 1.
    return _legendre(d, terms, t) @ (weight * values / np.sum(weight)), float(np.max(np.abs(values)))


def _on_circle(kernel: Kernel, t: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Kernel values between the first axis and inputs at angles t from it, in the plane of both axes (2, d)."""
    return np.asarray(kernel(axes[:1], np.stack([np.cos(t), np.sin(t)], axis=1) @ axes)[0])


def _refuse_other_kernels(kernel: Kernel, d: int, radius: float) -> None:
    """Compare values at a few angles in random planes."""
    t = np.linspace(0.0, math.pi, 7)[1:-1]
    expected = _on_circle(kernel, t, radius * np.eye(2, d))
    rng = np.random.default_rng(0)
    for _ in range(PROBES):
        plane = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
        gap = float(np.max(np.abs(_on_circle(kernel, t, radius * plane) - expected)))
        if gap > 1e-8 * float(np.max(np.abs(expected))):
            raise ValueError(
                f"the kernel is not a function of the angle: at equal angles on the sphere of radius {radius:g} its "
                f"values differ by {gap:.1e}; use an infinite-width kernel of a dense network"
            )


def _legendre(d: int, terms: int, t: np.ndarray) -> np.ndarray:
    """P_k(u), u = cos t, for k below ``terms``, (terms, n): (k + d - 2) P_{k+1} = (2k + d - 2) u P_k - k P_{k-1}."""
    if d == 2:  # the recurrence loses digits at the ends, which have no weight in higher dimensions
        return np.asarray(np.cos(np.arange(terms)[:, None] * t))
    u = np.cos(t)
    polynomials = [np.ones_like(u), u]
    for k in range(1, terms - 1):
        polynomials.append(((2 * k + d - 2) * u * polynomials[-1] - k * polynomials[-2]) / (k + d - 2))
    return np.stack(polynomials)


def _multiplicities(d: int, terms: int) -> np.ndarray:
    """N(d, k): homogeneous polynomials of degree k, less those of degree k - 2."""
    counts = [math.comb(k + d - 1, d - 1) - math.comb(max(k + d - 3, 0), d - 1) for k in range(terms)]
    if counts[-1] > sys.float_info.max:
        raise ValueError(f"there are over 1e308 harmonics of degree {terms - 1} in R^{d}: ask for a lower max_degree")
    return np.asarray(counts, dtype=np.float64)
