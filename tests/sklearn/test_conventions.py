"""What users of scikit-learn take for granted."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

import ntk_array as ntk
from ntk_array.sklearn import NTKClassifier, NTKRegressor

pytestmark = pytest.mark.host

X, Y = load_iris(return_X_y=True)
X, Y = X[::3], Y[::3]


# Those of array libraries run in test_array_api.py.
CHECKS = [
    pair
    for model in (NTKRegressor(), NTKClassifier())
    for pair in estimator_checks_generator(model)
    if "array_api" not in str(pair[1])
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=lambda one: getattr(getattr(one, "func", one), "__name__", "")
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_a_grid_search_in_other_processes():
    grid = {"ntkclassifier__depth": [1, 3], "ntkclassifier__ridge": ["leave_one_out"]}
    search = GridSearchCV(make_pipeline(StandardScaler(), NTKClassifier()), grid, n_jobs=2, cv=2).fit(X, Y)
    assert search.best_score_ > 0.9
    assert search.predict(X).shape == Y.shape


@pytest.mark.parametrize("kernel", [ntk.InfiniteNTK, ntk.InfiniteNNGP])
def test_support_vectors_take_our_kernels(kernel):
    nets = [ntk.nn.mlp((1,) * depth, 1, activation="erf", bias_std=0.1) for depth in (1, 2)]
    pipeline = make_pipeline(StandardScaler(), SVC(kernel=kernel(nets[0])))
    search = GridSearchCV(pipeline, {"svc__C": [1.0, 10.0], "svc__kernel": [kernel(net) for net in nets]}, cv=3)
    assert search.fit(X, Y).best_score_ > 0.9
    # The same support vectors as from the matrix.
    x = StandardScaler().fit_transform(X)
    own, given = SVC(kernel=kernel(nets[0])).fit(x, Y), SVC(kernel="precomputed").fit(kernel(nets[0])(x), Y)
    np.testing.assert_allclose(own.dual_coef_, given.dual_coef_, atol=1e-8)


def test_clones_and_pickles():
    model = NTKClassifier(network=ntk.nn.mlp((1,), 1, activation="gelu"), ridge=0.1)
    assert clone(model).get_params()["network"] == model.network
    model.fit(X, Y)
    data = pickle.dumps(model)
    np.testing.assert_array_equal(pickle.loads(data).predict_proba(X), model.predict_proba(X))
    assert len(pickle.dumps(vars(model))) < 8 * len(X) ** 2 / 2, "a classifier keeps no factorisation"
    # The factorisation of N^2 numbers stays behind, and standard deviations are there all the same.
    regressor = NTKRegressor(ridge=0.1).fit(X, Y)
    data = pickle.dumps(regressor)
    assert len(data) < 8 * len(X) ** 2 / 2
    np.testing.assert_allclose(pickle.loads(data).predict(X, True)[1], regressor.predict(X, True)[1], rtol=1e-6)


def test_nothing_changes_a_fitted_model_but_fit():
    """Neither the caller's array, nor options that are set later."""
    x, early = X.copy(), NTKRegressor(t=1.0, ridge=0.1).fit(X, Y)
    model = NTKRegressor(ridge=0.1).fit(x, Y)
    before = model.predict(X), *model.predict(X[:3], return_std=True)
    x[...] = 0.0
    model.set_params(depth=5, kernel="nngp")
    after = model.predict(X), *pickle.loads(pickle.dumps(model)).predict(X[:3], return_std=True)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)
    early.set_params(t=np.inf)
    with pytest.raises(ValueError, match="fitted for a finite time"):
        early.predict(X, return_std=True)


def test_lists_and_tables():
    model = NTKRegressor(ridge=0.1).fit(X.tolist(), Y.tolist())
    np.testing.assert_array_equal(model.predict(X.tolist()), model.predict(X))
    with pytest.raises(ValueError, match="not compatible with arrays of bytes/strings"):
        NTKRegressor().fit([["a", 1.0], ["b", 2.0]], [0.0, 1.0])
    masked = np.ma.masked_array(X, X > 1.0)
    for refused in (lambda: model.predict(masked), lambda: NTKRegressor().fit(masked, Y)):
        with pytest.raises(TypeError, match="X is a masked array"):
            refused()
    with pytest.raises(ValueError, match="could not convert string to float"):
        NTKRegressor().fit(np.asarray([["a", 1.0], ["b", 2.0]], dtype=object), [0.0, 1.0])


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    labels = pandas.Series(Y).map({0: "zero", 1: "one", 2: "two"})
    model = make_pipeline(StandardScaler(), NTKClassifier()).set_output(transform="pandas").fit(frame, labels)
    assert model[-1].feature_names_in_.tolist() == list("abcd")
    assert model.score(frame, labels) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("bacd")])
    with pytest.raises(ValueError, match="could not convert string to float"):
        NTKClassifier().fit(frame.assign(a="word"), labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "rbf"}, "kernel must be one of 'ntk', 'nngp'"),
        ({"ridge": "cross_validation"}, "ridge must be one of 'leave_one_out', 'marginal_likelihood'"),
        ({"ridge": -1.0}, "ridge must be finite and not negative"),
        ({"t": 10.0}, "early stopping takes the place of a ridge"),
        ({"solver": "conjugate_gradient"}, "chosen over the spectrum"),
        ({"solver": "inverse"}, "solver must be one of .*got 'inverse'"),
        ({"depth": 0}, "depth must be a whole number of at least 1"),
        ({"t": [1.0, 2.0], "ridge": 0.0}, "t must be one time"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        NTKRegressor(**options).fit(X, Y)


def test_cross_validation_of_networks_of_images():
    images = np.random.default_rng(0).normal(size=(30, 4, 4, 1))
    labels = images[:, :2, :, 0].sum(axis=(1, 2)) > 0
    model = NTKClassifier(network=ntk.nn.cnn((1,), 1, pooling="flatten"), ridge=0.01)
    assert cross_val_score(model, images, labels, cv=3).shape == (3,)
    with pytest.raises(ValueError, match="Found array with dim 4"):
        NTKClassifier().fit(images, labels)
