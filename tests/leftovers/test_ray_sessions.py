"""Which session folders of Ray are removed for a run that is dead, and which processes are ended."""

import os
import secrets
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from artifactscan.leftovers.marked_processes import MARK_VARIABLE
from artifactscan.leftovers.ray_sessions import RaySession, end_abandoned_sessions

RUN = """
import os, pathlib, signal, subprocess, sys
from datetime import datetime
from artifactscan.leftovers.marked_processes import MARK_VARIABLE
from artifactscan.leftovers.ray_sessions import RaySession
recorded, ray_folder, token = sys.argv[1] == "recorded", sys.argv[2], sys.argv[3]
session = RaySession(token, ray_folder=ray_folder)
folder = pathlib.Path(ray_folder, f"session_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}")
(folder / "logs").mkdir(parents=True)
if recorded:
    session.set_folder(str(folder))
worker = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: token}, stdout=subprocess.DEVNULL)
print(worker.pid, folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def ray_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "ray"


def killed_run(how: str, ray_folder: Path) -> tuple[int, Path]:
    """The id of the process, and the session folder, that a killed run has left."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, how, str(ray_folder), secrets.token_hex(8)], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == -9
    pid, _, folder = done.stdout.strip().partition(" ")
    return int(pid), Path(folder)


@pytest.mark.parametrize("how", ["recorded", "killed while Ray starts"])
def test_processes_and_session_folder_of_a_killed_run(how: str, ray_folder: Path) -> None:
    worker, folder = killed_run(how, ray_folder)
    os.kill(worker, 0)  # it lives
    begun, pid = datetime.now(), folder.name.rpartition("_")[2]
    others = [
        ray_folder / f"session_{begun:%Y-%m-%d_%H-%M-%S_%f}_{int(pid) + 1}",
        ray_folder / f"session_{begun - timedelta(hours=1):%Y-%m-%d_%H-%M-%S_%f}_{pid}",
    ]
    for other in others:
        other.mkdir()
    foreign = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: "another"})
    end_abandoned_sessions()
    status = Path(f"/proc/{worker}/status")
    assert not status.exists() or "(zombie)" in status.read_text()
    assert sorted(ray_folder.iterdir()) == sorted(others), "those of other runs stay"
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_a_session_of_a_living_run_is_left_alone(ray_folder: Path) -> None:
    session = RaySession(secrets.token_hex(8), ray_folder=str(ray_folder))
    folder = ray_folder / f"session_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}"
    folder.mkdir(parents=True)
    session.set_folder(str(folder))
    end_abandoned_sessions()
    assert folder.is_dir()
    session.close()
    end_abandoned_sessions()
    assert not folder.exists()
