"""What the names of neural-tangents refuse: each error says what is wrong, and what there is instead."""

from collections import namedtuple

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import neural_tangents as nt
from ntk_array.neural_tangents import stax

pytestmark = pytest.mark.host
DENSE, BIASED, FAN_OUT = stax.Dense(1), stax.Dense(1, b_std=1.0), stax.FanOut(2)
PARAMS = np.ones((3, 1)), None
X, ROWS = np.ones((2, 4, 3)), np.ones((2, 3))
Y, ONE = np.ones((2, 1)), np.ones((1, 2))
TANH = stax.serial(DENSE, stax.Elementwise(np.tanh), DENSE)
GIVEN = stax.serial(DENSE, stax.ExpNormalized(), DENSE)
POOLED = stax.serial(stax.GlobalAvgPool(), DENSE)
SPARSE = stax.Aggregate(implementation="SPARSE")
MIXED = stax.serial(stax.Aggregate(), SPARSE, stax.GlobalAvgPool())
NNGP = namedtuple("Kernels", "nngp")(np.eye(2))


def masked(layers, gone=(3,)):
    """A kernel of inputs without these positions."""
    return layers[2](np.where(np.isin(np.arange(4), gone)[:, None], np.nan, X), None, "ntk", mask_constant=np.nan)


def descent(*arguments, **options):
    """Gradient descent of any loss, whose predictions are asked for these values."""
    predict_fn = nt.predict.gradient_descent(None, np.eye(2), Y, loss_gradient=lambda f, y: f - y)
    return predict_fn(*arguments, **options)


def ensemble(**options):
    """An ensemble whose kernel of the sample had an argument of its own, asked about new inputs."""

    def kernel_fn(x1, x2, get, **own):
        return namedtuple("Kernels", get)(*[np.eye(2) for _ in get])

    return nt.predict.gradient_descent_mse_ensemble(kernel_fn, X, Y, pattern="one")(x_test=X, get="ntk", **options)


# No counterpart in ntk_array: the advice is what to take instead.
REFUSED = {
    "axes": (lambda: stax.Dense(1, channel_axis=1), "ChannelsLast"),
    "s": (lambda: stax.Dense(1, s=(1, 2)), "widths of the network"),
    "a bias of 0": (lambda: stax.Dense(1, b_std=0.0, parameterization="standard"), "b_std=None"),
    "axes of convolutions": (lambda: stax.Conv(1, (3, 3), dimension_numbers=("NCHW", "HWIO", "NCHW")), "NHWC"),
    "tanh for GELU": (lambda: stax.Gelu(approximate=True), "GELU"),
    "decay": (lambda: stax.GlobalSelfAttention(1, 1, 1, 1, pos_emb_decay_fn=abs), "position_length"),
    "smoothing": (
        lambda: stax.serial(DENSE, stax.ImageResize((-1, 2, -1), "linear"), stax.Flatten(), DENSE)[2](X),
        "antialias=False",
    ),
    "several inputs": (lambda: stax.serial(stax.parallel(DENSE, DENSE), stax.FanInSum())[2](X), "FanOut"),
    "shapes of several inputs": (lambda: stax.parallel(DENSE, DENSE)[0](0, (-1, 3)), r"needs FanOut\(2\) before it"),
    "a list of shapes": (lambda: DENSE[0](0, [(-1, 3), (-1, 3)]), "input_shape must be one shape"),
    "a list of inputs": (lambda: DENSE[2]([X, X], None, "ntk"), "2 inputs were given"),
    "several outputs": (lambda: stax.serial(DENSE, FAN_OUT)[2](X), "2 outputs"),
    "positions of outputs": (lambda: DENSE[2](X), "GlobalAvgPool"),
    "masked inputs": (lambda: POOLED[2](ROWS, None, "ntk", mask_constant=0.0), "leave masked inputs out"),
    "masked channels": (
        lambda: POOLED[2](np.asarray([[[1.0, 0.0, 2.0]]]), None, "ntk", mask_constant=0.0),
        "a number that is no value",
    ),
    "masks with gaps": (lambda: masked(POOLED, (0,)), "put padding behind what exists"),
    "inputs that are masked": (lambda: masked(POOLED, (0, 1, 2, 3)), "no position of input 0"),
    "masks and flattening": (lambda: masked(stax.serial(stax.Flatten(), DENSE)), "use GlobalAvgPool"),
    "masks and windows": (lambda: masked(stax.serial(stax.Conv(1, (3,)), POOLED)), 'padding="SAME"'),
    "masks and strides": (
        lambda: masked(stax.serial(stax.Conv(1, (3,), (2,), "SAME"), POOLED)),
        "depends on its length",
    ),
    "masks and positions": (lambda: masked(DENSE), "end it with GlobalAvgPool"),
    "masks and graphs": (lambda: masked(stax.serial(stax.Aggregate(), POOLED)), r"nn\.graphs"),
    "axes of kernels": (lambda: DENSE[2](ROWS, None, "ntk", batch_axis=1), "batch_axis is no argument here"),
    "kernels of kernels": (lambda: DENSE[2](DENSE[2](ROWS)), "one stax.serial"),
    "functions of others": (lambda: nt.empirical_ntk_fn(lambda params, x: x), "automatic differentiation"),
    "degree 2": (lambda: nt.taylor_expand(DENSE[1], [], 2), "degree 0 or 1"),
    "traced inputs": (lambda: nt.empirical_ntk_fn(DENSE[1], trace_axes=(0,)), "outputs are"),
    "pairs of two batches": (
        lambda: nt.empirical_ntk_fn(DENSE[1], diagonal_axes=(0,))(ROWS, 2.0 * ROWS, PARAMS),
        "needs x2=None",
    ),
    "no derivative": (lambda: stax.ElementwiseNumerical(abs, 25), "df"),
    "no df": (lambda: nt.empirical_ntk_fn(TANH[1])(ROWS, None, [PARAMS, (), (np.ones((1, 1)), None)]), "give df="),
    "no dual": (lambda: TANH[2](ROWS, None, "ntk"), "needs nngp_fn and d_nngp_fn"),
    "no function": (lambda: GIVEN[1]([PARAMS, (), (np.ones((1, 1)), None)], ROWS), "give fn="),
    "hyper-parameters of a given dual": (
        lambda: ntk.InfiniteNNGP(GIVEN[2].net).derivative("log_weight_std")(ROWS),
        r"no derivative in hyper-parameters: write it as ntk_array\.nn\.Elementwise",
    ),
    "nodes on a grid": (
        lambda: stax.serial(stax.Aggregate(), stax.GlobalAvgPool())[2](np.ones((2, 2, 2, 3)), None, "ntk"),
        "Aggregate takes nodes along one axis",
    ),
    "axes of nodes": (lambda: stax.Aggregate((1, 2)), "aggregate_axis=1"),
    "two kinds of patterns": (lambda: MIXED[1]([(), (), ()], X, pattern=np.ones((2, 4, 4))), "one implementation"),
    "channels joined": (lambda: stax.FanInConcat(1), "axis=-1"),
    "channels selected": (lambda: stax.Index(stax.Slice[..., 0]), "Index selects positions"),
    "sizes of channels": (lambda: stax.ImageResize((-1, 2, 3), "nearest"), r"shape must be \(-1, \*positions, -1\)"),
    "cubic": (lambda: stax.ImageResize((-1, 2, -1), "cubic"), '"nearest" or "linear"'),
    "no loss gradient": (
        lambda: nt.predict.gradient_descent(lambda f, y: 0.0, np.eye(2), Y),
        "loss_gradient",
    ),
    "a limit of any loss": (lambda: descent(None), "give a finite time"),
    "velocities": (lambda: descent(1.0, nt.predict.ODEState(Y, qx_train=Y)), r"GradientFlow\.advance can"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_over_says_so(name):
    call, advice = REFUSED[name]
    with pytest.raises(NotImplementedError, match=advice):
        call()


WRONG = [
    (lambda: DENSE[1](PARAMS[:1], ROWS), r"\(W, b\)"),
    (lambda: DENSE[1]({"weight": 1.0}, ROWS), "got a dict for its parameters"),
    (lambda: stax.Relu()[1](PARAMS, ROWS), r"ReLU\(\) has no parameters, and 2 were given"),
    (lambda: BIASED[1](PARAMS, ROWS), "has a bias, and None was given"),
    (lambda: stax.serial(DENSE, DENSE)[1]([PARAMS], ROWS), "the parameters of 2 layers are a list .*, got 1 entries"),
    (lambda: DENSE[2](ROWS, None, "kernel"), "get must be one of"),
    (lambda: DENSE[2](ROWS, None, ("ntk", "ntk")), "one name or more, each once"),
    (lambda: DENSE[1](PARAMS, X, pattern=np.ones((2, 4, 4))), "no layer of the network is an Aggregate"),
    (lambda: stax.serial(), "at least one layer"),
    (lambda: stax.FanInSum()[0](0, (-1, 3)), "Sum joins branches: put FanOut and parallel before it"),
    (lambda: stax.FanInProd()[2](ROWS), "Product joins branches: put FanOut and parallel before it"),
    (lambda: stax.serial(FAN_OUT, DENSE)[0](0, (-1, 3)), "there are 2 branches: join them by FanInSum"),
    (lambda: stax.serial(FAN_OUT, DENSE)[2](ROWS), "there are 2 branches: join them first"),
    (lambda: stax.Elementwise(), "give the function fn, its dual activation nngp_fn, or both"),
    (lambda: stax.Dropout(0.5, mode="eval"), 'mode must be "train" or "test"'),
    (lambda: stax.Dropout(0.0), "rate is the probability of keeping a value, above 0"),
    (lambda: nt.monte_carlo_kernel_fn(DENSE[0], BIASED[1], 0, 1), "of different networks"),
    (lambda: nt.monte_carlo_kernel_fn(*DENSE[:2], 0, [1, 0]), "whole numbers of at least 1"),
    (lambda: nt.predict.gradient_descent_mse(np.ones((2, 2)), np.ones((2, 3)), trace_axes=()), "pairs of axes"),
    (lambda: nt.predict.max_learning_rate(np.ones(3)), r"pairs of axes, \(N1, N2\) or .*, got \(3,\)"),
    (lambda: nt.predict.gradient_descent_mse(np.eye(2), Y)(1.0, None), "nothing is asked for"),
    (lambda: descent(1.0, 0.0, 0.0), "need its kernel with the training set, k_test_train"),
    (lambda: nt.predict.gp_inference(np.eye(2), np.ones(2)), r"y_train\[:, None\]"),
    (lambda: nt.predict.gp_inference(np.eye(2), Y)("ntk", ONE, np.eye(1)), "both kernels"),
    (lambda: nt.predict.gp_inference(NNGP, Y)("ntk", ONE), r"the kernels have no ntk: .* get=\('nngp', 'ntk'\)"),
    (lambda: ensemble(pattern="other"), "pattern of the test set and of the training set differ: 'other' and 'one'"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="no layer of ntk_array"):
        stax.serial(DENSE, ntk.nn.ReLU())
    with pytest.raises(TypeError, match="kernel_fn must be a function, got 3"):
        nt.batch(3)
    with pytest.raises(TypeError, match="got the argument key, which no layer of it takes"):
        DENSE[1](PARAMS, ROWS, key=0)
    dask = pytest.importorskip("dask.array", reason="a key without values yet")
    with pytest.raises(TypeError, match="the key is a dask array, which has no values yet"):
        DENSE[0](dask.arange(2), (-1, 3))
