"""Saved estimators: the same predictions, no pickle, and clear words about damaged files."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import ntk_array as ntk
from ntk_array._array.namespace import to_host
from ntk_array.sklearn import NTKClassifier, NTKRegressor, load, save

pytestmark = pytest.mark.host

X, Y = load_iris(return_X_y=True)
X, Y = X[::5], Y[::5]
NAMES = np.asarray(["setosa", "versicolor", "virginica"])
OWN = ntk.nn.Elementwise(
    lambda xp, x: x**2,
    lambda xp, x: 2 * x,
    name="own",
    dual_phi=lambda xp, k11, k12, k22: k11 * k22 + 2 * k12**2,
    dual_phi_prime=lambda xp, k11, k12, k22: 4 * k12,
)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (NTKClassifier(), NAMES[Y]),
        (NTKClassifier(activation="erf", bias_std=0.0), NAMES.astype(object)[Y]),
        (
            NTKClassifier(
                network=ntk.nn.mlp((3, 2), 1, activation="gelu"), t=5.0, ridge=ntk.solve.TimesMeanDiagonal(0.1)
            ),
            Y > 0,
        ),
        (make_pipeline(StandardScaler(), NTKClassifier(ridge=0.1)), np.eye(3, dtype=int)[Y]),
        (make_pipeline(StandardScaler(), NTKRegressor(activation=ntk.nn.LeakyReLU(0.2), ridge=0.1)), X[:, 0]),
        (NTKRegressor(solver=ntk.solve.Cholesky(), ridge=1.0, activation=OWN), X[:, :2]),
    ],
)
def test_what_comes_back(model, y, tmp_path):
    path = tmp_path / "model.npz"
    save(path, model.fit(X, y))
    again = load(path, activations={"own": OWN})
    assert str(again) == str(model)
    assert again.predict(X).dtype == model.predict(X).dtype
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    last = model[-1] if hasattr(model, "steps") else model
    if isinstance(last, NTKRegressor) and last.solver == "direct":
        np.testing.assert_allclose(
            again.predict(X, return_std=True)[1], model.predict(X, return_std=True)[1], rtol=1e-6
        )
    if last.activation is OWN:
        with pytest.raises(
            ValueError, match=r"^the network has an activation of your own named 'own'; pass activations="
        ):
            load(path)


def test_options_out_of_an_array(tmp_path):
    model = NTKRegressor(depth=np.arange(1, 3)[0], ridge=np.float32(0.5)).fit(X, X[:, 0])
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert (type(again.depth), again.depth, again.ridge) == (int, 1, 0.5)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_on_another_library(tmp_path):
    import array_api_strict as xp

    device = xp.Device("device1")
    NTKClassifier().fit(X, Y).save(tmp_path / "model.npz")
    model = load(tmp_path / "model.npz", xp=xp, device=device)
    assert model.X_fit_.device == model.classes_.device == device
    assert to_host(model.classes_).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"NTKClassifier\.predict\(\) must use the same namespace and the same device"):
        model.predict(X)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(tmp_path / "model.npz", NTKClassifier())
    with pytest.raises(TypeError, match="save their last step"):
        save(tmp_path / "model.npz", make_pipeline(MinMaxScaler(), NTKClassifier()).fit(X, Y))
    with pytest.raises(TypeError, match="leave its options alone"):
        save(tmp_path / "model.npz", make_pipeline(StandardScaler(with_mean=False), NTKClassifier()).fit(X, Y))
    with pytest.raises(TypeError, match=r"labels of dtype datetime64\[D\] are neither numbers nor text"):
        save(tmp_path / "model.npz", NTKClassifier().fit(X, np.datetime64("2026-01-01") + Y))
    assert not list(tmp_path.iterdir())


def damaged(path, change):
    """The file again, with its description or arrays changed."""
    with np.load(path) as archive:
        arrays = dict(archive)
    description = json.loads(str(arrays.pop("estimator")))
    change(description, arrays)
    np.savez(path, estimator=np.asarray(json.dumps(description)), **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, a: d.update(schema="ntk_array estimator 9"), "this version reads 'ntk_array estimator 1'"),
        (lambda d, a: d.update(estimator="os.system"), "is damaged: 'os.system'"),
        (lambda d, a: d["options"].update(depth=-1), "is damaged: depth must be a whole number"),
        (
            lambda d, a: d["options"].update(newer=1, kernel="ntk") or d.update(ntk_array="9.0"),
            "by ntk_array 9.0, this",
        ),
        (lambda d, a: d["options"].update(solver={"solver": "eval"}), "unknown solver 'eval'"),
        (lambda d, a: a.update(X_fit=a["X_fit"][:-1]), "its arrays have the shapes"),
        (lambda d, a: a.update(dual_coef=a["dual_coef"] * np.nan), "dual_coef does not hold finite real numbers"),
        (lambda d, a: a.update(classes=a["classes"][:-1]), r"its classes are \(2,\) for 3 columns"),
        (lambda d, a: d.update(features=["length"]), "it has 1 names of 4 features"),
        (lambda d, a: a.update(mean=np.ones(3), spread=np.ones(4)), "are not those of 4 features"),
        (lambda d, a: a.pop("offset"), "is damaged: 'offset'"),
        (lambda d, a: d.pop("ridge"), "is damaged: 'ridge'"),
    ],
)
def test_damaged_descriptions(change, message, tmp_path):
    path = tmp_path / "model.npz"
    NTKClassifier().fit(X, Y).save(path)
    damaged(path, change)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_damaged_bytes(tmp_path):
    path = tmp_path / "model.npz"
    NTKClassifier().fit(X, Y).save(path)
    content, expected = path.read_bytes(), load(path).predict_proba(X)
    rng = np.random.default_rng(0)
    for k in range(60):
        broken = bytearray(content)
        broken[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken if k % 2 else content[: rng.integers(len(content))])
        try:
            model = load(path)
        except ValueError:
            continue
        # Some bytes of an archive say nothing, such as the date of a member.
        np.testing.assert_array_equal(model.predict_proba(X), expected)
    ntk.nn.save(path, ntk.nn.mlp((2,), 1), ntk.nn.mlp((2,), 1).init(0, input_shape=(2,)))
    with pytest.raises(ValueError, match="is not an estimator saved by"):
        load(path)
