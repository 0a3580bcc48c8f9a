"""Finding and ending processes by a mark in their environment."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from artifactscan.leftovers.marked_processes import MARK_VARIABLE, end_marked_processes, marked_processes

MINE = secrets.token_hex(8)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
unmarked = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], env={{}}, stdout=subprocess.PIPE)
unmarked.stdout.readline()
print(child.pid, unmarked.pid, flush=True)
"""


def start(code: str, token: str) -> subprocess.Popen[str]:
    env = {**os.environ, MARK_VARIABLE: token}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    return process


@pytest.fixture
def other() -> Iterator[subprocess.Popen]:
    """The process of another run."""
    process = start(STUBBORN, "another")
    yield process
    assert process.poll() is None, "only processes with the mark are ended"
    process.kill()
    process.communicate()


def test_what_does_not_end_by_itself_is_killed(other: subprocess.Popen) -> None:
    stubborn = start(STUBBORN, MINE)
    started = time.monotonic()
    assert end_marked_processes(MINE, grace_s=0.5) == [stubborn.pid]
    assert 0.5 <= time.monotonic() - started < 5
    stubborn.communicate()
    assert stubborn.returncode == -9
    assert marked_processes(MINE) == []


def test_what_ends_within_the_grace_is_not_killed(other: subprocess.Popen) -> None:
    quick = start("import time; print(1, flush=True); time.sleep(0.5)", MINE)
    assert end_marked_processes(MINE, grace_s=10) == []
    quick.communicate()
    assert quick.returncode == 0


def test_orphans_in_a_session_of_their_own_and_children_without_the_mark_are_found(other: subprocess.Popen) -> None:
    code = PARENT + "import time; time.sleep(600)"
    parent = start_parent(code)
    child, unmarked = parent[1:]
    assert {process.pid for process in marked_processes(MINE)} == {parent[0].pid, child, unmarked}
    parent[0].kill()
    parent[0].communicate()
    assert [process.pid for process in marked_processes(MINE)] == [child]
    assert end_marked_processes(MINE, grace_s=0) == [child]
    os.kill(unmarked, 9)  # its parent was not killed by us, so it is not known to be ours


def start_parent(code: str) -> tuple[subprocess.Popen[str], int, int]:
    env = {**os.environ, MARK_VARIABLE: MINE}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, unmarked = map(int, parent.stdout.readline().split())
    return parent, child, unmarked
