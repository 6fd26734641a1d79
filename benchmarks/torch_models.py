"""Kernels of trained PyTorch models: translated, against the products of Jacobians by torch.func, in one run.

Run from the checkout, with PyTorch and scikit-learn: python -m benchmarks.torch_models. With --report the page is
written again from the results; --quick computes small cases and writes nothing; --only NAME takes some models. Writes
benchmarks/results/torch_models.json and the section "Measured" of docs/torch.md. Both ways take turns on the same
inputs, and the least time of several rounds counts. Processor time is that of all threads.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import nn

import ntk_array as ntk
from ntk_array.nn.parameters import tree_map
from ntk_array.sklearn import from_sklearn
from ntk_array.torch import from_module
from tests.torch.models import CNN, Attention, Block, Encoder, NormedMLP, ResNet

from . import sections
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/torch_models.json"
OUTPUTS = 10
INPUTS = (50, 100)  # 500 and 1000 rows of the kernel
ROUNDS = 5
STEPS = 20

TEXT = """
The full kernel (N, C, N, C) of trained models with C = {outputs} outputs, in float32, by `EmpiricalNTK` of the
translated model and by `torch.func`: `vmap(jacrev)` and a matrix product for each parameter. Both on the same inputs,
in turns in one process of {threads} threads; the least of {rounds} rounds. "Ratio" is the time of `torch.func` over
ours. "Apart" is the largest difference between the two, over the largest entry. `python -m benchmarks.torch_models`
made `benchmarks/results/torch_models.json`, with PyTorch {version} on {machine}.

{table}

The least ratio is {least:.1f}, the largest difference {single:.0e} in float32 and {double:.0e} in float64.
"""


def mlp() -> nn.Module:
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, OUTPUTS)]
    return nn.Sequential(*layers)


def block() -> nn.Module:
    return nn.Sequential(Block(32, 128, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, OUTPUTS))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (mlp, (64,)),
    "CNN": (lambda: CNN(64, 7, OUTPUTS), (1, 16, 16)),
    "residual block": (block, (32, 8, 8)),
    "ResNet with BatchNorm": (lambda: ResNet(64, OUTPUTS), (3, 32, 32)),
    "LayerNorm MLP": (lambda: NormedMLP(64, 256, OUTPUTS), (64,)),
    "attention block": (lambda: Attention(16, 8, 256, OUTPUTS), (8, 16)),
    "transformer encoder": (lambda: Encoder(16, 192, OUTPUTS), (8, 16)),
}
SKLEARN = "scikit-learn MLP"


def trained(name: str, dtype: torch.dtype) -> tuple[nn.Module, tuple[int, ...], Any]:
    """A model after some steps of training, in evaluation mode, the shape of its inputs, and its network."""
    if name == SKLEARN:
        return perceptron(dtype)
    build, shape = MODELS[name]
    torch.manual_seed(0)
    model, x = build().to(dtype), torch.randn(64, *shape, dtype=dtype)
    y = torch.randn(64, OUTPUTS, dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return model.eval(), shape, from_module(model, x[:2])


def perceptron(dtype: torch.dtype) -> tuple[nn.Module, tuple[int, ...], Any]:
    """A perceptron of scikit-learn, and the same as a model of PyTorch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 32)), rng.normal(size=(256, OUTPUTS))
    estimator = MLPRegressor(hidden_layer_sizes=(128, 128), solver="sgd", max_iter=STEPS, tol=0.0, random_state=0)
    for _ in range(STEPS):
        estimator.partial_fit(x, y)
    net, params = from_sklearn(estimator)
    sizes = [(32, 128), (128, 128), (128, OUTPUTS)]
    linear = [nn.Linear(*size) for size in sizes]
    model = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2]).to(dtype)
    with torch.no_grad():
        for layer, weight, bias in zip(linear, estimator.coefs_, estimator.intercepts_, strict=True):
            layer.weight.copy_(torch.as_tensor(weight.T))
            layer.bias.copy_(torch.as_tensor(bias))
    own = np.float32 if dtype == torch.float32 else np.float64
    return model.eval(), (32,), (net, tree_map(lambda p: p.astype(own), params))


def by_torch(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(N, C, N, C), as the tutorial of PyTorch does, by matrix products."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def outputs(parameters: Any, one: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, parameters, (one[None],))[0]

    # Attention in its plain form: for the others PyTorch has no batching rules, and is slower.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        jacobian = torch.func.vmap(torch.func.jacrev(outputs), (None, 0))(parameters, x)
    rows = len(x) * OUTPUTS
    total = sum(own.reshape(rows, -1) @ own.reshape(rows, -1).T for own in jacobian.values())
    return total.detach().reshape(len(x), OUTPUTS, len(x), OUTPUTS)


def apart(ours: Any, theirs: torch.Tensor) -> float:
    """The largest difference over the largest entry."""
    exact = theirs.numpy()
    return float(np.max(np.abs(np.asarray(ours) - exact)) / np.max(np.abs(exact)))


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(name: str, inputs: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Errors in both precisions, and times in float32."""
    found: dict[str, Any] = {"times": {}}
    for dtype in (torch.float64, torch.float32):
        model, shape, (net, params) = trained(name, dtype)
        x = torch.randn(20, *shape, dtype=dtype)
        K = ntk.EmpiricalNTK(net, params)
        arrays = x.numpy() if name == SKLEARN else x
        found[str(dtype).removeprefix("torch.")] = apart(K(arrays), by_torch(model, x))
    found["parameters"] = sum(p.numel() for p in model.parameters())
    for n in inputs:
        x = torch.randn(n, *shape)
        arrays = x.numpy() if name == SKLEARN else x
        ways = {"ours": lambda arrays=arrays: K(arrays), "torch.func": lambda x=x: by_torch(model, x)}
        every = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                every[way].append(timed(run))
        found["times"][str(n)] = {
            way: dict(zip(("wall", "processor"), np.min(times, axis=0).tolist(), strict=True))
            for way, times in every.items()
        }
    return found


def page(results: dict[str, Any]) -> str:
    """The section of docs/torch.md."""
    inputs = results["inputs"]
    head = ["model", "parameters", *(f"ours, N C = {n * OUTPUTS} | ratio" for n in inputs), "apart, float32", "float64"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * (4 + 2 * len(inputs))}"]
    ratios = []
    for name, found in results["models"].items():
        cells = [name, f"{found['parameters']:,}"]
        for n in inputs:
            ours, theirs = (found["times"][str(n)][way]["wall"] for way in ("ours", "torch.func"))
            ratios.append(theirs / ours)
            cells += [f"{1e3 * ours:.0f} ms", f"{ratios[-1]:.1f}"]
        cells += [f"{found[dtype]:.0e}" for dtype in ("float32", "float64")]
        lines.append(f"| {' | '.join(cells)} |")
    place = results["machine"]
    return TEXT.format(
        outputs=OUTPUTS,
        threads=results["threads"],
        rounds=results["rounds"],
        version=results["torch"],
        machine=f"{place['processor']}, {place['cores']} cores, {place['date']}",
        table="\n".join(lines),
        least=min(ratios),
        single=max(found["float32"] for found in results["models"].values()),
        double=max(found["float64"] for found in results["models"].values()),
    )


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description="Kernels of PyTorch models against torch.func.")
    parser.add_argument("--quick", action="store_true", help="small cases; writes nothing")
    parser.add_argument("--only", default="", help="only models with this text in their name; writes nothing")
    parser.add_argument("--report", action="store_true", help="only write the page again")
    options = parser.parse_args()
    if not options.report:
        inputs, rounds = ((5,), 1) if options.quick else (INPUTS, ROUNDS)
        models = {}
        for name in (*MODELS, SKLEARN):
            if options.only in name:
                models[name] = measure(name, inputs, rounds)
                print(name, json.dumps(models[name]), flush=True)
        if options.quick or options.only:
            return
        results = {
            "machine": machine(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "inputs": list(inputs),
            "rounds": rounds,
            "models": models,
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    sections.put(ROOT / "docs/torch.md", "Measured", page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
