"""Temporary folders whose owner is killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from artifactscan.leftovers.temporary_folders import TemporaryFolder, temporary_folder

OWNER = """
import os, pathlib, signal
from artifactscan.leftovers.temporary_folders import temporary_folder
with temporary_folder() as folder:
    pathlib.Path(folder, "file").write_text("text")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def tmpdir_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def folders(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("artifactscan-runs-"))


def test_the_next_folder_removes_that_of_a_killed_process(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", OWNER], env=os.environ, stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -9
    left = Path(killed.stdout.strip())
    assert (left / "file").read_text() == "text" and folders(tmp_path) == [left.name]
    (tmp_path / "artifactscan-of-somebody").mkdir()
    with temporary_folder("artifactscan-mine-") as folder:
        assert folders(tmp_path) == [Path(folder).name, "artifactscan-of-somebody"]
        with temporary_folder() as other:  # that of a living process stays
            assert Path(folder).is_dir() and Path(other).is_dir()
    assert folders(tmp_path) == ["artifactscan-of-somebody"]


def test_a_folder_that_is_kept_stays(tmp_path: Path) -> None:
    kept = TemporaryFolder()
    kept.keep()
    TemporaryFolder().remove()
    assert folders(tmp_path) == [Path(kept.path).name]


def test_a_record_that_names_a_link_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    abandoned = TemporaryFolder()
    Path(abandoned.path).rmdir()
    Path(abandoned.path).symlink_to(tmp_path / "precious")
    abandoned._record.close()
    TemporaryFolder().remove()
    assert (tmp_path / "precious").is_dir()
