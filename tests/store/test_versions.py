"""Versions that a run records."""

import sys
from importlib.metadata import version

from artifactscan import __version__
from artifactscan.store.versions import versions, versions_of


def test_versions_of_installed_and_missing_packages() -> None:
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"] == version("torch")
    assert found["artifactscan"] == __version__
    assert versions_of(["no-such-package-anywhere", "torch"]) == {
        "no-such-package-anywhere": "not installed",
        "torch": version("torch"),
    }
