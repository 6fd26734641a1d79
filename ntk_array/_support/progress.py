"""Progress bars for long loops."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

__all__ = ["progress_asked", "progress_bar", "progress_sum", "progress_within"]

Item = TypeVar("Item")

_ASKED: ContextVar[bool] = ContextVar("progress_asked", default=False)


@contextmanager
def progress_within(show: bool) -> Iterator[None]:
    """Ask for bars, or for none, of work that is too far below for an argument to be handed through."""
    token = _ASKED.set(show)
    try:
        yield
    finally:
        _ASKED.reset(token)


def progress_asked() -> bool:
    """Whether bars were asked for by :func:`progress_within`."""
    return _ASKED.get()


def progress_bar(items: Iterable[Item], label: str, unit: str, show: bool) -> Iterable[Item]:
    """The items, with a bar on standard error if asked for; tqdm is imported only then."""
    if not show:
        return items
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, desc=label, unit=unit, leave=False)
    return bar


def progress_sum(amounts: Iterable[int], total: int, label: str, unit: str, show: bool, done: int = 0) -> Iterator[int]:
    """The amounts, which add up to ``total`` with what is ``done``, with a bar of their sum if asked for."""
    if not show:
        yield from amounts
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, desc=label, unit=unit, unit_scale=total > 9999, leave=False) as bar:
        # An amount is the result of work: it comes out of the iterator once that work is done, and is counted then.
        for amount in amounts:
            bar.update(amount)
            yield amount
