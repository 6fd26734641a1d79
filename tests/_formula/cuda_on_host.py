"""CUDA sources run on the host: the same text, compiled by a C++ compiler, a block of threads after the other.

The threads of a block take turns: each runs up to the next barrier. With the threads in the opposite order results are
the same to the last bit unless a barrier is missing. Shared memory starts as NaN, and what lies behind it must stay.
"""

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

SHARED_BYTES = 227 * 2**10  # of an H100
GUARD_BYTES = 2**10

SHIM = """
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <vector>
#include <ucontext.h>
using namespace std;
#define __global__
#define __device__ static
#define __shared__
#define __launch_bounds__(n)
struct Index { unsigned x; };
static Index threadIdx, blockIdx;
static jmp_buf scheduler, turns[1024];
static bool started[1024], finished[1024];
static void __syncthreads() { if (!_setjmp(turns[threadIdx.x])) _longjmp(scheduler, 1); }
"""
LAUNCH = """
double memory[(SHARED + GUARD) / 8];
static const int *first_, *second_;
static const T *rows_, *columns_;
static double* sums_;
static void thread() {
    run_planes(first_, second_, rows_, columns_, sums_);
    finished[threadIdx.x] = true;
    _longjmp(scheduler, 1);
}
static vector<char> stacks;
static ucontext_t entry, back;
static const int STACK = 1 << 16;
static void turn(int t) {
    threadIdx.x = t;
    if (_setjmp(scheduler)) return;
    if (started[t]) _longjmp(turns[t], 1);
    started[t] = true;
    getcontext(&entry);
    entry.uc_stack.ss_sp = stacks.data() + (size_t)t * STACK;
    entry.uc_stack.ss_size = STACK;
    entry.uc_link = &back;
    makecontext(&entry, thread, 0);
    setcontext(&entry);
}
// 0, or what went wrong: 1 for a barrier that not all threads reach, 2 for writes behind the shared memory.
extern "C" int launch(int blocks, int threads, int bytes, int opposite, const int* first, const int* second,
                      const T* rows, const T* columns, double* sums) {
    first_ = first, second_ = second, rows_ = rows, columns_ = columns, sums_ = sums;
    stacks.resize((size_t)threads * STACK);
    for (int block = 0; block < blocks; ++block) {
        blockIdx.x = block;
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
    }
    return 0;
}
"""


@cache
def _launch(code: str) -> Any:
    text = f"{SHIM}static const int SHARED = {SHARED_BYTES}, GUARD = {GUARD_BYTES};\n{code}{LAUNCH}"
    with TemporaryDirectory(dir=os.environ["NTK_ARRAY_CACHE"]) as folder:
        library = Path(folder) / "planes.so"
        command = ["c++", "-O1", "-x", "c++", "-shared", "-fPIC", "-ffp-contract=off", "-o", str(library), "-"]
        subprocess.run(command, input=text.encode(), check=True)
        return ctypes.CDLL(str(library)).launch


def missing() -> str:
    """What this machine lacks, or nothing."""
    return "" if shutil.which("c++") else "there is no C++ compiler here"


class HostKernel:
    """In place of cupy.RawKernel, for arrays of NumPy."""

    max_dynamic_shared_size_bytes = 48 * 2**10

    def __init__(self, code: str, name: str) -> None:
        assert name == "run_planes"
        self.code = code

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[np.ndarray, ...], *, shared_mem: int) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= SHARED_BYTES
        assert [a.dtype.char for a in args] == ["i", "i", args[2].dtype.char, args[2].dtype.char, "d"]
        assert all(a.flags.c_contiguous for a in args)
        *given, sums = args
        assert sums.size % grid[0] == 0
        assert args[0].size == args[1].size
        results = [np.full_like(sums, np.nan) for _ in range(2)]
        for opposite, result in enumerate(results):
            pointers = (ctypes.c_void_p(a.ctypes.data) for a in (*given, result))
            wrong = _launch(self.code)(grid[0], block[0], shared_mem, opposite, *pointers)
            assert wrong == 0, ("", "a barrier that not all threads reach", "writes behind the shared memory")[wrong]
        np.testing.assert_array_equal(*results, err_msg="a barrier is missing")
        sums[...] = results[0]


class HostDevice:
    """In place of cupy.cuda.Device."""

    def __init__(self, device: Any) -> None:
        assert device == "cpu"
        self.attributes = {"MaxSharedMemoryPerBlockOptin": SHARED_BYTES}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


CUPY = SimpleNamespace(RawKernel=HostKernel, cuda=SimpleNamespace(Device=HostDevice), ndarray=type("ndarray", (), {}))
"""In place of CuPy, as far as planes use it."""
