"""docs/torch.md and the examples of the package, which the session of the other pages cannot run without PyTorch."""

import doctest
from pathlib import Path

import pytest

from ntk_array.torch import module_kernel, translate

pytestmark = pytest.mark.session("torch")

PAGE = Path(__file__).parents[2] / "docs/torch.md"


def test_the_guide_runs():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 20
    assert not result.failed


@pytest.mark.parametrize("module", [module_kernel, translate])
def test_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
