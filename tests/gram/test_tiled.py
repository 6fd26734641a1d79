"""What is prepared of a batch, cut along the inputs."""

import numpy as np

import ntk_array as ntk
from ntk_array.gram.tiled import part
from ntk_array.nn.linear import LinearFactors


def test_parts_are_what_is_prepared_of_parts(backend, rng):
    x = backend.array(rng.normal(size=(6, 3)))
    net = ntk.nn.mlp((5, 4), 2, activation="tanh", bias_std=0.3)
    params = net.init(0, like=x)
    kernel = ntk.EmpiricalNTK(net, params) + 2.0 * ntk.EmpiricalNTK(net, params)
    for rows in (slice(0, 4), slice(5, 6)):
        cut, own = part(kernel.prepare(x), rows), kernel.prepare(x[rows, ...])
        assert type(cut[0][0]) is LinearFactors
        for factors, expected in zip(cut[0] + cut[1][0], own[0] + own[1][0], strict=True):
            for array, other in zip(factors, expected, strict=True):
                backend.close(array, backend.host(other), factor=8)


def test_what_is_the_same_for_all_inputs_is_kept_whole():
    array = np.arange(6.0).reshape(3, 2)
    cut = part([array, (array[:1],)], slice(1, 3))
    np.testing.assert_array_equal(cut[0], array[1:])
    np.testing.assert_array_equal(cut[1][0], array[:1])
    assert type(cut[1]) is tuple
