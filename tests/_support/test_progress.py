"""Progress bars."""

import pytest

from ntk_array._support.progress import progress_bar, progress_sum

pytestmark = pytest.mark.host


@pytest.mark.parametrize("show", [False, True])
def test_items_pass_through(show, capsys):
    assert list(progress_bar(range(3), "runs", "run", show)) == [0, 1, 2]
    assert list(progress_sum([10, 20], 30, "tiles", "B", show)) == [10, 20]
    shown = capsys.readouterr().err
    assert ("runs" in shown) == ("tiles" in shown) == show
