"""The scripts of tests/neural_tangents/scripts by neural-tangents itself, and its public names.

Run from the checkout, in the environment of neural-tangents (``benchmarks/peers/neural_tangents.txt``):

    python -m benchmarks.peers.neural_tangents_scripts

Writes tests/neural_tangents/frozen.json, which the tests compare with.
"""

import importlib.metadata as metadata
import importlib.util
import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402
import neural_tangents as nt  # noqa: E402
import scipy.linalg  # noqa: E402

FOLDER = Path(__file__).parents[2] / "tests/neural_tangents"
MODULES = {"": nt, "stax": nt.stax, "predict": nt.predict}


def values(path: Path) -> dict[str, Any]:
    """What a script returns, as lists."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return {name: np.asarray(value).tolist() for name, value in script.main(jnp.asarray).items()}


def names(module: Any) -> dict[str, Any]:
    """The public names of a module; for functions their arguments, each with its default as text or None."""
    found: dict[str, Any] = {}
    for name in dir(module):
        if not name.startswith("_"):
            own = getattr(module, name)
            found[name] = _arguments(own) if inspect.isfunction(own) else None
    return found


def _arguments(function: Any) -> list[Any]:
    given = inspect.signature(function).parameters.values()
    return [[one.name, None if one.default is one.empty else repr(one.default)] for one in given]


def _largest(matrix: Any, eigvals: tuple[int, int], found: Any = scipy.linalg.eigvalsh) -> Any:
    """``eigvalsh`` as max_learning_rate calls it, with an argument that SciPy has no more."""
    return found(matrix, subset_by_index=eigvals)


def main() -> None:
    """Write the file."""
    scipy.linalg.eigvalsh = _largest
    warnings.simplefilter("ignore")
    found = {
        "by": f"neural-tangents {metadata.version('neural-tangents')} (JAX {metadata.version('jax')})",
        "names": {name: names(module) for name, module in MODULES.items()},
        "scripts": {path.stem: values(path) for path in sorted((FOLDER / "scripts").glob("*.py"))},
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items() if key != "scripts"]
    scripts = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found["scripts"].items())
    (FOLDER / "frozen.json").write_text("{" + ",\n".join(parts) + f',\n"scripts": {{\n{scripts}\n}}}}\n')


if __name__ == "__main__":
    main()
