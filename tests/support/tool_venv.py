"""Virtual environments of tools that are no dependency, made below build/ once and used again."""

import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

import pytest
from paths import ROOT

TOOLS = ROOT / "build" / "test-tools"


@cache
def tool_venv(name: str, *requirements: str) -> Path:
    """The folder of an environment with ``requirements``; the test is skipped where they cannot be installed."""
    folder = TOOLS / name
    done = folder / "installed.txt"
    wanted = "\n".join(requirements)
    if done.exists() and done.read_text() == wanted:
        return folder
    venv.create(folder, clear=True, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"{', '.join(requirements)} cannot be installed here: {ran.stderr.strip()[-300:]}")
    done.write_text(wanted)
    return folder


def python_of(folder: Path) -> str:
    """The Python of such an environment; it is of the version that runs the tests."""
    assert sys.platform != "win32"
    return str(folder / "bin" / "python")
