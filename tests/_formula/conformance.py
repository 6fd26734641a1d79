"""What every compiler of formulas is held to. A new compiler joins by one line in COMPILERS, a formula in FORMULAS.

The reference is the same code run by NumPy in float64, an operation at a time.
"""

import ctypes
import importlib.util
import math
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from ntk_array._array.libraries import library_of
from ntk_array._array.namespace import home, standard_namespace
from ntk_array._array.special import erf
from ntk_array._formula import cupy_kernels
from ntk_array._formula.compilers import COMPILERS as TABLE
from ntk_array._formula.formula import COLUMN, ENTRY, ROW, Formula


@dataclass(frozen=True)
class Case:
    """Code on arrays with these axes, whose entries are between 0.1 and 0.9."""

    name: str
    code: Callable[..., Sequence[Any]]
    axes: tuple[int, ...] = (ENTRY,)

    def __str__(self) -> str:
        return self.name


def _named(name: str) -> Case:
    def code(*arrays):
        return [getattr(home(arrays[0]).xp, name)(*arrays)]

    return Case(name, code, (ENTRY, ENTRY) if name in ("atan2", "maximum", "minimum") else (ENTRY,))


def mixed(entry, row, column):
    """Every way in which rows, columns, entries and numbers meet."""
    xp = home(entry).xp
    root = xp.sqrt(row) * 0.5
    size = xp.where(column > 0.3, column * column, xp.ones_like(column))
    value = xp.clip(entry * root - size, min=-0.5, max=2.0)
    return [value / (1.0 + row), root, size**3 - column, -entry + xp.zeros_like(row), xp.ones_like(entry), 2.0 / size]


NAMED = (
    *("abs", "acos", "asin", "atan", "atan2", "cos", "cosh", "exp", "expm1", "log", "log1p", "maximum", "minimum"),
    *("sign", "sin", "sinh", "sqrt", "tan", "tanh"),
)
"""Operations that are functions of the array API. ``where`` and the operators are in the formulas below."""

THREE = (ENTRY, ROW, COLUMN)
FORMULAS = (
    *map(_named, NAMED),
    Case("arithmetic", lambda x, y: [x + y, x - y, x * y, x / y, -x], (ENTRY, ENTRY)),
    Case("numbers on either side", lambda x: [x + 2, 2 - x, 3.0 * x, x * 3.0, 1 / x, x / 4]),
    Case("comparisons", lambda x, y: [_where(c, x, 2.0 * y) for c in _comparisons(x, y)], (ENTRY, ENTRY)),
    Case("comparisons with numbers", lambda x: [_where(c, x, -x) for c in _comparisons(x, 0.5)]),
    Case("signs of both", lambda x: [home(x).xp.sign(x - 0.5), home(x).xp.abs(x - 0.5), home(x).xp.sign(x - x)]),
    Case("all quadrants", lambda x, y: [home(x).xp.atan2(x - 0.5, y - 0.5)], (ENTRY, ENTRY)),
    Case("erf", lambda x: [erf(x)]),  # not of the array API
    Case("powers", lambda x: [x**n for n in range(1, 9)]),
    Case("clip", lambda x: [home(x).xp.clip(x, min=0.3), home(x).xp.clip(x, max=0.6), home(x).xp.clip(x, 0.3, 0.6)]),
    Case("constants", lambda x: [home(x).xp.full_like(x, 2.5), home(x).xp.ones_like(x), home(x).xp.zeros_like(x)]),
    Case("an input, and twice", lambda x: [x, x]),
    Case("an input that is not used", lambda x, y: [2.0 * y], (ENTRY, ENTRY)),
    Case("through one axis and back", lambda x: [home(x).xp.reshape(home(x).xp.reshape(x, (-1,)) + 1.0, x.shape)]),
    Case("rows only", lambda e, r, c: [r, home(r).xp.sqrt(r) + 1.0, home(r).xp.ones_like(r)], THREE),
    Case("columns only", lambda e, r, c: [c, home(c).xp.exp(c) * c, home(c).xp.zeros_like(c)], THREE),
    Case("entries of rows and columns", lambda r, c: [r * c, r - home(c).xp.cos(c)], (ROW, COLUMN)),
    Case("mixed", mixed, THREE),
)


def _where(condition, x, y):
    return home(x).xp.where(condition, x, y)


def _comparisons(x, y):
    return [x < y, x <= y, x > y, x >= y, x == y, x != y, x == x, x != x]


@dataclass(frozen=True)
class Way:
    """A compiler, and how its arrays come and go.

    ``missing`` says what this machine lacks for it, or nothing. ``moved`` takes arrays of NumPy to its library.
    ``runs`` is False where results cannot be had here: sources are compiled only. ``session`` is the backend whose
    session installs what it takes, where the others do not.
    """

    name: str
    compile: Callable[[Formula, np.dtype], Callable[..., Sequence[Any]]]
    missing: Callable[[], str] = lambda: ""
    moved: Callable[[np.ndarray], Any] = lambda a: a
    runs: bool = True
    session: str = ""

    def __str__(self) -> str:
        return self.name

    def host(self, x: Any) -> np.ndarray:
        xp = home(x).xp
        return library_of(xp).to_host(xp, x)


def installed(module: str) -> Callable[[], str]:
    def missing() -> str:
        # Looked up, not imported: this is asked while tests are collected.
        there = importlib.util.find_spec(module.split(".")[0]) and importlib.util.find_spec(module)
        return "" if there else f"{module} is not installed"

    return missing


def _jax(a: np.ndarray) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(a)


def _no_gpu() -> str:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"CuPy has no GPU here: {type(error).__name__}"
    return ""


def _cupy(a: np.ndarray) -> Any:
    import cupy

    return cupy.asarray(a)


class Parameter(NamedTuple):
    """Of cupy.ElementwiseKernel: "T x" is one entry of an array, "raw T s" all of an array, "int64 n" a number."""

    kind: str
    name: str
    raw: bool

    @classmethod
    def listed(cls, text: str) -> "list[Parameter]":
        words = [own.split() for own in text.split(",") if own.strip()]
        return [cls(own[-2], own[-1], own[0] == "raw") for own in words]

    def load(self, pointer: str) -> str:
        """From a pointer to its numbers, in the loop over entries n."""
        if self.raw:
            return f"const T* {self.name} = {pointer}; "
        if self.kind == "int64":
            return f"const long long {self.name} = *(const long long*){pointer}; "
        return f"const T {self.name} = {pointer}[n]; "


class HostKernel:
    """In place of cupy.ElementwiseKernel: the same body as C++ on the host, for arrays that broadcast."""

    def __init__(self, inputs: str, outputs: str, body: str, name: str) -> None:
        self.inputs, self.outputs = Parameter.listed(inputs), Parameter.listed(outputs)
        self.body = body

    def __call__(self, *given: Any) -> list[np.ndarray]:
        # Arrays for the results may follow the inputs.
        given, written = given[: len(self.inputs)], given[len(self.inputs) :]
        entries = [a for a, own in zip(given, self.inputs, strict=True) if own.kind == "T" and not own.raw]
        shape, dtype = np.broadcast_shapes(*(a.shape for a in entries)), entries[0].dtype
        copies = []
        for a, own in zip(given, self.inputs, strict=True):
            if own.kind == "T":
                assert a.dtype == dtype
                copies.append(np.ascontiguousarray(a if own.raw else np.broadcast_to(a, shape)))
            else:
                copies.append(np.asarray([a], np.int64))
        results = [np.empty(shape, dtype) for _ in self.outputs]
        loads = "".join(own.load(f"in[{k}]") for k, own in enumerate(self.inputs))
        stores = "".join(f"out[{k}][n] = {own.name}; " for k, own in enumerate(self.outputs))
        run = _c_function(
            "#include <cmath>\nusing namespace std;\n"
            f"using T = {'double' if dtype == np.float64 else 'float'};\n"
            'extern "C" void run(long size, T** in, T** out) { for (long n = 0; n < size; n++) {\n'
            f"const long i = n; {loads} T {', '.join(own.name for own in self.outputs)};\n"
            f"{self.body}\n{stores} }} }}\n"
        )
        run(ctypes.c_long(math.prod(shape)), _pointers(copies), _pointers(results))
        for array, result in zip(written, results, strict=bool(written)):
            array[...] = result
        return list(written) or results


def _pointers(arrays: list[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))


@cache
def _c_function(code: str) -> Any:
    with TemporaryDirectory(dir=os.environ["NTK_ARRAY_CACHE"]) as folder:
        library = Path(folder) / "body.so"
        command = ["c++", "-x", "c++", "-shared", "-fPIC", "-ffp-contract=off", "-o", str(library), "-"]
        subprocess.run(command, input=code.encode(), check=True)
        return ctypes.CDLL(str(library)).run


class CudaSource:
    """In place of cupy.ElementwiseKernel: the body goes through NVIDIA's run-time compiler, which needs no GPU.

    ``codes`` are the whole sources, by the type of numbers.
    """

    def __init__(self, inputs: str, outputs: str, body: str, name: str) -> None:
        own, results = Parameter.listed(inputs), Parameter.listed(outputs)
        pointers = ", ".join([f"const T* in_{p.name}" for p in own] + [f"T* out_{p.name}" for p in results])
        loads = "".join(p.load(f"in_{p.name}") for p in own)
        stores = " ".join(f"out_{p.name}[n] = {p.name};" for p in results)
        code = (
            f'extern "C" __global__ void {name}({pointers}) {{\n'
            f"const int n = blockIdx.x * blockDim.x + threadIdx.x; const long long i = n; {loads}"
            f"T {', '.join(p.name for p in results)};\n{body}\n{stores} }}"
        )
        self.codes = {kind: f"typedef {kind} T; {code}" for kind in ("float", "double")}
        for whole in self.codes.values():
            compile_cuda(whole)


@cache
def _nvrtc() -> Any:
    folder = Path(next(iter(importlib.import_module("nvidia.cuda_nvrtc").__path__))) / "lib"
    return ctypes.CDLL(str(next(folder.glob("libnvrtc.so*"))))


def compile_cuda(code: str, *options: str) -> ctypes.c_void_p:
    """By NVIDIA's run-time compiler, which needs no GPU."""
    library, program = _nvrtc(), ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"formula.cu", 0, None, None) == 0
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = library.nvrtcCompileProgram(program, len(options), given)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode() + code
    return program


def machine_code(code: str) -> tuple[int, int]:
    """The registers of a thread and the bytes of instructions of a CUDA kernel for an H100 or H200."""
    library, program, size = _nvrtc(), compile_cuda(code, "--gpu-architecture=sm_90"), ctypes.c_size_t()
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    elf = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, elf)
    return _text(elf.raw)


def _text(elf: bytes) -> tuple[int, int]:
    """Of a kernel in an ELF file of CUDA: the registers are in a note, after a tag and the number of a symbol."""
    (start,) = struct.unpack_from("<Q", elf, 0x28)
    each, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQII", elf, start + each * k) for k in range(count)]
    ((size,), (registers,)) = (
        [
            own[5]
            if name == b".text."
            else struct.unpack_from("<I", elf, elf.index(b"\x04\x2f\x08\x00", own[4]) + 8)[0]
            for own in sections
            if elf[sections[names][4] + own[0] :].startswith(name)
        ]
        for name in (b".text.", b".nv.info\x00")
    )
    return registers, size


def _for_cupy(kernel: type) -> Callable[[Formula, np.dtype], Callable[..., list[Any]]]:
    """The compiler for CuPy with a stand-in for cupy.ElementwiseKernel."""

    def compile(formula: Formula, dtype: np.dtype) -> Callable[..., list[Any]]:
        # Not by mock.patch.dict: that forgets all modules that are imported for the first time meanwhile.
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "cupy", SimpleNamespace(ElementwiseKernel=kernel))
            return cupy_kernels.kernels_of(formula, dtype)

    return compile


def interpreted(formula: Formula, dtype: np.dtype) -> Callable[..., list[Any]]:
    return lambda *arrays: formula.evaluate(standard_namespace(np), *arrays)


COMPILERS = (
    Way("array api", interpreted),
    Way("numba", TABLE["numba"].compile, installed("numba")),
    Way("jax.jit", TABLE["jax.jit"].compile, installed("jax"), _jax, session="jax"),
    Way("cupy", TABLE["cupy"].compile, _no_gpu, _cupy, session="cupy"),
    Way(
        "cupy's source as C++",
        _for_cupy(HostKernel),
        lambda: "" if shutil.which("c++") else "there is no C++ compiler here",
    ),
    Way(
        "cupy's source by NVRTC",
        _for_cupy(CudaSource),
        installed("nvidia.cuda_nvrtc"),
        runs=False,
        session="torch",
    ),
)
