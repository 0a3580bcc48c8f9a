"""The Ray that a job started ends also where its shutdown hangs."""

from typing import cast

import pytest

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
