"""The Ray that a job starts: where it keeps its files, and that it ends also where its shutdown hangs."""

import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import cast

import pytest

from artifactscan.errors import UsageError
from artifactscan.leftovers.ray_sessions import RaySession
from artifactscan.pipelines.ray_cluster import own_ray


class Session:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def end_processes(self, *, grace_s: float) -> list[int]:
        self.asked.append(f"end after {grace_s:g} s")
        return []

    def close(self) -> None:
        self.asked.append("close")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    session = Session()
    monkeypatch.setattr(own_ray, "_started", [cast(RaySession, session)])
    return session


def test_a_shutdown_that_hangs_leaves_the_session_to_the_hard_exit(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_ray.ray, "shutdown", own_ray._kill_own_ray)  # what happens while it hangs
    own_ray.end_own_ray()
    assert session.asked == ["end after 0 s", "end after 2 s", "close"]
    assert own_ray._started == []


def test_a_shutdown_that_fails_leaves_no_process(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no answer")

    monkeypatch.setattr(own_ray.ray, "shutdown", fail)
    with pytest.raises(RuntimeError):
        own_ray.end_own_ray()
    assert session.asked == ["end after 2 s", "close"]
    assert own_ray._started == []


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("length", [20, 140])
def test_a_temporary_folder_that_is_too_long_for_sockets_is_replaced(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given = "/tmp/".ljust(length, "x")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, given)
    monkeypatch.setattr(tempfile, "tempdir", None)
    short = Path(f"/tmp/artifactscan-ray-{os.getuid()}/ray")
    fits = length < 40
    with caplog.at_level(logging.WARNING, logger="artifactscan.ray"):
        folder = own_ray._sessions_folder()
    if fits:
        assert folder.endswith("/ray") and not caplog.messages
    else:
        assert folder == str(short) and stat.S_IMODE(short.parent.stat().st_mode) == 0o700
        assert caplog.messages == [
            f"{name} is too long for Ray's sockets: the Ray of this job keeps its files in {short}"
        ]


def test_where_no_folder_is_short_enough_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "/tmp/".ljust(140, "x")
    monkeypatch.setenv("RAY_TMPDIR", long)
    monkeypatch.setattr(own_ray, "_SHORT", "/proc")
    with pytest.raises(UsageError) as raised, own_ray.marked_start():
        pass
    assert str(raised.value) == (
        f"RAY_TMPDIR {long} is too long for the sockets that Ray makes below it, and nothing can be written to /proc; "
        "set RAY_TMPDIR to a shorter folder"
    )
    assert own_ray._started == []
