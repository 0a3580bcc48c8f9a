"""Where Ray lives, and what of it reaches a terminal; without starting it."""

import ast
import os
import sys
from pathlib import Path

import pytest

import artifactscan
import pipelines
from pipelines.cluster import ROOT, _silent_stderr


def test_workers_find_both_packages_below_the_root() -> None:
    assert Path(pipelines.__file__).parent == ROOT / "pipelines"
    assert Path(artifactscan.__file__).parent == ROOT / "src" / "artifactscan"


def test_the_library_knows_nothing_of_ray_and_the_pipelines() -> None:
    modules = sorted((ROOT / "src" / "artifactscan").rglob("*.py"))
    assert len(modules) > 20
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"ray", "pipelines", "jobs"}, f"{module.name} imports {roots}"


def test_what_c_code_writes_to_stderr_meanwhile_is_lost_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with _silent_stderr():
        os.write(2, b"during ")
        os.write(1, b"result")
    os.write(2, b"after")
    assert capfd.readouterr() == ("result", "before after")


def test_stderr_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectionError, match="no cluster"), _silent_stderr():
        os.write(2, b"during")
        raise ConnectionError("no cluster")
    print("said", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "said\n"
