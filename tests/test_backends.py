"""The test matrix itself: every backend that was asked for ran, and its guards guard."""

import numpy as np
import pytest

from ntk_array._array.namespace import to_host

from .conftest import RAN, requested


def test_a_hidden_read_of_a_device_array_fails(backend):
    if not backend.name.startswith("strict"):
        pytest.skip("the guards are for array-api-strict; on other libraries there is nothing to guard")
    x = backend.array([1.0, 2.0])
    for read in (lambda: float(x[0]), lambda: bool(x[0] > 0), lambda: backend.xp.from_dlpack(x), lambda: list(x)):
        with pytest.raises((AssertionError, TypeError)):
            read()
    assert float(to_host(x[0])) == 1.0


def test_read_only_inputs_are_read_only(backend):
    if backend.name == "numpy-readonly":
        with pytest.raises(ValueError, match="read-only"):
            backend.array(np.ones(3))[0] = 2.0


def test_every_requested_backend_ran(request):
    partial = any(request.config.getoption(option, None) for option in ("keyword", "markexpr")) or any(
        "::" in argument or argument.endswith(".py") for argument in request.config.args
    )
    if partial:
        pytest.skip("a part of the suite was selected")
    for name in requested(request.config):
        assert RAN[name] > 20, f"backend {name} ran {RAN[name]} tests"
