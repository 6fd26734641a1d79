"""Our kernels of networks with convolutions against those of neural-tangents and of torch.func.

Writes benchmarks/results/agreement.json, a section of docs/accuracy.md, and the frozen values that the tests compare
with. Run from the checkout:

    python -m benchmarks.agreement --environments DIR

DIR holds a virtual environment for each peer, as for ``benchmarks.performance``, and is filled where it does not.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ntk_array as ntk
from tests.kernels.networks import network

from . import sections
from .peers.networks import FINITE, FROZEN, INFINITE, Network
from .performance import environment

ROOT = Path(__file__).parent.parent
TITLE = "Other libraries"
TEXT = """
Made by `python -m benchmarks.agreement --environments DIR`; the differences of every network are in
`benchmarks/results/agreement.json`. Peers: {versions}.

The same networks, inputs and parameters, in float64: dense layers, convolutions over one, two and three axes with every
padding, strides, biases and none, both parameterizations, pooling in windows and over all positions, normalized edges,
`Flatten`, sums, products and concatenations of branches, graphs, and every activation that the peer has in closed form.
Inputs are normal, and none meets itself: there the peer's kernels of networks with kinks are right to about 1e-8 only,
because they take angles from cosines. Differences are relative to sqrt(K(x, x) K(x', x')).

| kernel | peer | networks | largest difference | in the outputs |
|---|---|---|---|---|
{rows}

{exceptions}
"""
RESULTS = ROOT / "benchmarks/results/agreement.json"
VALUES = ROOT / "tests/kernels/frozen/convolution.json"
KERNELS = {"ntk": ntk.InfiniteNTK, "nngp": ntk.InfiniteNNGP}
LIMITS = {"infinite": 1e-9, "empirical": 1e-10}
"""Larger differences are named, one by one."""
PEERS = {"neural_tangents": ("infinite", "empirical"), "torch_func": ("empirical",)}


def parameters(net: Network) -> Any:
    """Drawn by the seed of the network; the same for all libraries."""
    return network(net.layers).init(net.seed, input_shape=net.shape)


def leaves(params: Any) -> Iterator[dict[str, np.ndarray]]:
    """The parameters of each layer that has some, in order."""
    if isinstance(params, dict):
        if params:
            yield params
    else:
        for part in params:
            yield from leaves(part)


def others(peer: str, environments: Path) -> dict[str, np.ndarray]:
    """What a peer found, by "infinite" or "empirical", the network's name and the kernel."""
    given = {
        f"{net.name}|{i}|{name}": value
        for net in FINITE
        for i, layer in enumerate(leaves(parameters(net)))
        for name, value in layer.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "parameters.npz", Path(folder) / "results.npz"
        np.savez(there, **given)  # type: ignore[arg-type]
        python = environment(environments, peer)
        subprocess.run([python, "-m", f"benchmarks.peers.{peer}_networks", there, back], cwd=ROOT, check=True)
        with np.load(back) as file:
            return {key: file[key] for key in file.files}


def infinite(net: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel values, and what differences of them are relative to: the root of the two diagonal entries."""
    made = network(net.layers)
    found = {}
    for name in net.kernels:
        kernel = KERNELS[name](made)
        one, two = net.inputs()
        found[name] = (kernel(one, two), np.sqrt(np.outer(kernel.diag(one), kernel.diag(two))))
    return found


def empirical(net: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The outputs and the NTK (N1, C, N2, C)."""
    made, params = network(net.layers), parameters(net)
    (one, two), kernel = net.inputs(), ntk.EmpiricalNTK(made, params)
    outputs = made(params, one)
    diagonals = [kernel.diag(x).reshape(len(x), -1) for x in (one, two)]
    scale = np.sqrt(np.multiply.outer(*diagonals)).reshape(*diagonals[0].shape, *diagonals[1].shape)
    return {"outputs": (outputs, np.max(np.abs(outputs))), "ntk": (kernel(one, two), scale)}


def compare(peer: str, found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The largest relative difference of each network, or why the peer refused it."""
    rows = []
    for kind in PEERS[peer]:
        for net in INFINITE if kind == "infinite" else FINITE:
            row: dict[str, Any] = {"peer": peer, "kernel": kind, "network": net.name}
            refused = found.get(f"{kind}|{net.name}|refused")
            if refused is not None:
                rows.append(row | {"refused": str(refused).strip().split(". ")[0]})
                continue
            ours = infinite(net) if kind == "infinite" else empirical(net)
            differences = {
                key: float(np.max(np.abs(values - found[f"{kind}|{net.name}|{key}"]) / scale))
                for key, (values, scale) in ours.items()
            }
            rows.append(row | differences)
    return rows


def largest(row: dict[str, Any]) -> float:
    """Of the differences of a row."""
    return max(row.get(key, 0.0) for key in ("ntk", "nngp", "outputs"))


def section(rows: list[dict[str, Any]], versions: list[str]) -> str:
    """Of docs/accuracy.md."""
    lines = []
    for peer, kinds in PEERS.items():
        for kind in kinds:
            own = [row for row in rows if row["peer"] == peer and row["kernel"] == kind and "refused" not in row]
            for name in ("ntk", "nngp") if kind == "infinite" else ("ntk",):
                compared = [row for row in own if name in row]
                title = f"{kind} {name.upper()}"
                outputs = f"{max(row['outputs'] for row in own):.1e}" if kind == "empirical" else ""
                worst = f"{max(row[name] for row in compared):.1e}"
                lines.append(f"| {title} | {peer.replace('_', '-')} | {len(compared)} | {worst} | {outputs} |")
    return TEXT.format(versions=", ".join(versions), rows="\n".join(lines), exceptions=_exceptions(rows))


def _exceptions(rows: list[dict[str, Any]]) -> str:
    """Networks that differ, and those that a peer has not."""
    apart = [row for row in rows if "refused" in row or largest(row) > LIMITS[row["kernel"]]]
    if not apart:
        return "No network differs by more, and the peers refuse none of them."
    return "\n".join(
        f"* {row['network']}, {row['kernel']}, {row['peer']}: "
        + (f"refused: {row['refused']}" if "refused" in row else f"differs by {largest(row):.1e}")
        for row in apart
    )


def freeze(found: dict[str, np.ndarray]) -> None:
    """The peer's values of a few networks, for the tests."""
    chosen = {net.name: net for net in INFINITE}
    values = [
        {
            "name": name,
            "shape": chosen[name].shape,
            "seed": chosen[name].seed,
            "layers": chosen[name].layers,
            **{key: found[f"infinite|{name}|{key}"].tolist() for key in KERNELS},
        }
        for name in FROZEN
    ]
    text = ",\n".join(json.dumps(value) for value in values)
    VALUES.write_text(f'{{"by": {json.dumps(str(found["version"]))},\n"networks": [\n{text}\n]}}\n')


def main() -> None:
    """Compare, and write the files."""
    parser = argparse.ArgumentParser(description="Kernels of networks with convolutions against other libraries.")
    parser.add_argument("--environments", type=Path, help="folder of the peers' environments")
    parser.add_argument("--report", action="store_true", help="only write the section of the page again")
    options = parser.parse_args()
    if not options.report:
        if not options.environments:
            parser.error("--environments DIR says where the peers are installed, or are to be")
        measure(options.environments.absolute())
    found = json.loads(RESULTS.read_text())
    sections.put(ROOT / "docs/accuracy.md", TITLE, section(found["networks"], found["versions"]))
    print(_exceptions(found["networks"]))


def measure(environments: Path) -> None:
    """Write the results and the frozen values."""
    rows, versions = [], []
    for peer in PEERS:
        found = others(peer, environments)
        versions.append(str(found["version"]))
        rows += compare(peer, found)
        if peer == "neural_tangents":
            freeze(found)
            scripts = [environment(environments, peer), "-m", "benchmarks.peers.neural_tangents_scripts"]
            subprocess.run(scripts, cwd=ROOT, check=True)
    RESULTS.write_text(json.dumps({"versions": versions, "networks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
