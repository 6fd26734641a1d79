"""Job: how often the host waits for the device, and how many kernels a K(x) launches."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ..peers.cases import Case
from .card import Card
from .infinite import SMOOTH
from .kernels import described, kernel_of
from .options import Options

READS = ("get", "item", "tolist", "__bool__", "__int__", "__float__", "__complex__")
"""Ways of an array to the host, which wait for the device."""
WAITS = ("synchronize",)
COPIES = ("memcpy", "streamSynchronize", "deviceSynchronize", "eventSynchronize")
LIBRARY = "/ntk_array/"
LAUNCH, WAIT = ("LaunchKernel", "LaunchCooperative"), ("Synchronize", "Memcpy")


@contextmanager
def counted(owner: Any, name: str, found: Counter[str], inside: list[int]) -> Iterator[None]:
    """Count calls of a function or method by the line of the library that they come from.

    A call inside another that is counted is left out: an array that becomes a number is read by ``get``.
    """
    own, original = name in vars(owner), getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not inside[0]:
            found[f"{name} in {caller()}"] += 1
        inside[0] += 1
        try:
            return original(*args, **kwargs)
        finally:
            inside[0] -= 1

    try:
        setattr(owner, name, wrapper)
    except (AttributeError, TypeError):  # an extension type whose methods cannot be replaced
        yield
        return
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def caller() -> str:
    """The innermost line of the library on the stack, but for those that hand arrays to the host."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if LIBRARY in path and "/ntk_array/_array/" not in path:
            return f"{path.rsplit(LIBRARY, 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


def waits(card: Card, run: Callable[[], Any]) -> dict[str, int]:
    """Where the host reads from the device or waits for it, as far as Python sees it."""
    found: Counter[str] = Counter()
    if not card.gpu:
        run()
        return {}
    cuda, inside = card.xp.cuda, [0]
    names = [(card.xp.ndarray, name) for name in READS if hasattr(card.xp.ndarray, name)]
    names += [(owner, name) for owner in (cuda.Stream, cuda.Device, cuda.Event) for name in WAITS]
    names += [(cuda.runtime, name) for name in COPIES]
    with ExitStack() as stack:
        for owner, name in names:
            stack.enter_context(counted(owner, name, found, inside))
        run()
    return dict(found)


def traced(card: Card, run: Callable[[], Any]) -> dict[str, Any]:
    """Kernels on the device and calls of CUDA by the host, as PyTorch's profiler sees them in the whole process."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if card.gpu:
        torch.cuda.init()
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as trace:
        run()
        card.wait()
    device: Counter[str] = Counter()
    host: Counter[str] = Counter()
    for event in trace.events():
        (device if "CUDA" in str(event.device_type) else host)[event.name] += 1
    calls = {name: count for name, count in host.items() if any(part in name for part in (*LAUNCH, *WAIT))}
    return {
        "kernels": sum(count for name, count in device.items() if not name.startswith(("Memcpy", "Memset"))),
        "launches": sum(count for name, count in calls.items() if any(part in name for part in LAUNCH)),
        "copies to the host": sum(count for name, count in device.items() if "DtoH" in name),
        "calls": calls,
        "most": dict(device.most_common(12)),
    }


def cases(options: Options) -> dict[str, Case]:
    """By what they are."""
    n, width = options.size(10_000), options.size(1024)
    return {
        "no biases": Case(n, 784, (1,) * 3, dtype="float32"),
        "biases": Case(n, 784, (1,) * 3, bias_std=0.1, dtype="float32"),
        "tanh": Case(n, 100, (1,) * 3, **SMOOTH),
        "empirical": Case(n, 784, (width,) * 2, outputs=1, bias_std=0.1, dtype="float32"),
    }


def launches(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Seconds until K(x) returns and until it is done, where the host waits meanwhile, and what it launches.

    What is launched comes last, in rows of its own: a profiler may slow down all that follows.
    """
    for name, case in cases(options).items():
        run = runs(case, card)
        times = card.seconds(run, repeats=3)
        yield {"kernel": name, "case": described(case), "seconds": times} | {
            "host": host_seconds(card, run),
            "waits": waits(card, run),
        }
        card.forget()
    for name, case in cases(options).items():
        run = runs(case, card)
        run()
        try:
            yield {"kernel": name, "trace": traced(card, run)}
        except Exception as error:  # without PyTorch, or where its profiler does not see the device
            yield {"kernel": name, "no trace": repr(error)}
        card.forget()


def runs(case: Case, card: Card) -> Callable[[], Any]:
    """K(x) of a case."""
    kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
    return lambda: kernel(x)


def host_seconds(card: Card, run: Callable[[], Any], repeats: int = 5) -> float:
    """Median seconds until a call returns, whether or not the device is done."""
    times = []
    for _ in range(repeats):
        card.wait()
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
        del result
    return float(np.median(times))
