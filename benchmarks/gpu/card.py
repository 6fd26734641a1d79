"""The library that a job runs on, its clock, and what the card can do at most."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Card:
    """CuPy on a GPU, or NumPy on the host, where the jobs can be tried with small inputs."""

    xp: Any

    @classmethod
    def of(cls, library: str) -> Card:
        """By the name of the library. SystemExit, with the reason, where there is no GPU for CuPy."""
        if library == "numpy":
            return cls(np)
        try:
            import cupy

            cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            raise SystemExit(f"CuPy has no GPU here ({error}); --library numpy tries a job on the host") from error
        return cls(cupy)

    @property
    def gpu(self) -> bool:
        """Whether there is a device to wait for."""
        return self.xp is not np

    def wait(self) -> None:
        """Until everything that was asked of the device is done."""
        if self.gpu:
            self.xp.cuda.Device().synchronize()

    def host(self, x: Any) -> np.ndarray:
        """A NumPy copy in float64."""
        return np.asarray(x.get() if self.gpu else x, dtype=np.float64)

    def seconds(self, run: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
        """The first call, and the median and the best of later ones."""
        times = []
        for _ in range(repeats + 1):
            self.wait()
            start = time.perf_counter()
            result = run()
            self.wait()
            times.append(time.perf_counter() - start)
            del result
        return {"first": times[0], "median": float(np.median(times[1:])), "best": min(times[1:])}

    def product_rate(self, dtype: str, n: int) -> float:
        """Floating-point operations a second of the product of two (n, n) matrices."""
        a = self.xp.asarray(np.random.default_rng(0).standard_normal((n, n)).astype(dtype))
        return 2.0 * n**3 / self.seconds(lambda: a @ a)["best"]

    def write_rate(self, size: int) -> float:
        """Bytes a second of filling memory that is there."""
        array = self.xp.empty(size // 4, dtype=np.float32)
        return size / self.seconds(lambda: array.fill(1.0))["best"]

    def free(self) -> int:
        """Bytes that new arrays may take."""
        return int(self.xp.cuda.runtime.memGetInfo()[0]) if self.gpu else 2**32

    def taken(self) -> int:
        """Bytes that CuPy has taken from the device since memory was last given back; 0 on the host."""
        return int(self.xp.get_default_memory_pool().total_bytes()) if self.gpu else 0

    def forget(self) -> None:
        """Give memory that nobody uses back to the device."""
        if self.gpu:
            self.xp.get_default_memory_pool().free_all_blocks()


def today() -> str:
    """The date in UTC, as rows of results have it."""
    return datetime.now(UTC).date().isoformat()


def machine() -> dict[str, str]:
    """The card, its driver, the versions of libraries, and the date in UTC."""
    found = {"date": today(), "python": sys.version.split()[0]}
    for name in ("numpy", "scipy", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax", "array-api-compat"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found["card"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found["card"] = "none"
    try:
        import cupy

        found["CUDA"] = str(cupy.cuda.runtime.runtimeGetVersion())
    except ImportError:
        pass
    return found
