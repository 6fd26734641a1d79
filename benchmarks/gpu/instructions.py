"""What the CUDA kernel of planes should take on an H200, predicted from its instructions. Nothing is timed.

Run: python -m benchmarks.gpu.instructions > benchmarks/results/gpu_instructions.json

It needs no GPU, but the wheels nvidia-cuda-nvrtc-cu12 (the compiler) and nvidia-cuda-nvdisasm (the disassembler).

A prediction is the longest of the times that the units of a multiprocessor take, for one pair of images. In a cycle
each of its four schedulers starts one instruction of a warp, shared memory, caches and shuffles together give 128
bytes, MUFU has 16 lanes and FP64 has 64. It holds if nothing waits: for memory, for earlier results, for other warps.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import tempfile
from collections import Counter
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array._array.cuda_launch import OPTIONS
from ntk_array._formula.cuda_planes import PlaneCode
from ntk_array.infinite.planes import CudaPlanes, layout_of
from ntk_array.infinite.planes.crossings import route

from ..cifar import network

SHAPE, DEPTH = (32, 32, 3), 20
MULTIPROCESSORS, CLOCK = 132, 1.75e9
CUPY = ("-ftz=true", "--device-as-default-execution-space")
"""Options of the compiler that CuPy adds."""
WARP_MEMORY = {"LDG": 1, "LDS": 1, "STS": 1, "SHFL": 1}
"""Kinds that move 32 numbers; those of 64 or 128 bits take longer."""
DOUBLES = ("DFMA", "DADD", "DMUL", "DSETP")


def code_of(dtype: str) -> PlaneCode:
    """The kernel of convolutions with ReLU and a global mean, without biases."""
    program = ntk.InfiniteNTK(network(DEPTH + 1, "global")).program(SHAPE)
    layout = layout_of(program.steps, program.signals, ntk=True)
    if layout is None:
        raise ValueError("the network does not run in planes")
    return CudaPlanes(layout, np.dtype(dtype)).code_on(0, route(layout, 1, every=True))[0]


def _wheel(pattern: str) -> Path:
    """A file of NVIDIA's wheels."""
    spec = find_spec("nvidia")
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    for file in (file for place in places for file in sorted(place.glob(pattern))):
        return file
    raise SystemExit(f"there is no {pattern} of NVIDIA's wheels here")


def machine_code(source: str) -> list[str]:
    """The instructions of a kernel on an H200, with labels."""
    library, program, size = (
        ctypes.CDLL(str(_wheel("cuda_nvrtc/lib/libnvrtc.so*"))),
        ctypes.c_void_p(),
        ctypes.c_size_t(),
    )
    options = [option.encode() for option in ("--gpu-architecture=sm_90", *CUPY, *OPTIONS)]
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"planes.cu", 0, None, None)
    if library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
        raise RuntimeError("NVRTC refuses the source")
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, cubin)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin.raw)
        file.flush()
        command = [str(_wheel("*/bin/nvdisasm")), "-c", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\.L_\w+):|^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", text, re.MULTILINE)
    return [label + ":" if label else instruction for label, instruction in found]


def loops(lines: list[str]) -> list[list[str]]:
    """The instructions of innermost loops, in order."""
    labels, found = {line[:-1]: i for i, line in enumerate(lines) if line.endswith(":")}, []
    for i, line in enumerate(lines):
        target = re.search(r"BRA .*?(\.L_\w+)", line)
        if target and labels.get(target[1], i) < i:
            body = lines[labels[target[1]] : i + 1]
            found.append((labels[target[1]], i, [one for one in body if not one.endswith(":")]))
    inner = [own for own in found if not any(own[0] <= a and b < own[1] for a, b, _ in found if (a, b) != own[:2])]
    return [body for _, _, body in inner]


def counted(body: list[str], positions: int) -> dict[str, Any]:
    """Instructions of a pair of positions by kind, and the cycles of a multiprocessor for 32 of them, by unit."""
    names = [re.sub(r"^@!?U?P\w+\s+", "", line).split()[0] for line in body]
    kinds = Counter(name.split(".")[0] for name in names)
    moved = [
        (4 if ".128" in name else 2 if ".64" in name else 1) for name in names if name.split(".")[0] in WARP_MEMORY
    ]
    cycles = {
        "schedulers": len(names) / 4,
        "memory and shuffles": sum(moved),
        "MUFU": 2 * kinds["MUFU"],
        "FP64": sum(kinds[kind] for kind in DOUBLES) / 2,
    }
    return {
        "instructions": len(names) / positions,
        "kinds": {kind: count / positions for kind, count in kinds.most_common()},
        "cycles": {unit: number / positions for unit, number in cycles.items()},
    }


def prediction(dtype: str) -> dict[str, Any]:
    """Of one kernel: the loop of the stage that most layers are."""
    code = code_of(dtype)
    # The stages of the first, of the middle and of the last layers have a loop each, with shuffles.
    stages = [body for body in loops(machine_code(code.source)) if any("SHFL" in line for line in body)]
    body = stages[len(stages) // 2]
    stored = sum(line.split()[0].startswith("STS") for line in body)
    found = counted(body, stored // len(code.stages[1].results))
    warps = code.size**2 * DEPTH / 32
    worst = max(found["cycles"].values())
    return {
        "dtype": dtype,
        "planes of a thread": code.together,
        "threads of a block": code.threads,
        "shared bytes of a block": code.shared_bytes,
        **found,
        "milliseconds an entry": 1e3 * warps * worst / MULTIPROCESSORS / CLOCK,
    }


def main() -> None:
    """Print the result as JSON."""
    wheels = {name: metadata.version(name) for name in ("nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvdisasm")}
    network = {"images": SHAPE, "convolutions": DEPTH, "multiprocessors": MULTIPROCESSORS, "clock": CLOCK}
    print(
        json.dumps({**network, **wheels, "kernels": [prediction(dtype) for dtype in ("float32", "float64")]}, indent=1)
    )


if __name__ == "__main__":
    main()
