"""Versions of Python and of packages, as a run records them."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from artifactscan import __version__

NOT_INSTALLED = "not installed"
_PACKAGES = ("artifactscan", "ray", "torch", "timm", "openvino", "av", "decord", "torchcodec", "pyarrow", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that scores depend on, by name."""
    return {"python": python_version()} | versions_of(_PACKAGES)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions by name, ``not installed`` where there is none; artifactscan's is that of the running code."""
    return {name: __version__ if name == "artifactscan" else _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
