"""How the factors of two batches become a block of the empirical NTK.

A parameter's share of the block is a product of two inner products, one over features of the inputs and one over
cotangents, so that no Jacobian is formed. Cotangents lead with the input and the output index, (N, C, n): as
N C rows they give the inner products of a full block in the layout of the Gram matrix, as N rows those of its trace.
Their input axis has length 1 where they are the same for every input.
"""

from collections.abc import Callable

from .._array.kinds import Kind
from .._array.libraries import is_numpy
from .._array.linalg import inner, mirror
from .._array.namespace import Array, home
from .blockwise import add_kronecker, add_multiple

__all__ = ["Contraction"]


class Contraction:
    """A block to which layers add the shares of their parameters.

    Where both batches are the same arrays the block is exactly symmetric.

    Parameters
    ----------
    kind : str
        "full" keeps all pairs (c, c'), "classwise" keeps c = c', "scalar" is the mean over c = c'.
    paired : bool
        Only the pairs of inputs (i, i), for the diagonal of a kernel.
    """

    def __init__(self, kind: Kind, paired: bool = False) -> None:
        self.kind: Kind = kind
        self.paired = paired
        self._total: Array | None = None
        self._rounded = False  # whether a block of one batch with itself is symmetric to rounding only

    @property
    def block(self) -> Array:
        """What was added: (N1, C, N2, C), (N1, N2) or (C, N1, N2); for pairs (N, C, C), (N,) or (C, N)."""
        total: Array = self._total
        if self._rounded and not self.paired:
            total = self._mirrored(total)
        if self.kind != "full" or self.paired:
            return total
        n1, outputs, columns = total.shape
        return home(total).xp.reshape(total, (n1, outputs, columns // outputs, outputs))

    def _mirrored(self, total: Array) -> Array:
        if self.kind != "full":
            return mirror(total)
        xp, (n, outputs, columns) = home(total).xp, total.shape
        return xp.reshape(mirror(xp.reshape(total, (n * outputs, columns))), total.shape)

    def features(self, h1: Array, h2: Array) -> Array:
        """<h(x), h(x')> of features (N1, n) and (N2, n): a new array (N1, N2), or (N,) for pairs."""
        return home(h1).xp.sum(h1 * h2, axis=1) if self.paired else self._products(h1, h2, lambda h: h)

    def add(self, features: Array, d1: Array, d2: Array) -> None:
        """Add the features' inner products times <delta_c(x), delta_c'(x')>, of cotangents (N, C, n)."""
        # A full block is by far the largest. It is added to in place, without a temporary of its size.
        if self.kind == "full" and not self.paired:
            self._add_full(features, d1, d2)
            return
        share = self._reduced(d1, d2)
        if self.paired and self.kind == "full":
            features = features[:, None, None]
        # In place where nothing has to be repeated: the share is nobody else's.
        if 1 in share.shape:  # to be repeated along its input axes, perhaps
            share = share * features
        else:
            share *= features
        self._accumulate(share)

    def add_linear(self, h1: Array, h2: Array, d1: Array, d2: Array, weight: float, bias: float) -> None:
        """Add (weight <h, h'> + bias) <delta_c, delta'_c'>, summed over pairs of positions where there are some.

        For features (N, n) and cotangents (N, C, n), or (N, P, n) and (N, C, P, n); a factor of 0 leaves a part out.
        """
        if d1.ndim == 4:
            self._add_positions(h1, h2, d1, d2, weight, bias)
            return
        bracket = None
        if weight:
            bracket = self.features(h1, h2)
            bracket *= weight
        if bias:
            # The bias has no inputs: features of length 0 give zeros of the right shape.
            if bracket is None:
                bracket = self.features(h1[:, :0], h2[:, :0])
            bracket += bias
        if bracket is not None:
            self.add(bracket, d1, d2)

    def _add_positions(self, h1: Array, h2: Array, d1: Array, d2: Array, weight: float, bias: float) -> None:
        """Without a block for each pair: sums over pairs of positions, one at a time."""
        if self.paired or h1 is not h2 or d1 is not d2 or not (weight or bias):
            self._rounded = self._rounded or h1 is h2
            for p in range(d1.shape[2]):
                for q in range(d2.shape[2]):
                    self.add_linear(h1[:, p, :], h2[:, q, :], d1[:, :, p, :], d2[:, :, q, :], weight, bias)
            return
        # The share of (q, p) is that of (p, q) transposed. So half of the pairs are added up, and half of each (p, p).
        half = Contraction(self.kind)
        for p in range(d1.shape[2]):
            for q in range(p, d1.shape[2]):
                part = 0.5 if p == q else 1.0
                half.add_linear(h1[:, p, :], h1[:, q, :], d1[:, :, p, :], d1[:, :, q, :], part * weight, part * bias)
        self._accumulate(half.with_transpose())

    def with_transpose(self) -> Array:
        """What was added for one batch with itself, and its transpose, in the layout in which shares are added."""
        total: Array = self._total
        xp = home(total).xp
        if self.kind != "full":
            return total + xp.matrix_transpose(total)
        n, outputs, columns = total.shape
        matrix = xp.reshape(total, (n * outputs, columns))
        return xp.reshape(matrix + matrix.T, total.shape)

    def add_products(self, j1: Array, j2: Array, factor: float) -> None:
        """Add factor <j_c(x), j_c'(x')> of Jacobians (N, C, n)."""
        if self.kind == "full" and not self.paired:
            share = home(j1).xp.reshape(self._products(j1, j2, _as_rows), (*j1.shape[:2], -1))
        else:
            share = self._reduced(j1, j2)
        share *= factor
        self._accumulate(share)

    def _add_full(self, features: Array, d1: Array, d2: Array) -> None:
        """Rows (N1, C) and columns N2 C: a block (C, C) for each pair of inputs."""
        xp = home(d1).xp
        # All cotangents as N C rows: one large product, in the layout of the Gram matrix.
        outputs, (n1, n2) = d1.shape[1], features.shape
        cotangents = self._products(d1, d2, _as_rows)
        if d1.shape[0] == d2.shape[0] == 1:
            self._total = add_kronecker(self._total, features, cotangents)
            return
        blocks = xp.reshape(cotangents, (n1, outputs, n2 * outputs))
        self._total = add_multiple(self._total, blocks, features)

    def _reduced(self, d1: Array, d2: Array) -> Array:
        """Inner products of cotangents in the layout of the block, its input axes perhaps of length 1."""
        xp = home(d1).xp
        outputs = d1.shape[1]
        if self.paired:
            if self.kind == "full":
                return d1 @ xp.matrix_transpose(d2)
            products = xp.sum(d1 * d2, axis=2).T
            return products if self.kind == "classwise" else xp.sum(products, axis=0) / outputs
        if self.kind == "classwise":
            return self._products(d1, d2, lambda d: xp.permute_dims(d, (1, 0, 2)))
        share = self._products(d1, d2, lambda d: xp.reshape(d, (d.shape[0], -1)))
        share /= outputs
        return share

    def _products(self, d1: Array, d2: Array, arranged: Callable[[Array], Array]) -> Array:
        """Inner products of the rows of two arrays that are arranged first; of one array with itself where d2 is d1."""
        one = arranged(d1)
        if d2 is not d1:
            return inner(one, arranged(d2))
        # NumPy's are exactly symmetric. Others are mirrored once, at the end, and not for each layer.
        self._rounded = self._rounded or not is_numpy(one)
        return inner(one, one, exact=False)

    def _accumulate(self, share: Array) -> None:
        """Add an array that is nobody else's."""
        if self._total is None:
            self._total = share
        else:
            self._total += share


def _as_rows(d: Array) -> Array:
    """(N, C, n) as N C rows."""
    return home(d).xp.reshape(d, (-1, d.shape[2]))
