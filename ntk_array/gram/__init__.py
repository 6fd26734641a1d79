"""Gram matrices: from blocks of kernel values to whole matrices."""

from .assemble import assemble
from .plan import Plan, plan

__all__ = ["Plan", "assemble", "plan"]
