"""Of Python and of packages: what a run records of what it ran on."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from artifactscan import __version__

_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av", "decord", "pyarrow", "numpy")


def versions() -> dict[str, str]:
    """Of Python and of the packages that scores depend on, by name."""
    return {"python": python_version()} | versions_of(_PACKAGES)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """By name, ``not installed`` where a package is not there; ours is that of the code that runs, however it came."""
    return {name: __version__ if name == "artifactscan" else _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
