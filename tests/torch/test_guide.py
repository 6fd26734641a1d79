"""docs/torch.md runs, as the other pages do in a session without PyTorch."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/torch.md"


def test_the_guide_runs():
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 20
    assert not result.failed
