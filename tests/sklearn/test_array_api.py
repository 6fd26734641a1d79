"""Arrays of other libraries stay where they are. SciPy reads its switch for them when it is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn

pytestmark = pytest.mark.host

CHECKS = """
from unittest import SkipTest
from sklearn.utils.estimator_checks import estimator_checks_generator
from ntk_array.sklearn import NTKClassifier, NTKRegressor

for estimator in (NTKRegressor(ridge=0.1), NTKClassifier(ridge=0.1)):
    passed = 0
    for model, check in estimator_checks_generator(estimator):
        if "array_api" in str(check):
            try:
                check(model)
                passed += 1
            except SkipTest:
                pass
    print(passed >= 1)
"""

VALUES = """
import sys
import numpy as np, sklearn
from array_api_compat import device
from ntk_array._array.namespace import to_host
from ntk_array.sklearn import NTKClassifier, NTKRegressor

if sys.argv[1] == "torch":
    import torch as xp
    place = xp.device("cpu")
else:
    import array_api_strict as xp
    place = xp.Device("device1")
rng = np.random.default_rng(0)
x, labels = rng.normal(size=(30, 3)), rng.integers(3, size=30)
cases = [
    (NTKClassifier(ridge=0.1), labels, "predict"),
    (NTKClassifier(), labels, "predict_proba"),
    (NTKClassifier(t=10.0, ridge=0.0), labels > 0, "predict_proba"),
    (NTKRegressor(ridge="marginal_likelihood"), x[:, :2], "predict"),
]
for model, y, method in cases:
    expected = getattr(model.fit(x, y), method)(x)
    with sklearn.config_context(array_api_dispatch=True):
        there = [xp.asarray(a, device=place) for a in (x, y)]
        result = getattr(model.fit(*there), method)(there[0])
        assert type(result) is type(there[0]) and device(result) == place, type(result)
    np.testing.assert_allclose(to_host(result), expected, rtol=1e-6, atol=1e-8)
with sklearn.config_context(array_api_dispatch=True):
    model = NTKRegressor(ridge=0.1).fit(there[0], xp.asarray(x[:, 0], device=place))
    std = model.predict(there[0], return_std=True)[1]
    assert device(std) == place
    # Names of classes stay on the host.
    named = NTKClassifier(ridge=0.1).fit(there[0], np.asarray(["a", "b"])[labels % 2]).predict(there[0])
    assert named.dtype.kind == "U"
print("done")
"""


def output(code, *arguments):
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=root,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7),
    reason="scikit-learn 1.6 asks array-api-strict for a standard that has no numbers beside arrays",
)
@pytest.mark.parametrize("library", ["array_api_strict", pytest.param("torch", marks=pytest.mark.session("torch"))])
def test_values_and_devices(library):
    """And the checks of scikit-learn, which look at all libraries that are installed."""
    pytest.importorskip(library)
    checks = CHECKS if library == "array_api_strict" else ""
    assert output(VALUES + checks, library) == ["done", *["True"] * 2 * bool(checks)]
