"""Which errors of the package a test raises: every ``raise`` in it is counted when it runs.

Run from the checkout: python -m benchmarks.raises [ARGUMENTS OF PYTEST ...], such as -n 2 --backend numpy --backend
torch. It runs the suite, writes benchmarks/results/raises.json, and prints what no test raised. Processes that tests
start do not count. With --out FILE it writes there, for runs of some tests only.

As a plugin of pytest (-p benchmarks.raises) it changes how ntk_array is imported: before each ``raise`` stands a note
that it is reached. So it has to be loaded before the package is, and costs nothing where nothing is raised.
"""

import argparse
import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ntk_array"
RESULTS = ROOT / "benchmarks/results/raises.json"
FOLDER = "NTK_ARRAY_RAISES"
NOTE = "_ntk_array_reached"
REACHED: set[str] = set()


def name_of(path: Path, function: str, node: ast.Raise) -> str:
    """A raise, by file, function and what it raises: line numbers change with every edit."""
    return f"{path.relative_to(ROOT)}: {function}: {ast.unparse(node)}"


class Noted(ast.NodeTransformer):
    """Source with a note before each raise; ``names`` are all of them."""

    def __init__(self, path: Path) -> None:
        self.path, self.names, self._functions = path, [], []

    def visit_FunctionDef(self, node: Any) -> Any:
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Raise(self, node: ast.Raise) -> list[ast.stmt]:
        name = name_of(self.path, ".".join(self._functions), node)
        self.names.append(name)
        call = ast.Call(ast.Name(NOTE, ast.Load()), [ast.Constant(name)], [])
        return [ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node)), node]


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles modules with notes, and leaves the cache of byte code alone."""

    def get_code(self, fullname: str) -> Any:
        path = Path(self.get_filename(fullname))
        tree = Noted(path).visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        return compile(tree, str(path), "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the package."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname.split(".")[0] != "ntk_array":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


if FOLDER in os.environ:
    setattr(builtins, NOTE, REACHED.add)
    sys.meta_path.insert(0, Finder())


def pytest_unconfigure() -> None:
    """Each process of a run writes what it has seen."""
    if FOLDER in os.environ:
        (Path(os.environ[FOLDER]) / f"{os.getpid()}.json").write_text(json.dumps(sorted(REACHED)))


def all_raises() -> list[str]:
    """Every raise of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        noted = Noted(path)
        noted.visit(ast.parse(path.read_text(encoding="utf-8")))
        found += noted.names
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-p", "benchmarks.raises", "-q", *arguments]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, FOLDER: folder}, check=False).returncode
        reached = {name for file in Path(folder).glob("*.json") for name in json.loads(file.read_text())}
    everything = all_raises()
    missing = [name for name in everything if name not in reached]
    result = {"raises": len(everything), "raised": len(everything) - len(missing), "not raised": missing}
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return code


if __name__ == "__main__":
    sys.exit(main())
