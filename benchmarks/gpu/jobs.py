"""One job on a GPU: ``python -m benchmarks.gpu.jobs NAME --out FILE`` writes its times and errors as JSON.

``--library numpy --scale 0.02`` tries a job on the host, with small inputs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ntk_array as ntk

from ..floor import products
from ..peers.cases import Case
from ..peers.ours import kernel as infinite_kernel
from .card import Card, machine

PROBED = 64
"""Inputs whose kernel is compared with one in float64 by NumPy."""


def size(n: int, scale: float) -> int:
    """A number of inputs, scaled down where a job is only tried."""
    return max(16, int(n * scale))


def kernel_of(case: Case, card: Card) -> ntk.Kernel:
    """The kernel of a case, with its parameters on the card."""
    found = infinite_kernel(case)
    if case.infinite or not card.gpu:
        return found
    params = tuple({name: card.xp.asarray(leaf) for name, leaf in layer.items()} for layer in found.params)
    return ntk.EmpiricalNTK(found.net, params)


def error_of(case: Case, card: Card, kernel: ntk.Kernel, x: Any) -> float:
    """The largest error among a few inputs, relative to sqrt(K(x, x) K(x', x')), against NumPy in float64."""
    exact_case = replace(case, n=PROBED, dtype="float64")
    host = card.host(x[:PROBED])
    reference = infinite_kernel(exact_case)
    if not case.infinite:
        found = infinite_kernel(case)
        params = tuple({name: leaf.astype(np.float64) for name, leaf in layer.items()} for layer in found.params)
        reference = ntk.EmpiricalNTK(found.net, params)
    exact = flat(reference(host))
    got = flat(card.host(kernel(x[:PROBED])))
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    return float(np.max(np.abs(got - exact) / scale))


def flat(block: np.ndarray) -> np.ndarray:
    """(N C, N C)."""
    return block if block.ndim == 2 else block.reshape(block.shape[0] * block.shape[1], -1)


def floor_of(case: Case, card: Card, scale: float) -> float:
    """Seconds of one product of all inputs and one write of the result, at the measured rates."""
    itemsize = np.dtype(case.dtype).itemsize
    rate = card.product_rate(case.dtype, size(8192, max(scale, 0.1)))
    return 2.0 * case.n**2 * case.features / rate + itemsize * case.n**2 / card.write_rate(size(2**31, scale))


def infinite(card: Card, scale: float, cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Infinite-width kernels K(x), over one full product and one write."""
    for case in cases:
        case = replace(case, n=size(case.n, scale))
        itemsize = np.dtype(case.dtype).itemsize
        if 1.5 * itemsize * case.n**2 > card.free():
            case = replace(case, n=case.n // 2)
        kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
        times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=3)
        floor = floor_of(case, card, scale)
        yield {"case": json.loads(case.to_json()), "seconds": times, "floor": floor} | {
            "over the floor": times["median"] / floor,
            "error": error_of(case, card, kernel, x),
        }
        card.forget()


def no_bias(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """Three layers of ReLU without biases: one series."""
    return infinite(card, scale, [Case(n, 784, (1,) * 3, dtype="float32") for n in (10_000, 40_000)])


def biases(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """ReLU with biases: the recursion over the layers."""
    sizes = ((40_000, 3), (20_000, 20))
    return infinite(card, scale, [Case(n, 784, (1,) * d, bias_std=0.1, dtype="float32") for n, d in sizes])


def tanh(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """A dual activation from tables, at inputs of unequal norms."""
    options = {"activation": "tanh", "weight_std": 1.5, "bias_std": 0.1, "dtype": "float32"}
    return infinite(card, scale, [Case(10_000, 100, (1,) * 3, **options)])


def empirical(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """The empirical NTK of ten outputs: its counted operations at the rate of products, over its time."""
    for width in (1024, 4096):
        case = Case(size(1000, scale), 784, (size(width, scale),) * 2, outputs=10, bias_std=0.1, dtype="float32")
        kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
        times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=3)
        work = sum(sum(counted.values()) for counted in products(case))
        rate = card.product_rate("float32", size(8192, max(scale, 0.1)))
        yield {"case": json.loads(case.to_json()), "seconds": times, "share": work / rate / times["median"]} | {
            "error": error_of(case, card, kernel, x)
        }
        card.forget()


def peers(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """The empirical NTK against torch.func's Jacobians, on the same card and with the same parameters."""
    import torch
    from torch.func import functional_call, jacrev, vmap

    from ..peers.torch_network import network

    case = Case(size(256, scale), 784, (1024,) * 2, 10, parameterization="standard", dtype="float32")
    kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
    device = "cuda" if card.gpu else "cpu"
    net, inputs = network(case).to(device), torch.from_numpy(case.inputs()).to(device)
    params = {name: value.detach() for name, value in net.named_parameters()}
    side = case.n * case.outputs

    def jacobians() -> Any:
        jacobian = vmap(jacrev(lambda p, e: functional_call(net, p, (e[None],))[0]), (None, 0), chunk_size=32)
        gram = torch.zeros(side, side, device=device)
        for leaf in jacobian(params, inputs).values():
            gram.addmm_(leaf.reshape(side, -1), leaf.reshape(side, -1).T)
        if card.gpu:
            torch.cuda.synchronize()
        return gram

    theirs = card.seconds(jacobians, repeats=3)
    ours = card.seconds(lambda: kernel(x), repeats=10)
    apart = flat(card.host(kernel(x))) - jacobians().cpu().numpy()
    yield {"case": json.loads(case.to_json()), "ours": ours, "torch.func": theirs} | {
        "ratio": theirs["median"] / ours["median"],
        "apart": float(np.max(np.abs(apart)) / np.max(np.abs(flat(card.host(kernel(x)))))),
        "error": error_of(case, card, kernel, x),
    }


def regression(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """A Gaussian process with ten targets and the means of 2000 new inputs, beside two decompositions of its matrix."""
    n, m = size(4000, scale), size(2000, scale)
    rng = np.random.default_rng(0)
    host = rng.standard_normal((n + m, 784))
    host *= np.sqrt(784) / np.linalg.norm(host, axis=1, keepdims=True)
    targets = np.tanh(host @ rng.standard_normal((784, 10)) / 28)
    x, y = card.xp.asarray(host), card.xp.asarray(targets)
    kernel = ntk.InfiniteNNGP(ntk.nn.mlp((1,) * 3, 1, weight_std=1.4, bias_std=0.1))

    def fit() -> Any:
        return ntk.dynamics.GaussianProcess(kernel, x[:n], y[:n], noise=0.1).predict(x[n:]).mean

    times = card.seconds(fit, repeats=1)
    gram = kernel(x[:n]) + 0.1 * card.xp.eye(n)
    found = {"cholesky": card.seconds(lambda: card.xp.linalg.cholesky(gram), repeats=2)}
    found["eigh"] = card.seconds(lambda: card.xp.linalg.eigh(gram), repeats=1)
    exact = card.host(kernel(x[n:], x[:n])) @ np.linalg.solve(card.host(gram), targets[:n])
    yield {"inputs": n, "new inputs": m, "seconds": times, **found} | {
        "error": float(np.max(np.abs(card.host(fit()) - exact)))
    }


def precision(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """float32 against float64 on the card, relative to sqrt(K(x, x) K(x', x'))."""
    cases = [Case(size(2000, scale), 784, (1,) * d, bias_std=b) for d in (3, 20) for b in (0.0, 0.1)]
    cases.append(Case(size(500, scale), 784, (512, 512), outputs=4, bias_std=0.1))
    for wide in cases:
        narrow, worst = replace(wide, dtype="float32"), 0.0
        x = card.xp.asarray(narrow.inputs())
        kernel = kernel_of(narrow, card)
        if wide.infinite:
            reference = kernel
        else:
            params = tuple({k: v.astype(np.float64) for k, v in layer.items()} for layer in kernel.params)
            reference = ntk.EmpiricalNTK(kernel.net, params)
        k, exact = flat(kernel(x)), flat(reference(x.astype(np.float64)))
        root = card.xp.sqrt(card.xp.diagonal(exact))
        worst = float(card.xp.max(card.xp.abs(k - exact) / (root[:, None] * root)))
        yield {"case": json.loads(narrow.to_json()), "float32 against float64": worst}


def planes(card: Card, scale: float) -> Iterator[dict[str, Any]]:
    """Convolutional NTKs with global pooling, plane by plane: time an entry, and errors of a few images.

    The errors are relative to sqrt(K(x, x) K(x', x')): against NumPy in float64, and between the two dtypes.
    """
    shape, n, few = (32, 32, 3), size(200, scale), 8 if card.gpu else 3
    host = np.random.default_rng(0).standard_normal((n, *shape))
    for depth, bias_std in ((4, 0.0), (4, 0.1), (20, 0.0)):
        layers = (ntk.nn.Conv(1, (3, 3), weight_std=2**0.5, bias_std=bias_std), ntk.nn.ReLU()) * depth
        net = ntk.nn.Sequential(*layers, ntk.nn.GlobalAvgPool(), ntk.nn.Dense(1))
        exact, found = ntk.InfiniteNTK(net)(host[:few]), {}
        root = np.sqrt(np.diag(exact))
        for dtype in ("float32", "float64"):
            kernel, x = ntk.InfiniteNTK(net), card.xp.asarray(host.astype(dtype))
            times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=1)
            found[dtype] = card.host(kernel(x[:few]))
            yield {"images": [n, *shape], "depth": depth, "bias_std": bias_std, "dtype": dtype, "seconds": times} | {
                "milliseconds an entry": 1e3 * times["median"] / (n * (n + 1) // 2),
                "planes": type(kernel.specialized(x, None)).__name__ == "PlanesKernel",
                "error": float(np.max(np.abs(found[dtype] - exact) / root / root[:, None])),
            }
            card.forget()
        apart = np.abs(found["float32"] - found["float64"]) / root / root[:, None]
        yield {"depth": depth, "bias_std": bias_std, "float32 against float64": float(np.max(apart))}


JOBS: dict[str, Callable[[Card, float], Iterator[dict[str, Any]]]] = {
    job.__name__: job for job in (no_bias, biases, tanh, empirical, peers, regression, precision, planes)
}


def main() -> None:
    """Run one job; a row that was finished is written even if the next one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=[*JOBS, "machine"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--library", choices=("cupy", "numpy"), default="cupy")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    out, rows = Path(options.out), []
    if options.job == "machine":
        out.write_text(json.dumps(machine(), indent=1))
        return
    for row in JOBS[options.job](Card.of(options.library), options.scale):
        rows.append(row)
        out.write_text(json.dumps(rows, indent=1))
        print(json.dumps(row))


if __name__ == "__main__":
    main()
