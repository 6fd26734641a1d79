"""Rules of the house that no linter knows: who may import what, how arrays are made, which names are public."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ntk_array

PACKAGE = Path(ntk_array.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = ("_support", "_array", "plotting", "_formula", "function_space", "infinite", "nn", "gram", "solve")
FLOORS += ("kernels", "dynamics", "experiments", "study")
CREATIONS = {"asarray", "zeros", "ones", "full", "empty", "eye", "arange", "linspace", "array"}
OPTIONAL = {"torch", "jax", "cupy", "cupyx", "sklearn", "matplotlib", "numba", "zarr", "dask", "distributed"}
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}  # public: the underscore keeps them apart from the fields
NAMED = r"""["'](numpy|torch|jax|cupy)["']"""
ASKS_FOR_LIBRARY = re.compile(
    rf"(start|end)swith\({NAMED}|{NAMED} (not )?in |[!=]= {NAMED}|isinstance\(\w+, np\.ndarray\)|hasattr\(\w+, .detach"
    rf"|\bis_(numpy|torch|jax|cupy)_array|sys\.modules\[{NAMED}|core\.Tracer"
)
IMPORT_TIME = 1.7  # times that of NumPy in the same process: a loaded or slow machine takes longer for both

PUBLIC = {
    "ntk_array": """EmpiricalFeatures EmpiricalNNGP EmpiricalNTK Estimate InfiniteNNGP InfiniteNTK Kernel MonteCarloNNGP
        MonteCarloNTK Nystroem Precomputed RandomFeatures dynamics experiments function_space gram neural_tangents nn
        operators plotting solve study""",
    "ntk_array.nn": """CELU ELU GELU SELU ABReLU Abs Activation Affine Aggregate AvgPool BatchNorm ChannelsLast
        Concatenate Conv ConvLocal ConvTranspose Cos Dense Dropout Elementwise Erf Exp Flatten Gabor Gaussian
        GlobalAvgPool GlobalSumPool GraphNetwork GraphPool HardTanh Hardsigmoid Hardswish Hermite Identity Index Layer
        LayerNorm LeakyReLU Linearized LogSigmoid MaxPool Mish Monomial PaddedNetwork Polynomial Product Rbf ReLU ReLU6
        RectifiedMonomial Residual Resize SelfAttention Sequential SiLU Sigmoid SigmoidLike Sign Sin Softplus Softshrink
        Softsign Sum SumPool Tanh Training cnn gnn graphs load mlp myrtle padded resnet save train transformer""",
    "ntk_array.kernels": """EmpiricalFeatures EmpiricalNNGP EmpiricalNTK Estimate InfiniteNNGP InfiniteNTK Kernel
        MonteCarloNNGP MonteCarloNTK Nystroem Precomputed RandomFeatures ZonalSpectrum zonal_spectrum""",
    "ntk_array.function_space": """Cost CrossEntropy EmpiricalMeasure ExpectedLoss Functional Huber KernelGradient
        Logistic SquaredError kernel_gradient""",
    "ntk_array.dynamics": """Ensemble FeatureRegression FlowState Gaussian GaussianProcess GradientDescent GradientFlow
        KernelSpectrum LeaveOneOut Selection max_step select_hyperparameters""",
    "ntk_array.gram": "Plan Store assemble open plan",
    "ntk_array.solve": """Cholesky ConjugateGradient Direct GramOperator KernelMatrix Lanczos LowRank Solution Spectral
        TimesMeanDiagonal solve""",
    "ntk_array.neural_tangents": """Kernel NtkImplementation batch empirical_kernel_fn empirical_nngp_fn
        empirical_ntk_fn empirical_ntk_vp_fn linearize monte_carlo_kernel_fn predict stax taylor_expand""",
    "ntk_array.neural_tangents.predict": """Gaussian ODEState gp_inference gradient_descent gradient_descent_mse
        gradient_descent_mse_ensemble max_learning_rate""",
    "ntk_array.neural_tangents.stax": """ABRelu Abs Aggregate AggregateImplementation AttentionMechanism AvgPool Bool
        Conv ConvLocal ConvTranspose Cos Dense Diagonal DotGeneral Dropout Elementwise ElementwiseNumerical Erf Exp
        ExpNormalized FanInConcat FanInProd FanInSum FanOut Flatten Gabor Gaussian Gelu GlobalAvgPool
        GlobalSelfAttention GlobalSumPool Hermite Identity ImageResize Index LayerNorm LeakyRelu MaskedArray Monomial
        Padding Polynomial PositionalEmbedding Rbf RectifiedMonomial Relu Sigmoid_like Sign Sin Slice SumPool layer
        parallel repeat requires serial supports_masking unmask_fn""",
    "ntk_array.operators": "Derivative Laplacian Operator OperatorKernel Value",
    "ntk_array.experiments": """PowerLaw ScalingResult TrainedEnsemble kernel_concentration kernel_stability
        linearization_gap regression_gap trained_ensemble""",
    "ntk_array.plotting": "STYLE costs dynamics exponents gram left_out process spectrum",
    "ntk_array.sklearn": "NTKClassifier NTKKernel NTKRegressor from_sklearn load save",
    "ntk_array.torch": "ModuleKernel Translation from_module",
    "ntk_array.study": "Dataset Study StudySettings load_dataset run_study",
}
"""Public names are few and deliberate: a new one is added here too."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def bare_creations(tree: ast.Module) -> Iterator[str]:
    """Calls such as xp.zeros(...) that leave the dtype or the device to chance."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CREATIONS):
            continue
        receiver = node.func.value
        if getattr(receiver, "id", None) == "xp" or getattr(receiver, "attr", None) == "xp":
            missing = {"dtype", "device"} - {keyword.arg for keyword in node.keywords}
            if missing:
                yield f"line {node.lineno}: {ast.unparse(node)} has no {' and no '.join(sorted(missing))}"


def privates_of_others(tree: ast.Module) -> Iterator[str]:
    """Uses of something._name where something is not the object or class that the code belongs to."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr.startswith("_")) or node.attr.startswith("__"):
            continue
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        own |= isinstance(node.value, ast.Call) and getattr(node.value.func, "id", None) == "super"
        if not own and node.attr not in NAMED_TUPLE:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Absolute dotted names of all imports below a node, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if is_package else module.split(".")[:-1]
            base = base[: len(base) - (node.level - 1)] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # "from .. import nn" names the rooms in its list, "from .nn import x" before it
            if node.level and not node.module:
                yield from (f"{source}.{alias.name}" for alias in node.names)
            else:
                yield source


def floor(module: str) -> int:
    """How high a module stands; top-level modules, and the package itself, are the roof."""
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 and parts[1] in FLOORS else len(FLOORS)


def upward_imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """Imports from the same package that come from a floor above."""
    for name in imported(tree, module, is_package):
        if name.split(".")[0] == "ntk_array" and floor(name) > floor(module):
            yield name


def module_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run on import: not the bodies of functions, but those of classes, if and try."""
    found: list[ast.stmt] = []
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        pending += ast.iter_child_nodes(node)
    return found


def optional_imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    # The package for the users of a library, such as ntk_array.sklearn, imports that library.
    own = module.split(".")[1:2]
    for statement in module_level(tree):
        for name in imported(statement, module, is_package):
            if name.split(".")[0] in OPTIONAL - {*own}:
                yield f"line {statement.lineno}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_every_creation_says_dtype_and_device(path):
    tree = parsed(path)
    if dotted(path) == "ntk_array._array.namespace":
        # standard_namespace makes an array to learn its library, and drops it.
        tree.body = [node for node in tree.body if getattr(node, "name", "") != "standard_namespace"]
    assert list(bare_creations(tree)) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_object_reads_the_privates_of_another(path):
    assert list(privates_of_others(parsed(path))) == []


@pytest.mark.parametrize(
    "snippet", ["flow._root", "self._flow._root", "f(x)._root", "def f(self):\n    new = copy(self)\n    new._x = 1"]
)
def test_the_checker_catches_a_private_of_another(snippet):
    assert len(list(privates_of_others(ast.parse(snippet)))) == 1


@pytest.mark.parametrize(
    "snippet", ["self._root", "cls._made", "super()._state()", "place._replace(dtype=d)", "x.__class__", "_root(x)"]
)
def test_the_checker_lets_own_privates_pass(snippet):
    assert list(privates_of_others(ast.parse(snippet))) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_rooms_import_from_the_floors_below(path):
    assert list(upward_imports(parsed(path), dotted(path), path.name == "__init__.py")) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_array_api_compat_is_imported_by_the_door_only(path):
    names = imported(parsed(path), dotted(path), path.name == "__init__.py")
    uses = any(name.split(".")[0] == "array_api_compat" for name in names)
    assert uses == (dotted(path) == "ntk_array._array.namespace")


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_libraries_are_told_apart_in_one_place(path):
    """All other modules ask the entry of a library, ``home(x).library``, or ``is_numpy(x)``."""
    found = [line for line in path.read_text(encoding="utf-8").splitlines() if ASKS_FOR_LIBRARY.search(line)]
    assert not found or dotted(path) == "ntk_array._array.libraries"


@pytest.mark.parametrize(
    "line",
    [
        'if xp.__name__.startswith("jax"):',
        'name.endswith("torch")',
        'if "jax" in name:',
        "isinstance(x, np.ndarray)",
        'hasattr(x, "detach")',
        "compat.is_torch_array(x)",
        'sys.modules["torch"]',
        'library == "jax"',
    ],
)
def test_the_checker_catches_a_question(line):
    assert ASKS_FOR_LIBRARY.search(line)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_optional_libraries_are_imported_where_they_are_used(path):
    assert list(optional_imports(parsed(path), dotted(path), path.name == "__init__.py")) == []


@pytest.mark.parametrize(
    "snippet",
    [
        "xp.zeros(3)",
        "xp.zeros(3, dtype=d)",
        "place.xp.asarray(x, device=q)",
        "def f():\n    return home(x).xp.eye(n, dtype=d)",
    ],
)
def test_the_checker_catches_a_bare_creation(snippet):
    assert len(list(bare_creations(ast.parse(snippet)))) == 1


@pytest.mark.parametrize("snippet", ["xp.zeros(3, dtype=d, device=q)", "np.zeros(3)", "xp.zeros_like(x)"])
def test_the_checker_lets_good_creations_pass(snippet):
    assert list(bare_creations(ast.parse(snippet))) == []


@pytest.mark.parametrize(
    "snippet",
    [
        "from ..kernels import Kernel",
        "from .. import kernels",
        "def f():\n    from ..dynamics.gradient_flow import GradientFlow",
        "import ntk_array.dynamics",
        "import ntk_array",
        "from ntk_array import InfiniteNTK",
    ],
)
def test_the_checker_catches_an_upward_import(snippet):
    assert list(upward_imports(ast.parse(snippet), "ntk_array.nn.dense", False))


@pytest.mark.parametrize("snippet", ["from .._array.random import normal", "from .. import function_space"])
def test_the_checker_lets_downward_imports_pass(snippet):
    assert list(upward_imports(ast.parse(snippet), "ntk_array.nn.dense", False)) == []


@pytest.mark.parametrize(
    "snippet", ["import torch", "try:\n    import cupy\nexcept ImportError: pass", "if 1:\n    from jax import jit"]
)
def test_the_checker_catches_an_optional_import(snippet):
    assert list(optional_imports(ast.parse(snippet), "ntk_array.nn.dense", False))
    inner = ast.parse("def f():\n" + "\n".join(f"    {line}" for line in snippet.splitlines()))
    assert list(optional_imports(inner, "ntk_array.nn.dense", False)) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_few_and_deliberate(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        doc = getattr(module, public).__doc__
        # a dataclass without a docstring gets its signature as one
        assert doc, f"{name}.{public} has no docstring"
        assert not doc.startswith(f"{public}("), f"{name}.{public} has no docstring"


def fresh_process(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    ).stdout


def test_import_loads_the_core_only():
    loaded = fresh_process("import sys, ntk_array; print(*sys.modules)").split()
    tops = {name.split(".")[0] for name in loaded}
    assert "numpy" in tops
    assert tops & {"scipy", *OPTIONAL} == set()


def test_import_is_quick(tmp_path):
    """In CPU seconds of the thread that imports, in a fresh process: wall time would measure what else the machine
    does, the time of all threads those of NumPy's BLAS, which spin for a while. The first process writes the bytecode
    that an installed package has, wherever this environment forbids it; the others read it."""
    bytecode = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    code = (
        "import time; a = time.thread_time(); import numpy; b = time.thread_time(); import ntk_array;"
        "print(b - a, time.thread_time() - b)"
    )
    runs = [fresh_process(code, **bytecode).split() for _ in range(7)]
    ratios = [float(added) / float(of_numpy) for of_numpy, added in runs[1:]]
    assert min(ratios) <= IMPORT_TIME, f"import ntk_array takes {min(ratios):.2f} times as long as import numpy"
