"""What a run records of what it ran on."""

import sys
from importlib.metadata import version

from artifactscan.versions import _version, versions


def test_of_what_is_there_and_what_is_not() -> None:
    told = versions()
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["torch"] == version("torch")
    assert _version("no-such-package-anywhere") == "not installed"
