"""Versions of installed packages."""

from importlib import metadata

import numpy as np
import pytest

from ntk_array._support.versions import installed_version

pytestmark = pytest.mark.host


def test_versions(monkeypatch):
    assert installed_version("numpy") == np.__version__
    assert installed_version("no_such_package") is None
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"cupy_of_tests": ["numpy"]})
    assert installed_version("cupy_of_tests") == np.__version__
