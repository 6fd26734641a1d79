"""CUDA sources run on the host: the same text, compiled by a C++ compiler, a block of threads after the other.

The threads of a block take turns: each runs up to the next barrier. With the threads in the opposite order results are
the same to the last bit unless a barrier is missing. Shared memory starts as NaN, and what lies behind it must stay.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from ntk_array._array.libraries import LIBRARIES
from ntk_array._formula import compilers, numba_loops

SHARED_BYTES = 227 * 2**10  # of an H100
GUARD_BYTES = 2**10

SHIM = """
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <ucontext.h>
using namespace std;
#define __global__
#define __device__ static
#define __shared__
#define __constant__ static const
#define __launch_bounds__(...)
#define __forceinline__ inline
struct Index { unsigned x, y; };
static Index threadIdx, blockIdx, gridDim, blockDim;
static jmp_buf scheduler, turns[1024];
static bool started[1024], finished[1024];
static void __syncthreads() { if (!_setjmp(turns[threadIdx.x])) _longjmp(scheduler, 1); }
static double given_to_warp[1024];
template <class N> N __shfl_sync(unsigned lanes, N value, int lane) {
    given_to_warp[threadIdx.x] = value;
    __syncthreads();
    const N found = given_to_warp[threadIdx.x / 32 * 32 + lane % 32];
    __syncthreads();
    return found;
}
"""
LAUNCH = """
double memory[(SHARED + GUARD) / 8];
static void** given;
static void thread() {
    CALL;
    finished[threadIdx.x] = true;
    _longjmp(scheduler, 1);
}
static ucontext_t entry, back;
static const int STACK = 1 << 16;
static char stacks[1024][STACK];
static void turn(int t) {
    threadIdx.x = t;
    if (_setjmp(scheduler)) return;
    if (started[t]) _longjmp(turns[t], 1);
    started[t] = true;
    getcontext(&entry);
    entry.uc_stack.ss_sp = stacks[t];
    entry.uc_stack.ss_size = STACK;
    entry.uc_link = &back;
    makecontext(&entry, thread, 0);
    setcontext(&entry);
}
// 0, or what went wrong: 1 for a barrier that not all threads reach, 2 for writes behind the shared memory.
static int run_block(int threads, int bytes, int opposite) {
    memset(memory, 0xff, bytes + GUARD);
    memset(started, 0, sizeof started);
    memset(finished, 0, sizeof finished);
    for (int done = 0; done < threads;) {
        done = 0;
        for (int k = 0; k < threads; ++k) turn(opposite ? threads - 1 - k : k);
        for (int t = 0; t < threads; ++t) done += finished[t];
        if (done && done < threads) return 1;
    }
    for (int k = bytes; k < bytes + GUARD; ++k) if (((unsigned char*)memory)[k] != 0xff) return 2;
    return 0;
}
extern "C" int launch(int across, int down, int threads, int bytes, int opposite, void** arguments) {
    given = arguments;
    gridDim.x = across, gridDim.y = down, blockDim.x = threads;
    for (blockIdx.y = 0; blockIdx.y < down; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < across; ++blockIdx.x)
            if (int wrong = run_block(threads, bytes, opposite)) return wrong;
    return 0;
}
"""
WRONG = ("", "a barrier that not all threads reach", "writes behind the shared memory")


@cache
def _launch(code: str, call: str) -> Any:
    text = f"{SHIM}static const int SHARED = {SHARED_BYTES}, GUARD = {GUARD_BYTES};\n{code}{LAUNCH}"
    with TemporaryDirectory(dir=os.environ["NTK_ARRAY_CACHE"]) as folder:
        library = Path(folder) / "planes.so"
        command = ["c++", "-O1", "-x", "c++", "-shared", "-fPIC", "-ffp-contract=off", "-o", str(library), "-"]
        subprocess.run(command, input=text.replace("CALL", call).encode(), check=True)
        return ctypes.CDLL(str(library)).launch


def missing() -> str:
    """What this machine lacks, or nothing."""
    return "" if shutil.which("c++") else "there is no C++ compiler here"


class HostKernel:
    """In place of cupy.RawKernel, for arrays of NumPy."""

    max_dynamic_shared_size_bytes = 48 * 2**10

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        del options  # of NVIDIA's compiler
        self.code, self.name = code, name

    def __call__(self, grid: tuple[int, int], block: tuple[int], arrays: tuple[Any, ...], *, shared_mem: int) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= SHARED_BYTES
        assert grid[1] < 2**16
        assert all(a.flags.c_contiguous for a in arrays)
        types = [{"i": "int", "f": "float", "d": "double"}[a.dtype.char] for a in arrays]
        call = ", ".join(f"({kind}*)given[{i}]" for i, kind in enumerate(types))
        run = _launch(self.code, f"{self.name}({call})")
        *inputs, written = arrays
        results = [np.full_like(written, np.nan) if written.size else written for _ in range(2)]
        for opposite, result in enumerate(results):
            pointers = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in (*inputs, result)))
            wrong = run(*grid, *block, shared_mem, opposite, pointers)
            assert not wrong, WRONG[wrong]
        np.testing.assert_array_equal(*results, err_msg="a barrier is missing")
        # What a kernel leaves out stays: several may write to one array.
        kept = np.isnan(results[0])
        written[...] = np.where(kept, written, results[0])


class HostDevice:
    """In place of cupy.cuda.Device."""

    def __init__(self, device: Any) -> None:
        assert device == "cpu"
        self.attributes = {"MaxSharedMemoryPerBlockOptin": SHARED_BYTES}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def cupy(raw: Callable[..., Any], elementwise: Callable[..., Any] | None = None) -> SimpleNamespace:
    """In place of CuPy, as far as it is used by name, with something in place of RawKernel and ElementwiseKernel."""
    return SimpleNamespace(
        RawKernel=raw,
        ElementwiseKernel=elementwise,
        cuda=SimpleNamespace(Device=HostDevice),
        ascontiguousarray=np.ascontiguousarray,
        zeros=np.zeros,
        cublas=SimpleNamespace(syrk=_syrk),
        # Whether arrays are CuPy's is asked of every library that is imported: these never are.
        ndarray=type("ndarray", (), {}),
    )


def _syrk(trans: str, a: np.ndarray, out: np.ndarray) -> np.ndarray:
    assert trans == "N"
    assert a.flags.c_contiguous
    assert out.flags.c_contiguous
    out[...] = np.triu(a @ a.T)
    return out


def forget_kernels() -> None:
    """What was compiled for arrays of NumPy on the way of those of CuPy."""
    compilers._compiled_function.cache_clear()


def on_cupys_way(monkeypatch: Any, elementwise: Callable[..., Any], raw: Callable[..., Any]) -> None:
    """Arrays of NumPy take the way of those of CuPy, with these in place of its kernels."""
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    monkeypatch.setitem(compilers.COMPILERS, "numba", compilers.COMPILERS["cupy"])
    own = {name: getattr(LIBRARIES["cupy"], name) for name in ("upper", "mirror", "add_product")}
    monkeypatch.setitem(LIBRARIES, "numpy", replace(LIBRARIES["numpy"], **own))
    monkeypatch.setitem(sys.modules, "cupy", cupy(raw, elementwise))
    forget_kernels()
