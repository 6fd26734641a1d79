"""Keys of caches that compare objects by identity."""

from typing import Any

__all__ = ["Same"]


class Same:
    """A cache key that compares by identity: two layers of a user's class may be equal and still behave differently."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.item is self.item

    def __hash__(self) -> int:
        return id(self.item)
