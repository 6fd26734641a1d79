"""How many random cases a test has: a few in the suite, many in ``nox -s reliability``."""

import os
from typing import TypeVar

T = TypeVar("T")

LONG = bool(os.environ.get("NTK_ARRAY_RELIABILITY"))


def cases(few: T, many: T) -> T:
    """The first in the suite, the second where NTK_ARRAY_RELIABILITY is set."""
    return many if LONG else few
