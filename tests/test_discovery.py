"""What completion offers and a user's type checker sees, although some modules are loaded late."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ntk_array as ntk

pytestmark = pytest.mark.host

SCRIPT = """
import numpy as np
import ntk_array as ntk

x = np.ones((3, 2))
cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), x[:, 0])
reveal_type(ntk.dynamics.GradientFlow(ntk.InfiniteNTK(ntk.nn.mlp((4,), 1)), cost))
reveal_type(ntk.experiments.trained_ensemble)
reveal_type(ntk.study.StudySettings().widths)
reveal_type(ntk.Nystroem)
ntk.dynamics.NoSuchThing
"""


def test_completion_offers_what_is_loaded_late():
    assert {"dynamics", "experiments", "operators", "solve", "study", "Nystroem", "nn"} <= set(dir(ntk))
    assert {"Nystroem", "RandomFeatures"} <= set(dir(ntk.kernels))
    assert {"Store", "open", "plan"} <= set(dir(ntk.gram))


def test_the_package_says_that_it_is_typed():
    assert (Path(ntk.__file__).parent / "py.typed").is_file()


@pytest.mark.skipif("NTK_ARRAY_TYPES" not in os.environ, reason="takes as long as mypy does: nox -s types")
def test_a_users_type_checker_sees_through_late_modules(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    # Without the configuration of the package. Errors inside of the package are those of another test.
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    found = subprocess.run(
        [*command, f"--cache-dir={tmp_path / 'cache'}", "script.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(Path(ntk.__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for revealed in ("gradient_flow.GradientFlow", "ensembles.TrainedEnsemble", "int, ...]"):
        assert revealed in found
    assert "Nystroem" in found
    assert 'no attribute "NoSuchThing"' in found
    assert found.count("error:") == 1
