"""What a run records of what it ran on."""

import sys
from importlib.metadata import version

from artifactscan import __version__
from artifactscan.store.versions import versions, versions_of


def test_versions_of_installed_and_missing_packages() -> None:
    told = versions()
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["torch"] == version("torch")
    assert told["artifactscan"] == __version__
    assert versions_of(["no-such-package-anywhere", "torch"]) == {
        "no-such-package-anywhere": "not installed",
        "torch": version("torch"),
    }
