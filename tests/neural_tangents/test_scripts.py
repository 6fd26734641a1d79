"""Scripts written for neural-tangents, run with the import changed, against what that gave."""

import json
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
FROZEN = json.loads((HERE / "frozen.json").read_text())
"""By neural-tangents in float64: ``python -m benchmarks.peers.neural_tangents_scripts`` in its environment."""
SCRIPTS = sorted(FROZEN["scripts"])
ON_JAX = "any_loss"
"""It differentiates its loss by JAX."""
IN_FLOAT32 = ("descent", "finite", "graphs", "processes")
"""Scripts that run in float32 too: the others show layers, which have tests of their own."""
ON_JAX_TOO = (ON_JAX, "descent")
"""JAX compiles for each network and shape."""
CLOSE = {"float64": 1e-9, "float32": 3e-4}
"""Relative to the largest value of an array."""
INTEGRATED = 1e-6
"""neural-tangents integrates in time to a tolerance of 1.4e-8 a step, ours to 4e-11."""


def changed(name):
    """The script, with the import changed and nothing else."""
    source = (HERE / f"scripts/{name}.py").read_text()
    script = {}
    exec(compile(source.replace("neural_tangents", "ntk_array.neural_tangents"), name, "exec"), script)
    return script["main"]


def test_every_script_is_frozen():
    assert sorted(path.stem for path in (HERE / "scripts").glob("*.py")) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_give_the_same_numbers_with_the_import_changed(backend, name):
    if name == ON_JAX and backend.name != "jax":
        pytest.skip("the script is written with jax.numpy")
    if backend.name == "jax" and name not in ON_JAX_TOO:
        pytest.skip("compiling every network takes long")
    if backend.dtype_name == "float32" and name not in IN_FLOAT32:
        pytest.skip("layers are tested in float32 by themselves")
    found, wanted = changed(name)(backend.array), FROZEN["scripts"][name]
    assert sorted(found) == sorted(wanted)
    for key, values in wanted.items():
        values, own = np.asarray(values), backend.host(found[key])
        assert own.shape == values.shape, key
        close = INTEGRATED if name == ON_JAX else CLOSE[backend.dtype_name]
        np.testing.assert_allclose(own, values, rtol=0, atol=close * np.max(np.abs(values)), err_msg=key)
