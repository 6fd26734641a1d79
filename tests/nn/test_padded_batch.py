"""Inputs of several lengths as arrays: what is where, and what bad inputs get."""

import numpy as np
import pytest

from ntk_array import nn

LONG, SHORT = np.arange(6.0).reshape(3, 2), np.asarray([[6.0, 7.0]])


def test_values_and_marks_side_by_side(backend):
    one, two = backend.array(LONG), backend.array(SHORT)
    x = nn.padded([one, two])
    wanted = np.zeros((2, 3, 3))
    wanted[0], wanted[1, 0] = np.concatenate([LONG, np.ones((3, 1))], axis=1), [6, 7, 1]
    assert type(x) is type(one)
    assert x.dtype == one.dtype
    np.testing.assert_array_equal(backend.host(x), wanted)
    # The same from one array with garbage as padding, and with more positions.
    values = np.full((2, 3, 2), 5.0)
    values[0], values[1, :1] = LONG, SHORT
    mask = np.asarray([[True, True, True], [True, False, False]])
    for given in (mask, mask.astype(int), backend.array(mask.astype(float)), mask.tolist()):
        np.testing.assert_array_equal(backend.host(nn.padded(backend.array(values), mask=given)), wanted)
    longer = backend.host(nn.padded([one, two], positions=5))
    np.testing.assert_array_equal(longer[:, :3, :], wanted)
    assert not longer[:, 3:].any()


@pytest.mark.host
def test_images():
    images = [np.ones((3, 2, 1)), np.full((2, 3, 1), 2.0)]
    x = nn.padded(images, positions=(3, 4))
    assert x.shape == (2, 3, 4, 2)
    np.testing.assert_array_equal(x[0, ..., 1], np.pad(np.ones((3, 2)), ((0, 0), (0, 2))))
    np.testing.assert_array_equal(x[1, ..., 0], np.pad(np.full((2, 3), 2.0), ((0, 1), (0, 1))))
    np.testing.assert_array_equal(nn.padded(np.ones((2, 3, 4, 1)), mask=x[..., 1])[..., 1], x[..., 1])


@pytest.mark.host
@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([], {}, "inputs is empty"),
        ([LONG, np.ones((0, 2))], {}, r"inputs\[1\] has shape \(0, 2\); .* one position at least"),
        ([np.ones(3)], {}, r"inputs\[0\] has shape \(3,\).* one channel is x\[:, None\]"),
        ([LONG, np.ones((2, 3))], {}, r"inputs\[1\] has shape \(2, 3\) and inputs\[0\] \(3, 2\): all have the same"),
        ([LONG, np.ones((2, 2, 2))], {}, "as many axes"),
        ([LONG, np.full((2, 2), np.nan)], {}, r"inputs\[1\] has NaN"),
        ([LONG, SHORT], {"positions": 2}, r"positions is 2, and the largest input has \(3,\)"),
        ([LONG, SHORT], {"positions": (3, 3)}, "positions has 2 numbers; the inputs have 1 axes"),
        ([LONG, SHORT], {"positions": 0}, "positions must be a whole number of at least 1"),
        ([LONG, SHORT], {"mask": np.ones((2, 3))}, "mask is for inputs in one array"),
        (LONG, {}, r"one sequence is a list of one: padded\(\[inputs\]\)"),
        (LONG[None], {"mask": np.ones(3)}, r"mask has shape \(3,\); one number for each position is \(1, 3\)"),
        (LONG[None], {"mask": np.asarray([[1.0, np.nan, 0.0]])}, "mask has other numbers than 1"),
        (LONG[None], {"mask": np.asarray([[2, 1, 0]])}, "mask has other numbers than 1"),
        (LONG[None], {"mask": [["a", "b", "c"]]}, "mask has other numbers than 1"),
        (LONG[None], {"mask": [[0, 1, 1]]}, "padding before positions of input 0, or a gap"),
        (LONG[None], {"mask": [[1, 0, 1]]}, "put padding behind what exists"),
        (LONG[None], {"mask": [[0, 0, 0]]}, "mask has no position of input 0"),
        (np.ones((1, 2, 2, 1)), {"mask": [[[1, 1], [1, 0]]]}, "or a gap"),
    ],
)
def test_bad_inputs_are_named(inputs, options, message):
    with pytest.raises(ValueError, match=message):
        nn.padded(inputs, **options)


@pytest.mark.host
def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"inputs\[0\] is a list, not an array"):
        nn.padded([[[1.0], [2.0]]])
    with pytest.raises(TypeError, match=r"inputs\[0\] has dtype float64, inputs\[1\] has float32"):
        nn.padded([LONG, SHORT.astype(np.float32)])
    with pytest.raises(TypeError, match="mask is a masked array"):
        nn.padded(LONG[None], mask=np.ma.masked_array(np.ones((1, 3)), mask=False))
