"""Blocks to which shares are added, against sums written out index by index."""

import numpy as np
import pytest

from ntk_array.nn.contraction import Contraction

SUMS = {"full": "ij,icn,jdn->icjd", "trace": "ij,icn,jcn->ij", "classwise": "ij,icn,jcn->cij"}
PAIRED = {"full": "i,icn,idn->icd", "trace": "i,icn,icn->i", "classwise": "i,icn,icn->ci"}


def factors(rng, n, outputs):
    """Features and cotangents of three layers: the last cotangents are the same for all inputs, and no identity."""
    own = [(rng.normal(size=(n, 4)), rng.normal(size=(n, outputs, 6))) for _ in range(2)]
    return [*own, (rng.normal(size=(n, 5)), np.random.default_rng(0).normal(size=(1, outputs, outputs)))]


def expected(equation, one, two, outputs):
    total = 0.0
    for (h1, d1), (h2, d2) in zip(one, two, strict=True):
        d1, d2 = (np.broadcast_to(d, (len(h), *d.shape[1:])) for h, d in ((h1, d1), (h2, d2)))
        bracket = np.einsum("ik,jk->ij" if "j" in equation.split("->")[0] else "ik,ik->i", h1, h2)
        total = total + np.einsum(equation, bracket, d1, d2)
    return total / outputs if "c" not in equation.split("->")[1] else total


def contracted(backend, one, two, name, paired=False):
    contraction = Contraction(name, paired)
    placed1 = [tuple(map(backend.array, layer)) for layer in one]
    placed2 = placed1 if two is one else [tuple(map(backend.array, layer)) for layer in two]
    for (h1, d1), (h2, d2) in zip(placed1, placed2, strict=True):
        contraction.add(contraction.features(h1, h2), d1, d2)
    return contraction.block


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", SUMS)
def test_blocks(backend, rng, name, outputs, order):
    """Square and not, of one input too, whichever share comes first."""
    for n1, n2 in ((5, 5), (5, 2), (1, 4), (4, 1)):
        one, two = (factors(rng, n, outputs)[::order] for n in (n1, n2))
        got = contracted(backend, one, two, name)
        backend.close(got, expected(SUMS[name], one, two, outputs), factor=100)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", SUMS)
def test_a_batch_with_itself_is_exactly_symmetric(backend, rng, name, outputs):
    one = factors(rng, 20, outputs)
    got = contracted(backend, one, one, name)
    backend.close(got, expected(SUMS[name], one, one, outputs), factor=100)
    host = backend.host(got)
    matrix = host.reshape(20 * outputs, -1) if name == "full" else host
    np.testing.assert_array_equal(matrix, np.swapaxes(matrix, -1, -2))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", SUMS)
def test_pairs(backend, rng, name, outputs):
    for n in (1, 5):
        one, two = factors(rng, n, outputs), factors(rng, n, outputs)
        got = contracted(backend, one, two, name, paired=True)
        backend.close(got, expected(PAIRED[name], one, two, outputs), factor=100)


def test_factors_are_left_as_they_are(rng):
    one = factors(rng, 4, 3)
    copies = [(h.copy(), d.copy()) for h, d in one]
    for name in SUMS:
        contraction = Contraction(name)
        for h, d in one:
            contraction.add(contraction.features(h, h), d, d)
    for layer, copy in zip(one, copies, strict=True):
        for array, before in zip(layer, copy, strict=True):
            np.testing.assert_array_equal(array, before)
