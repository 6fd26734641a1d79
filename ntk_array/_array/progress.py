"""Progress bars for long loops."""

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["progress_bar"]

Item = TypeVar("Item")


def progress_bar(items: Iterable[Item], label: str, unit: str, show: bool) -> Iterable[Item]:
    """The items, with a bar on standard error if asked for; tqdm is imported only then."""
    if not show:
        return items
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, desc=label, unit=unit, leave=False)
    return bar
