"""How to install what is missing, in words that work where the package came from."""

from pathlib import Path

__all__ = ["install_hint"]

PROJECT = Path(__file__).resolve().parents[2]


def install_hint(extra: str) -> str:
    """The command that installs an extra: from the checkout that the package came from, or by the names of packages.

    The package need not be on an index. So no hint asks an index for it.
    """
    checkout = _checkout()
    if checkout is not None:
        return f'pip install "{checkout}[{extra}]"'
    return "pip install " + " ".join(f'"{name}"' for name in _packages(extra))


def _checkout() -> Path | None:
    """The folder from which the package is imported, or from which it was installed, if it is still there."""
    if (PROJECT / "pyproject.toml").is_file():
        return PROJECT
    # Imported late: these modules take longer than the rest of the package, and few users need a hint.
    import json
    from importlib import metadata
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    try:
        url = json.loads(metadata.distribution("ntk_array").read_text("direct_url.json") or "{}")["url"]
    except (metadata.PackageNotFoundError, ValueError, KeyError):
        return None
    folder = Path(url2pathname(urlparse(url).path))
    return folder if (folder / "pyproject.toml").is_file() else None


def _packages(extra: str) -> list[str]:
    """The requirements of an extra, such as numba>=0.61; the extra itself where nothing is known of it."""
    from importlib import metadata

    try:
        required = metadata.requires("ntk_array") or []
    except metadata.PackageNotFoundError:
        required = []
    marked = [line.partition(";") for line in required]
    names = [name.strip() for name, _, marker in marked if marker.replace('"', "'").strip() == f"extra == '{extra}'"]
    return names or [f"ntk_array[{extra}]"]
