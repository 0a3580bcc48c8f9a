"""Of Python and of the packages that scores depend on: what a run records."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av", "decord", "pyarrow", "numpy")


def versions() -> dict[str, str]:
    """By name, ``not installed`` where a package is not there."""
    return {"python": python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
