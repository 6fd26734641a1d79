"""Gradient descent on parameters: against literal steps, and what it records, reports and refuses."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import max_step
from ntk_array.function_space import EmpiricalMeasure, SquaredError
from ntk_array.nn.parameters import flatten

N, C = 5, 2
WEIGHTS = np.asarray([0.1, 0.35, 0.05, 0.3, 0.2])


def problem(array, weighted=False):
    rng = np.random.default_rng(3)
    x, y = array(rng.normal(size=(N, 3))), array(rng.normal(size=(N, C)))
    net = ntk.nn.mlp((8,), C, activation="tanh", weight_std=1.4, bias_std=0.3)
    return net, net.init(2, like=x), SquaredError(EmpiricalMeasure(x, array(WEIGHTS) if weighted else None), y)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_linearized_network_follows_literal_steps_in_function_space(backend, weighted):
    """f <- f - step grad_K C with the explicit kernel, on the sample and at new points."""
    net, params, cost = problem(backend.array, weighted)
    x, x_new = cost.p_in.x, backend.array(np.random.default_rng(9).normal(size=(4, 3)))
    kernel = ntk.EmpiricalNTK(net, params)
    block = np.concatenate([backend.host(kernel(z, x)) for z in (x, x_new)]).astype(np.float64)
    f = np.concatenate([backend.host(net(params, z)) for z in (x, x_new)]).astype(np.float64)
    weights, y = (WEIGHTS if weighted else np.full(N, 1 / N)), backend.host(cost.y).astype(np.float64)
    step, steps = 0.1, 40
    lin = ntk.nn.Linearized(net, params)
    result = ntk.nn.train(lin, params, cost, step=step, steps=steps, record=range(0, steps + 1, 10))
    costs = []
    for k in range(steps + 1):
        residual = f[:N] - y
        if k % 10 == 0:
            costs.append(np.sum(weights[:, None] * residual**2))
        if k < steps:
            f = f - step * np.einsum("icjd,jd->ic", block, weights[:, None] * 2 * residual)
    accuracy = 1e-10 if backend.dtype_name == "float64" else 1e-4  # 40 steps in float32
    for z, expected in ((x, f[:N]), (x_new, f[N:])):
        np.testing.assert_allclose(backend.host(lin(result.params, z)), expected, rtol=0, atol=accuracy)
    np.testing.assert_allclose(result.costs, costs, rtol=0, atol=accuracy)


def test_the_cost_of_a_network_falls(backend):
    net, params, cost = problem(backend.array, weighted=True)
    result = ntk.nn.train(net, params, cost, step=0.05, steps=30, record=range(31))
    assert (np.diff(result.costs) < 0).all()
    assert result.costs[-1] < 0.5 * result.costs[0]
    backend.close(np.asarray(result.costs[-1]), cost(net.bind(result.params)), factor=20)
    assert isinstance(result.costs[0], float)


def test_every_library_takes_the_same_steps(backend):
    net, params, cost = problem(backend.array)
    host_net, host_params, host_cost = problem(np.asarray)
    result = ntk.nn.train(net, params, cost, step=0.05, steps=20)
    expected = ntk.nn.train(host_net, host_params, host_cost, step=0.05, steps=20)
    for name, leaf in flatten(result.params).items():
        assert leaf.dtype == backend.dtype
        backend.close(leaf, flatten(expected.params)[name], factor=1e3)


def test_parameters_passed_in_are_unchanged(backend):
    net, params, cost = problem(backend.array)
    before = {name: backend.host(leaf).copy() for name, leaf in flatten(params).items()}
    result = ntk.nn.train(net, params, cost, step=0.05, steps=3)
    for name, leaf in flatten(params).items():
        backend.close(leaf, before[name], factor=0)
        assert np.max(np.abs(backend.host(flatten(result.params)[name]) - before[name])) > 0


def test_records_times_and_observations(backend):
    net, params, cost = problem(backend.array)
    seen = []

    def observe(now):
        seen.append(now)
        return len(seen)

    result = ntk.nn.train(net, params, cost, step=0.5, steps=6, record=[4, 0, 6, 4], observe=observe)
    assert result.steps == [0, 4, 6]
    assert result.times == [0.0, 2.0, 3.0]
    assert result.observations == [1, 2, 3]
    assert len(result.costs) == 3
    assert seen[0] is params
    assert seen[-1] is result.params
    # What is observed at step k is what k steps alone give, and its cost is the one recorded.
    for k, now, value in zip(result.steps[1:], seen[1:], result.costs[1:], strict=True):
        alone = ntk.nn.train(net, params, cost, step=0.5, steps=k)
        assert alone.costs[-1] == value
        for name, leaf in flatten(now).items():
            backend.close(leaf, flatten(alone.params)[name], factor=0)


@pytest.mark.host
def test_first_and_last_step_are_recorded_unless_said_otherwise():
    net, params, cost = problem(np.asarray)
    result = ntk.nn.train(net, params, cost, step=0.05, steps=7)
    assert (result.steps, result.step, result.observations) == ([0, 7], 0.05, [])
    assert ntk.nn.train(net, params, cost, step=0.05, steps=7, record=[]).steps == []
    assert ntk.nn.train(net, params, cost, step=0.05, steps=7, record=np.asarray([3])).steps == [3]


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value):RuntimeWarning")  # what divergence is
def test_divergence_is_an_error_that_says_what_to_do(backend):
    net, params, cost = problem(backend.array)
    lin = ntk.nn.Linearized(net, params)
    step = 20.0 * max_step(ntk.EmpiricalNTK(net, params), cost.p_in.x)
    with pytest.raises(FloatingPointError, match=r"after 400 steps: the step .* is too large; .*max_step"):
        ntk.nn.train(lin, params, cost, step=step, steps=400)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"step": 0.0, "steps": 1}, ValueError, "step must be positive"),
        ({"step": -0.1, "steps": 1}, ValueError, "step must be finite and not negative"),
        ({"step": float("nan"), "steps": 1}, ValueError, "step must be finite"),
        ({"step": "0.1", "steps": 1}, TypeError, "step must be a number"),
        ({"step": 0.1, "steps": 0}, ValueError, "steps must be a whole number of at least 1"),
        ({"step": 0.1, "steps": 2.5}, ValueError, "steps must be a whole number"),
        ({"step": 0.1, "steps": 2, "record": [3]}, ValueError, "record must hold step numbers between 0 and steps = 2"),
        ({"step": 0.1, "steps": 2, "record": [-1]}, ValueError, "record must hold step numbers"),
    ],
)
@pytest.mark.host
def test_bad_arguments_are_refused(arguments, error, message):
    net, params, cost = problem(np.asarray)
    with pytest.raises(error, match=message):
        ntk.nn.train(net, params, cost, **arguments)


@pytest.mark.host
def test_data_that_do_not_fit_are_refused():
    net, params, cost = problem(np.asarray)
    x = cost.p_in.x
    single = SquaredError(EmpiricalMeasure(x.astype(np.float32)), np.zeros((N, C), dtype=np.float32))
    with pytest.raises(TypeError, match="x has dtype float32, params has float64"):
        ntk.nn.train(net, params, single, step=0.1, steps=1)
    one_output = SquaredError(EmpiricalMeasure(x), np.zeros(N))
    for record in (None, []):  # unrecorded steps must not broadcast either
        with pytest.raises(ValueError, match="f has 2 outputs, the targets y have 1"):
            ntk.nn.train(net, params, one_output, step=0.1, steps=1, record=record)


@pytest.mark.host
def test_progress_is_shown_only_where_asked_for(capsys):
    net, params, cost = problem(np.asarray)
    ntk.nn.train(net, params, cost, step=0.05, steps=3)
    assert capsys.readouterr() == ("", "")
    for progress, label in ((True, "training"), ("width 8", "width 8")):
        ntk.nn.train(net, params, cost, step=0.05, steps=3, progress=progress)
        out, err = capsys.readouterr()
        assert out == ""
        assert label in err


@pytest.mark.parametrize("weighted", [False, True])
def test_mini_batches_take_literal_steps(backend, weighted):
    """theta <- theta - step J_B^T (N/B w 2 (f - y)) with explicit Jacobians, heavy ball, in the documented order."""
    net, params, cost = problem(backend.array, weighted)
    host_net, theta, host_cost = problem(np.asarray, weighted)
    x, y, step, momentum, size = host_cost.p_in.x, host_cost.y, 0.05, 0.5, 2
    weights = WEIGHTS if weighted else np.full(N, 1 / N)
    lin = ntk.nn.Linearized(host_net, theta)
    jacobian, f0 = flatten(lin.net.jacobian(theta, x)), lin(theta, x)
    moved = {name: np.zeros(leaf.shape[2:]) for name, leaf in jacobian.items()}
    velocity, rng, seen = dict.fromkeys(moved, 0.0), np.random.default_rng(np.random.SeedSequence(4)), []
    for k in range(5):
        if k % 2 == 0:  # five examples are two batches of two
            order = rng.permutation(N)
        rows = order[size * (k % 2) : size * (k % 2) + size]
        seen.append(rows)
        f = f0 + sum(np.tensordot(leaf, moved[name], axes=moved[name].ndim) for name, leaf in jacobian.items())
        pulled = N / size * weights[rows, None] * 2 * (f - y)[rows]
        for name, leaf in jacobian.items():
            velocity[name] = momentum * velocity[name] - step * np.tensordot(pulled, leaf[rows], axes=2)
            moved[name] = moved[name] + velocity[name]
    lin = ntk.nn.Linearized(net, params)
    result = ntk.nn.train(lin, params, cost, step=step, steps=5, momentum=momentum, batch_size=size, seed=4)
    for name, leaf in flatten(result.params).items():
        backend.close(leaf, flatten(theta)[name] + moved[name], factor=1e3)


@pytest.mark.host
def test_batches_are_recorded_and_drawn_again():
    net, params, cost = problem(np.asarray)

    def trained(**options):
        return ntk.nn.train(net, params, cost, step=0.05, steps=6, record=[0, 3, 6], **options)

    first = trained(batch_size=2, momentum=0.5, seed=np.random.default_rng(1))
    assert (first.batch_size, first.momentum, first.steps) == (2, 0.5, [0, 3, 6])
    # The recorded cost is that of all examples.
    assert first.costs[-1] == float(cost(net(first.params, cost.p_in.x)))
    assert trained(batch_size=2, momentum=0.5, seed=first.seed).costs == first.costs
    assert trained(batch_size=2, momentum=0.5, seed=0).costs != first.costs
    everything, full = trained(batch_size=N), trained()
    np.testing.assert_allclose(everything.costs, full.costs, rtol=1e-12)
    assert (full.batch_size, full.seed, full.momentum) == (None, None, 0.0)


@pytest.mark.host
@pytest.mark.parametrize(
    "make",
    [
        lambda p_in, y: ntk.function_space.CrossEntropy(p_in, np.asarray([0, 1, 1, 0, 1])),
        lambda p_in, y: ntk.function_space.Huber(p_in, y, delta=0.5),
        lambda p_in, y: SquaredError(p_in, y, convention="half_sum"),
    ],
)
def test_the_mean_gradient_of_all_batches_is_that_of_the_cost(make):
    net, params, cost = problem(np.asarray, weighted=True)
    cost = make(cost.p_in, cost.y)

    def change(**options):
        return flatten(ntk.nn.train(net, params, cost, step=1e-3, steps=1, record=[], **options).params)

    full = change()
    # With batches of one example each example comes first for some seeds; the five of them are all batches there are.
    firsts = {int(np.random.default_rng(np.random.SeedSequence(s)).permutation(N)[0]): s for s in range(60)}
    assert len(firsts) == N
    batches = [change(batch_size=1, seed=s) for s in firsts.values()]
    for name, leaf in full.items():
        np.testing.assert_allclose(np.mean([batch[name] for batch in batches], axis=0), leaf, rtol=1e-10, atol=1e-14)


@pytest.mark.host
def test_batches_that_cannot_be_are_refused():
    net, params, cost = problem(np.asarray)
    for size, message in (
        (0, "batch_size must be a whole number"),
        (N + 1, "batch_size is 6, and there are 5 examples"),
    ):
        with pytest.raises(ValueError, match=message):
            ntk.nn.train(net, params, cost, step=0.1, steps=1, batch_size=size)

    class Spread(ntk.function_space.Cost):
        """The largest distance between outputs, which no example has by itself."""

        def __call__(self, f):
            return np.max(self.values(f)) - np.min(self.values(f))

        def representer(self, f):
            return f

    with pytest.raises(TypeError, match="Spread does not say that it is a sum over examples"):
        ntk.nn.train(net, params, Spread(cost.p_in, cost.y), step=0.1, steps=1, batch_size=2)
