"""Gram matrices: from blocks of kernel values to whole matrices, in memory and on disk."""

from .assemble import assemble
from .plan import Plan, plan
from .store import Store
from .store import open_store as open

__all__ = ["Plan", "Store", "assemble", "open", "plan"]
