"""Layers, parameters and keys under the names of neural-tangents."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import neural_tangents as nt
from ntk_array.neural_tangents import stax


def shapes(params):
    return [shapes(part) if isinstance(part, list | tuple) else getattr(part, "shape", None) for part in params]


def test_initial_parameters_have_the_layout_of_neural_tangents():
    init_fn, apply_fn, _ = stax.serial(
        stax.ConvTranspose(3, (3, 2), strides=(2, 1), b_std=0.3),
        stax.ConvLocal(4, (3, 3), strides=(2, 1), padding="SAME", b_std=0.3),
        stax.FanOut(2),
        stax.parallel(stax.Identity(), stax.Conv(4, (1, 1))),
        stax.FanInSum(),
        stax.GlobalSelfAttention(5, 3, 2, 2, linear_scaling=False, b_std=0.1, pos_emb_type="CONCAT"),
        stax.Flatten(),
        stax.Dense(2),
    )
    output_shape, params = init_fn(0, (-1, 5, 4, 2))
    assert output_shape == (-1, 2)
    attention = [(2, 8, 3), (2, 8, 3), (2, 4, 2), (4, 5), (1, 1, 1, 5), (1, 6, 5, 4)]
    assert shapes(params) == [
        [(3, 2, 2, 3), (1, 1, 1, 3)],
        [(6, 5, 27, 4), (1, 6, 5, 4)],
        [],
        [[], [(1, 1, 4, 4), None]],
        [],
        attention,
        [],
        [(150, 2), None],
    ]
    assert apply_fn(params, np.ones((3, 5, 4, 2))).shape == (3, 2)


def test_random_parameters_have_the_kernel_of_infinite_width():
    init_fn, apply_fn, kernel_fn = stax.serial(
        stax.Dense(200, 1.3, 0.2), stax.Erf(), stax.Dense(200), stax.Dropout(0.7), stax.Dense(4, 1.0, 0.1)
    )
    x = np.random.default_rng(0).normal(size=(3, 2))
    sampled = nt.monte_carlo_kernel_fn(init_fn, apply_fn, key=1, n_samples=[10, 100])
    few, many = sampled(x[:2], x[2:], ("ntk", "nngp"))
    wanted = kernel_fn(x[:2], x[2:], ("ntk", "nngp"))
    for name in ("ntk", "nngp"):
        scale = np.max(np.abs(kernel_fn(x, None, name)))
        apart = [np.max(np.abs(getattr(found, name) - getattr(wanted, name))) / scale for found in (few, many)]
        assert apart[1] < 0.1
        assert apart[0] < 0.4
    again = nt.monte_carlo_kernel_fn(init_fn, apply_fn, key=1, n_samples=10)(x[:2], x[2:], "ntk")
    np.testing.assert_array_equal(again, few.ntk)


def test_keys_say_where_parameters_live(backend):
    init_fn, _, _ = stax.serial(stax.Dense(3, b_std=1.0), stax.Relu(), stax.Dense(1))
    whole = init_fn(7, (-1, 2))[1]
    assert isinstance(whole[0][0], np.ndarray)
    drawn = init_fn(backend.array(np.asarray([0, 7])), (-1, 2))[1]
    again = init_fn(backend.array(np.asarray([0, 7])), (-1, 2))[1]
    other = init_fn(backend.array(np.asarray([0, 8])), (-1, 2))[1]
    first, same, different = (backend.host(params[0][0]) for params in (drawn, again, other))
    assert type(drawn[0][0]) is type(backend.array(np.zeros(1)))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, different)
    rng = np.random.default_rng(0)
    assert not np.allclose(init_fn(rng, (-1, 2))[1][0][0], init_fn(rng, (-1, 2))[1][0][0])
    with pytest.raises(TypeError, match="a key is"):
        init_fn(backend.array(np.asarray([0.5])), (-1, 2))


def test_keys_and_jit_of_jax(backend):
    if backend.name != "jax":
        pytest.skip("only JAX has them")
    import jax

    init_fn, apply_fn, kernel_fn = stax.Dense(3)
    old, new = init_fn(jax.random.PRNGKey(5), (-1, 2))[1][0], init_fn(jax.random.key(5), (-1, 2))[1][0]
    np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
    x = backend.array(np.eye(2))
    with pytest.raises(TypeError, match=r"outside jax\.jit"):
        jax.jit(kernel_fn, static_argnums=2)(x, None, "ntk")
    with pytest.raises(TypeError, match=r"params is a JAX tracer; .*outside jax\.jit"):
        jax.grad(lambda params: apply_fn(params, x).sum())((old, None))
    with pytest.raises(TypeError, match=r"the key is a JAX tracer; .*in a loop over keys"):
        jax.vmap(lambda key: init_fn(key, (-1, 2))[1][0])(jax.random.split(jax.random.PRNGKey(5)))
    kernel = nt.empirical_ntk_fn(jax.jit(apply_fn))(x, None, (old, None))
    np.testing.assert_allclose(np.asarray(kernel), 0.5 * np.eye(2), atol=1e-6)


def test_the_network_and_its_parameters_are_ours(rng):
    init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(4), stax.Erf(), stax.Dense(2, b_std=0.5))
    x = rng.normal(size=(3, 2))
    _, params = init_fn(0, x.shape)
    np.testing.assert_allclose(apply_fn.net(apply_fn.network.params(params), x), apply_fn(params, x), rtol=1e-14)
    assert kernel_fn.net == ntk.nn.Sequential(ntk.nn.Dense(4), ntk.nn.Erf(), ntk.nn.Dense(2, bias_std=0.5))
    kernel = kernel_fn(x, x + 0.0)
    assert kernel.x1_is_x2
    assert kernel.cov2 is not None
    assert kernel.replace(ntk=None).asdict()["ntk"] is None
    assert kernel_fn(x, None, "cov1", diagonal_batch=False).shape == (3, 3)
    assert nt.batch(kernel_fn, batch_size=2)(x, None, "nngp").shape == (3, 3)


def test_dropout_takes_the_probability_of_keeping(rng):
    _, apply_fn, _ = stax.Dropout(0.75)
    kept = apply_fn((), np.ones((100, 100)), rng=0) != 0
    assert abs(kept.mean() - 0.75) < 0.02
    with pytest.raises(ValueError, match="needs a key"):
        apply_fn((), np.ones((1, 2)))
    _, still, _ = stax.Dropout(0.75, mode="test")
    np.testing.assert_array_equal(still((), np.ones((2, 2)), rng=0), np.ones((2, 2)))


def test_a_given_loss_gradient_follows_the_closed_form(rng):
    """For the squared error of neural-tangents, 1/(2 N C) sum ||f - y||^2."""
    root = rng.normal(size=(4, 4))
    k, y = root @ root.T, rng.normal(size=(4, 2))
    options = {"loss_gradient": lambda f, y: (f - y) / y.size}
    predict_fn = nt.predict.gradient_descent(lambda f, y: 0.5 * np.mean((f - y) ** 2), k, y, 0.5, **options)
    values, vectors = np.linalg.eigh(k)
    wanted = y - vectors @ (np.exp(-values * 3.0 * 0.5 / y.size)[:, None] * (vectors.T @ y))
    np.testing.assert_allclose(predict_fn(3.0), wanted, rtol=1e-8)
    assert isinstance(predict_fn(3.0, nt.predict.ODEState(0.0 * y)), nt.predict.ODEState)
