"""Kernels of convolutional networks plane by plane: where they are, and that they are what the layers give."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._formula import numba_loops
from ntk_array.infinite.planes import Planes
from ntk_array.kernels.planes import PlanesKernel

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(numba_loops.available() is None, reason="planes are compiled by Numba"),
]


def conv(*size, **options):
    return nn.Conv(1, size, **({"weight_std": 1.4} | options))


def images(shape, dtype=np.float64):
    """Equal, nearly equal, opposite and zero images, multiples, and flat regions of different brightness."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, *shape))
    x[0, :2], x[1, :2] = 0.2, 0.7
    x[2], x[3], x[4] = 0.0, -x[0], 2.0 * x[1]
    x[5] = x[0] * (1.0 + 1e-6 * rng.normal(size=shape))
    x[6, :2] = 0.0
    return x.astype(dtype)


NETS = {
    "pooling": ((5, 6, 2), (conv(3, 3), nn.ReLU(), conv(3, 3, bias_std=0.3), nn.ReLU(), nn.GlobalAvgPool())),
    "residual": (
        (4, 5, 3),
        (conv(3, 3), nn.Residual(nn.Sequential(nn.LeakyReLU(), conv(2, 3))), nn.Abs(), nn.GlobalSumPool()),
    ),
    "circular": (
        (4, 5, 1),
        # along the second axis it goes around more than once
        (conv(3, 2, padding="circular", dilation=(2, 12)), nn.Erf(), nn.GlobalAvgPool(), nn.Dense(1), nn.ReLU()),
    ),
    "waves": (
        (4, 5, 2),
        # a window that is wider than the image
        (conv(3, 3), nn.Sin(b=1.5, c=0.3), conv(3, 12, bias_std=0.3), nn.ReLU(), nn.GlobalAvgPool()),
    ),
    "flattened": ((9, 2), (conv(3), nn.ReLU(), conv(4), nn.ReLU(), nn.Flatten())),
    "strides": (
        (5, 6, 2),
        (
            conv(2, 3, stride=2),
            nn.Residual(nn.Sequential(nn.ReLU(), conv(3, 3, stride=(1, 2), bias_std=0.2)), conv(1, 1, stride=(1, 2))),
            nn.ReLU(),
            conv(2, 2, padding="valid"),
            nn.ReLU(),
            nn.GlobalAvgPool(),
        ),
    ),
    "pooling in between": (
        (7, 6, 2),
        (
            nn.SumPool((2, 1), stride=1),
            conv(3, 3),
            nn.ReLU(),
            nn.AvgPool((3, 2), stride=2, padding="same", normalize_edges=True),
            conv(2, 2, padding="circular", stride=(1, 2)),
            nn.ReLU(),
            nn.AvgPool((2, 1)),
            conv(1, 1),
            nn.ReLU(),
            nn.Flatten(),
        ),
    ),
}


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch):
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)


# Each case compiles for seconds: not all of them in both dtypes and for both kernels.
@pytest.mark.parametrize(
    ("name", "dtype", "kind"),
    [
        ("pooling", np.float64, ntk.InfiniteNTK),
        ("residual", np.float32, ntk.InfiniteNTK),
        ("circular", np.float64, ntk.InfiniteNNGP),
        ("waves", np.float64, ntk.InfiniteNTK),
        ("flattened", np.float64, ntk.InfiniteNTK),
        ("strides", np.float32, ntk.InfiniteNTK),
        ("pooling in between", np.float32, ntk.InfiniteNTK),
    ],
)
def test_planes_are_exact_in_the_hard_cases(name, dtype, kind):
    """Against the layers one by one in float64, relative to sqrt(K(x, x) K(x', x'))."""
    shape, layers = NETS[name]
    kernel, x = kind(nn.Sequential(*layers, nn.Dense(1))), images(shape, dtype)
    planes = kernel.specialized(x, None)
    assert isinstance(planes, PlanesKernel)
    wide = x.astype(np.float64)
    expected = kernel.block(wide, wide.copy())
    scale = np.sqrt(np.diag(expected))
    scale[2] = 1.0  # the zero image
    tolerance = 4e-15 if dtype is np.float64 else 4e-7
    for found in (kernel(x), kernel(x, x.copy()), np.concatenate([kernel(x[:3], x), kernel(x[3:], x)])):
        assert found.dtype == dtype
        assert np.max(np.abs(found - expected) / scale / scale[:, None]) < tolerance
    np.testing.assert_array_equal(kernel(x), kernel(x).T)
    np.testing.assert_array_equal(np.diag(kernel(x)), kernel.diag(x))


def test_where_there_are_planes():
    x = images((4, 4, 1))

    def in_planes(*layers):
        return isinstance(ntk.InfiniteNTK(nn.Sequential(*layers, nn.Dense(1))).specialized(x, None), PlanesKernel)

    assert in_planes(conv(3, 3), nn.ReLU(), nn.GlobalAvgPool())
    assert in_planes(conv(3, 3, stride=2), nn.ReLU(), nn.GlobalAvgPool())
    assert in_planes(conv(3, 3, padding="valid"), nn.ReLU(), nn.AvgPool((2, 2)), nn.Flatten())
    # branches that meet have gone to smaller images at different times
    branches = (
        nn.Sequential(conv(3, 3), conv(1, 1, stride=2)),
        nn.Sequential(conv(3, 3, stride=2), conv(1, 1, stride=1)),
    )
    assert in_planes(nn.Sum(*branches), nn.ReLU(), nn.GlobalAvgPool())
    branches = nn.Sequential(conv(2, 2, padding="valid"), conv(2, 2, padding="valid")), conv(3, 3, padding="valid")
    assert not in_planes(nn.Sum(*branches), nn.ReLU(), nn.GlobalAvgPool())
    assert in_planes(conv(3, 3), nn.Tanh(), nn.GlobalAvgPool())
    # a kink behind flattening asks for the angle of a sum over positions
    assert not in_planes(conv(3, 3), nn.ReLU(), nn.Flatten(), nn.Dense(1), nn.ReLU())


def test_networks_that_ask_for_means_behind_pooling_have_no_planes():
    """For the kernel and for its diagonal alike: a residual sum of values that are not centred."""
    behind = (nn.Residual(nn.Sequential(nn.Dense(1), nn.ReLU())), nn.Dense(1))
    kernel = ntk.InfiniteNTK(nn.Sequential(conv(3, 3), nn.ReLU(), nn.GlobalAvgPool(), *behind))
    x = images((4, 5, 2))
    assert not isinstance(kernel.specialized(x, None), PlanesKernel)
    np.testing.assert_allclose(kernel.diag(x), np.diag(kernel(x)), rtol=1e-13)


def test_many_images_in_tiles():
    """Blocks of several tiles are those of one block; images are lanes of a few at a time."""
    shape, layers = NETS["pooling"]  # compiled above
    kernel = ntk.InfiniteNTK(nn.Sequential(*layers, nn.Dense(1)))
    x = np.random.default_rng(1).normal(size=(21, *shape))
    whole = ntk.gram.assemble(kernel, x, memory="100 KB")
    np.testing.assert_allclose(whole, kernel.block(x, None), rtol=0, atol=1e-14 * np.max(whole))


def test_half_of_a_symmetric_block_is_computed(monkeypatch):
    """Where only equal positions meet, too."""
    kernel = ntk.InfiniteNTK(nn.Sequential(conv(3, 3), nn.ReLU(), nn.Flatten(), nn.Dense(1)))
    x = np.random.default_rng(1).normal(size=(40, 3, 4, 2))
    planes = kernel.specialized(x, None)
    batch, passes = planes.prepare(x), []
    run = Planes._pass

    def counted(self, way, rooms, rows, *others, **options):
        passes.append(len(rows[0]))
        return run(self, way, rooms, rows, *others, **options)

    monkeypatch.setattr(Planes, "_pass", counted)
    whole = planes.prepared_block(batch, batch)
    squares = sum(passes)
    passes.clear()
    np.testing.assert_allclose(planes.prepared_block(batch, None), whole, rtol=0, atol=1e-14 * np.max(whole))
    assert sum(passes) < 0.65 * squares  # a half, and what the last lanes of a run lie below the diagonal
