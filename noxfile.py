"""The test matrix. ``nox`` runs what a newcomer needs; ``nox -l`` lists the rest."""

import shutil
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["tests(backend='numpy')", "tests(backend='strict')"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True

BACKENDS = ("numpy", "numpy-readonly", "numpy-compiled", "strict", "strict-float32", "torch", "jax", "cupy")
REQUIREMENTS = {
    # The build without CUDA where the index has one; an installed torch of this version is kept.
    # CUDA sources are compiled wherever NVIDIA's compiler is installed: no GPU is needed.
    "torch": ["torch==2.13.0", "nvidia-cuda-nvrtc-cu12"],
    "jax": ["jax"],
    "cupy": ["cupy-cuda12x"],
}
EXTRAS = ("plot", "study", "cpu", "scale")
# Processes share the work, but not the memory of a GPU. More than eight would wait for one long test in the end.
IN_PARALLEL = ["-n", "auto", "--maxprocesses", "8"]


@nox.session
@nox.parametrize("backend", BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """The suite on one array library. Tests that use none, or NumPy alone, run with those of NumPy and strict."""
    session.install(".[test]", *REQUIREMENTS.get(backend, []))
    parallel = [] if backend == "cupy" else IN_PARALLEL
    only = ["--only-backends"] if backend in ("torch", "jax") else []
    session.run("python", "-m", "pytest", "--backend", backend, *only, *parallel, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint."""
    session.install("ruff")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the package, and on a script as a user has it."""
    session.install(".[test]", "mypy")
    session.run("mypy")
    session.run("python", "-m", "pytest", "tests/test_discovery.py", env={"NTK_ARRAY_TYPES": "1"})


@nox.session
def doctests(session: nox.Session) -> None:
    """Every example in the docstrings, the README and the docs; those of PyTorch models run with its tests."""
    session.install(".[test]")
    # Examples of the gallery and extensions of the site are Python files in docs that have no doctests.
    pages = ["ntk_array", "README.md", "docs", "--ignore-glob=docs/*.py"]
    pages += ["--ignore=ntk_array/torch", "--ignore=docs/torch.md"]
    session.run("python", "-m", "pytest", "--doctest-modules", "--doctest-glob=*.md", *pages, env={"MPLBACKEND": "Agg"})


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/docs: warnings are errors, all examples of the gallery run, and every public name is there."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "build/docs", env={"OPENBLAS_NUM_THREADS": "1"})


@nox.session
def links(session: nox.Session) -> None:
    """Links to elsewhere in the docs, which takes a network."""
    session.install(".[docs]")
    options = ["-D", "plot_gallery=0"]
    session.run("sphinx-build", "-q", "-b", "linkcheck", *options, "docs", "build/links")


@nox.session
def release(session: nox.Session) -> None:
    """sdist and wheel: built and checked, then used as a user has them, whose mypy sees the types."""
    dist, elsewhere = Path("dist").resolve(), session.create_tmp()
    session.install("build", "twine", "mypy")
    session.run("python", "-m", "build", "--outdir", str(dist))
    wheel = max(dist.glob("*.whl"), key=lambda file: file.stat().st_mtime)
    session.run("twine", "check", "--strict", str(wheel), *map(str, dist.glob("*.tar.gz")))
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(str(wheel))
    # Outside the checkout, so that Python and mypy find the wheel.
    shutil.copy("tests/release/user.py", elsewhere)
    session.chdir(elsewhere)
    session.run("python", "user.py")
    session.run("ntk-array", "info")
    session.run("mypy", "--strict", "user.py")


@nox.session(python="3.11")
def minimal(session: nox.Session) -> None:
    """The tests with the lowest versions that pyproject.toml states, on the lowest Python."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = [*project["dependencies"], *(line for name in EXTRAS for line in project["optional-dependencies"][name])]
    lowest = [line.replace(">=", "==") for line in stated if not line.startswith("ntk_array")]
    # The newest numcodecs warns on the command line, whatever is ignored, unless it has the package that it asks for.
    beside = ["google-crc32c"]
    session.install(".", "pytest", "pytest-xdist", "array-api-strict", "mpmath", *beside, *lowest)
    # Old libraries call what their own dependencies have deprecated since.
    others = ["-W", "ignore::DeprecationWarning"]
    session.run("python", "-m", "pytest", *others, *IN_PARALLEL, *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def pythons(session: nox.Session) -> None:
    """The tests on NumPy with the newest versions of all dependencies, on each Python that is installed."""
    session.install("--upgrade", "--upgrade-strategy", "eager", ".[test]")
    session.run("python", "-m", "pytest", "--backend", "numpy", *IN_PARALLEL, *session.posargs)


@nox.session
def reliability(session: nox.Session) -> None:
    """Thousands of networks, damaged files and killed processes, an hour; then the scorecard, docs/reliability.md."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks.reliability", *session.posargs)
    session.run("python", "-m", "benchmarks.scorecard")


@nox.session
def bench(session: nox.Session) -> None:
    """Every asv benchmark once, to see that it runs; figures come from ``asv run``."""
    session.install(".[test]", "asv", "virtualenv")
    session.chdir("benchmarks")
    session.run("asv", "machine", "--yes")
    session.run("asv", "run", "--python=same", "--quick", "--show-stderr", "--dry-run", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Times against other libraries, each in an environment of its own: docs/performance.md, made again."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks.performance", "--environments", ".nox/peer-environments", *session.posargs)


@nox.session
def agreement(session: nox.Session) -> None:
    """Values against other libraries: a section of docs/accuracy.md, and the frozen values of the tests, made again."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks.agreement", "--environments", ".nox/peer-environments", *session.posargs)


@nox.session(venv_params=["--system-site-packages"])
def gpu(session: nox.Session) -> None:
    """The suite on CuPy, with the CuPy that is installed on the machine."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "--backend", "cupy", *session.posargs)
