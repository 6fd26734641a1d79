"""Graphs as arrays: what is where, and what bad graphs get."""

import numpy as np
import pytest
from scipy import sparse

from ntk_array import nn

TRIANGLE = np.ones((3, 3)) - np.eye(3)
EDGE = np.asarray([[0, 1], [1, 0]])  # integers


def test_features_marks_and_adjacency_side_by_side(backend):
    one, two = backend.array(np.arange(6.0).reshape(3, 2)), backend.array(np.asarray([[6.0, 7.0], [8.0, 9.0]]))
    x = nn.graphs([one, two], [backend.array(TRIANGLE), backend.array(EDGE)])
    wanted = np.zeros((2, 3, 6))
    wanted[0] = np.concatenate([np.arange(6.0).reshape(3, 2), np.ones((3, 1)), TRIANGLE], axis=1)
    wanted[1, :2] = [[6, 7, 1, 0, 1, 0], [8, 9, 1, 1, 0, 0]]
    assert type(x) is type(one)
    assert x.dtype == one.dtype
    np.testing.assert_array_equal(backend.host(x), wanted)
    # The same from one array with garbage as padding, from sparse matrices, and with more nodes.
    features, adjacency = np.full((2, 3, 2), 5.0), np.full((2, 3, 3), 5.0)
    features[0], adjacency[0], features[1, :2], adjacency[1, :2, :2] = (
        backend.host(one),
        TRIANGLE,
        backend.host(two),
        EDGE,
    )
    dense = nn.graphs(backend.array(features), backend.array(adjacency), sizes=[3, 2])
    np.testing.assert_array_equal(backend.host(dense), wanted)
    from_sparse = nn.graphs([one, two], [sparse.csr_array(TRIANGLE), sparse.coo_matrix(EDGE)])
    np.testing.assert_array_equal(backend.host(from_sparse), wanted)
    longer = backend.host(nn.graphs([one, two], [backend.array(TRIANGLE), backend.array(EDGE)], nodes=5))
    np.testing.assert_array_equal(longer[:, :3, :6], wanted)
    assert not longer[:, 3:].any()
    assert not longer[:, :, 6:].any()


@pytest.mark.host
def test_loops_and_normalization():
    """Against matrices written out; padding and nodes without neighbours keep rows of zeros."""
    star = np.asarray([[0.0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    features = [np.ones((4, 1)), np.ones((2, 1))]

    def adjacency(**options):
        return nn.graphs(features, [star, EDGE], **options)[:, :, 2:]

    mean, symmetric = adjacency(normalize="mean"), adjacency(self_loops=True, normalize="symmetric")
    np.testing.assert_allclose(mean[0], [[0, 0.5, 0.5, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(symmetric[0][0], [1 / 3, 6**-0.5, 6**-0.5, 0], rtol=1e-15)
    np.testing.assert_allclose(symmetric[1], np.pad(np.full((2, 2), 0.5), (0, 2)))
    shared = nn.graphs(np.ones((3, 4, 1)), star)
    np.testing.assert_array_equal(shared[:, :, 2:], np.stack([star] * 3))


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([np.ones((3, 2))], [np.ones((3, 2))]), {}, r"adjacency\[0\] has shape \(3, 2\); the 3 nodes .* \(3, 3\)"),
        (([np.ones((3, 2)), np.ones((2, 2))], [TRIANGLE, TRIANGLE]), {}, r"adjacency\[1\] .* need \(2, 2\)"),
        (([np.ones((3, 2))], [TRIANGLE, EDGE]), {}, "a list of 1 matrices, one for each graph; got 2 of them"),
        (([np.ones((3, 2))], TRIANGLE), {}, "a list of 1 matrices, one for each graph; got a ndarray"),
        (([np.ones((3, 2)), np.ones((2, 3))], [TRIANGLE, EDGE]), {}, r"features\[1\] has 3 channels and .* 2"),
        (([np.ones(3)], [TRIANGLE]), {}, r"features\[0\] has shape \(3,\); a graph has features \(nodes, channels\)"),
        (([np.ones((0, 2))], [np.ones((0, 0))]), {}, r"features\[0\] has shape \(0, 2\)"),
        (([], []), {}, "features is empty"),
        (([np.ones((3, 2))], [np.where(TRIANGLE, np.nan, 0.0)]), {}, r"adjacency\[0\] has NaN or infinity in 3"),
        (([np.full((3, 2), np.inf)], [TRIANGLE]), {}, r"features\[0\] has NaN or infinity"),
        (([np.ones((3, 2))], [TRIANGLE]), {"nodes": 2}, "nodes is 2, and the largest graph has 3"),
        (([np.ones((3, 2))], [TRIANGLE]), {"nodes": -1}, "nodes must be a whole number of at least 1"),
        (([np.ones((3, 2))], [TRIANGLE]), {"sizes": [3]}, "sizes is for graphs in one array"),
        (([np.ones((3, 2))], [-TRIANGLE]), {"normalize": "symmetric"}, "takes roots of the sums of rows"),
        (([np.ones((3, 2))], [TRIANGLE]), {"normalize": "row"}, "normalize must be one of 'mean', 'symmetric'"),
        ((np.ones((3, 2)), TRIANGLE), {}, r"one graph is a list of one: graphs\(\[features\], \[adjacency\]\)"),
        ((np.ones((4, 3, 2)), np.ones((4, 3, 2))), {}, r"need \(4, 3, 3\), or \(3, 3\) for one matrix"),
        ((np.ones((2, 3, 2)), TRIANGLE), {"sizes": [3, -1]}, "sizes must be from 1 to 3, .* graph 1 has -1"),
        ((np.ones((2, 3, 2)), TRIANGLE), {"sizes": [3, 4]}, "graph 1 has 4"),
        ((np.ones((2, 3, 2)), TRIANGLE), {"sizes": [3.0, 2.0]}, "sizes must be 2 whole numbers"),
    ],
)
def test_bad_graphs_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        nn.graphs(*arguments, **options)


@pytest.mark.host
def test_lists_and_arrays_do_not_mix():
    with pytest.raises(TypeError, match="lists of both, or arrays of both"):
        nn.graphs(np.ones((1, 3, 2)), [TRIANGLE])
    with pytest.raises(TypeError, match=r"features\[0\] is a list, not an array"):
        nn.graphs([[[1.0], [2.0]]], [EDGE])
    with pytest.raises(TypeError, match=r"adjacency\[0\] has float64"):
        nn.graphs([np.ones((3, 2), dtype=np.float32)], [TRIANGLE])
