"""The API reference is complete: a public name that it lacks is a warning, and so an error of the build."""

import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from sphinx.util import logging

import ntk_array

# Modules without an underscore that users do not import.
INTERNAL = {"cli", "infinite"}
LOGGER = logging.getLogger(__name__)


def public() -> Iterator[tuple[str, Any]]:
    """Full names and objects of ``__all__`` of the package and of each of its public modules."""
    names = {module.name for module in pkgutil.iter_modules(ntk_array.__path__) if not module.name.startswith("_")}
    for module in (ntk_array, *(import_module(f"ntk_array.{name}") for name in sorted(names - INTERNAL))):
        for name in module.__all__:
            found = getattr(module, name)
            if not isinstance(found, ModuleType):
                yield f"{module.__name__}.{name}", found


def check(app: Any, env: Any) -> None:
    documented = []
    for name, entry in env.get_domain("py").objects.items():
        module, _, attribute = name.rpartition(".")
        if entry.objtype in ("class", "function", "exception", "data") and module in sys.modules:
            documented.append(getattr(sys.modules[module], attribute, None))
    for name, found in public():
        if not any(found is other for other in documented):
            LOGGER.warning("%s is public and not in the API reference (docs/api)", name)


def setup(app: Any) -> dict[str, bool]:
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
