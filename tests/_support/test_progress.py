"""Progress bars."""

import pytest

from ntk_array._support.progress import progress_asked, progress_bar, progress_sum, progress_within

pytestmark = pytest.mark.host


@pytest.mark.parametrize("show", [False, True])
def test_items_pass_through(show, capsys):
    assert list(progress_bar(range(3), "runs", "run", show)) == [0, 1, 2]
    assert list(progress_sum([10, 20], 35, "tiles", "B", show, done=5)) == [10, 20]
    shown = capsys.readouterr().err
    assert ("runs" in shown) == ("tiles" in shown) == show


def test_asked_for_from_far_above():
    assert not progress_asked()
    with progress_within(True):
        assert progress_asked()
        with progress_within(False):
            assert not progress_asked()
        assert progress_asked()
    assert not progress_asked()
