"""Gram matrices: from blocks of kernel values to whole matrices, in memory and on disk."""

from typing import TYPE_CHECKING, Any

from .assemble import assemble
from .plan import Plan, plan

if TYPE_CHECKING:
    from .store import Store
    from .store import open_store as open

__all__ = ["Plan", "Store", "assemble", "open", "plan"]


def __getattr__(name: str) -> Any:
    """Matrices on disk are loaded when they are first asked for: they need modules that nothing else does."""
    if name in ("Store", "open"):
        from . import store

        return {"Store": store.Store, "open": store.open_store}[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is loaded later too, so that completion offers it."""
    return sorted({*globals(), *__all__})
