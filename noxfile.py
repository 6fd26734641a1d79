"""The test matrix. ``nox`` runs what a newcomer needs; ``nox -l`` lists the rest."""

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
    """mypy --strict on the package."""
    session.install(".[test]", "mypy")
    session.run("mypy")


@nox.session
def doctests(session: nox.Session) -> None:
    """Every example in the docstrings, the README and the docs."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "--doctest-modules", "--doctest-glob=*.md", "ntk_array", "README.md", "docs")


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
