"""What ends a job whose cluster's head is gone; on real nodes it is tested in tests/cluster."""

import os
import socket
import threading
import time

import pytest
import ray

from artifactscan.pipelines.ray_cluster import head_watch


def test_a_lost_head_ends_the_process_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    gone = threading.Event()

    def leave(code: int) -> None:
        ended.append(code)
        gone.set()

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(ray, "is_initialized", lambda: not gone.is_set())
    monkeypatch.setattr(head_watch, "POLL_S", 0.05)
    monkeypatch.setattr(head_watch, "LOST_AFTER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        watch = threading.Thread(target=head_watch._watch, args=(address,))
        watch.start()
        time.sleep(1)
        assert not ended  # longer than a head may be away, but it is there
    watch.join(10)
    assert ended == [3]
    said = capsys.readouterr().err
    assert (
        said
        == f"error: the cluster's head at {address} is gone; the same command continues on a cluster that is there\n"
    )
