"""Links to objects under the names that docstrings use for them.

An object is documented once, under its shortest public name (``ntk_array.InfiniteNTK``). Docstrings name it as their
module does (``InfiniteNTK``), and methods that a class inherits as its own. What stays unresolved is an error of the
build.
"""

import sys
from typing import Any

from sphinx.util.nodes import make_refnode


def candidates(node: Any, objects: Any) -> list[str]:
    """Full names of documented objects that this reference can mean."""
    parts = node["reftarget"].lstrip(".").split(".")
    own = getattr(sys.modules.get(node.get("py:module")), node.get("py:class") or "", None)
    if node["reftype"] in ("meth", "attr") and len(parts) == 1 and own is not None:
        endings = [f".{base.__name__}.{parts[0]}" for base in own.__mro__]
    else:
        # The last part of the name of a class or function, the last two of that of a method.
        endings = ["." + ".".join(parts[-2:] if node["reftype"] in ("meth", "attr") else parts[-1:])]
    for ending in endings:
        found = [name for name, entry in objects.items() if name.endswith(ending) and not entry.aliased]
        if found:
            return found
    return []


def resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects
    names = candidates(node, objects)
    if len(names) != 1:
        return None
    entry = objects[names[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, names[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
