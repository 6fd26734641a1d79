"""Versions of installed packages."""

from importlib import metadata

__all__ = ["installed_version"]


def installed_version(package: str) -> str | None:
    """The version of a package by the name of its distribution or of its module; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # CuPy is distributed as cupy-cuda12x and the like. The search reads every installed package, and so comes last.
        names = metadata.packages_distributions().get(package)
        return metadata.version(names[0]) if names else None
