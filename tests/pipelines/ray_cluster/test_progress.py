"""The line of a tally that is an actor; tests/scoring/test_progress.py has the rest."""

import io
from typing import Any

import pytest
import ray
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster import progress
from artifactscan.pipelines.ray_cluster.progress import Tally, show_progress


def test_a_cluster_without_free_cpus_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "read_tally", Tally.read)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 0.2})
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})
    tally: Any = Tally()
    for text in ("no process has begun yet, 0.2 of 4 CPUs and 0 of 1 GPUs are free", "loading the checkpoint"):
        shown = show_progress(tally, total=3, quiet=False)
        shown.stream, shown.next_check_s = io.StringIO(), 0.0
        with shown:
            pass
        assert shown.stream.getvalue().endswith(f"{text}  ETA -\n")
        tally.worker_started("decode", "decoder", "node")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lost_cluster_is_not_reported_by_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gone(tally: Tally) -> None:
        asked.append(tally)
        raise RayError("the head node died")

    monkeypatch.setattr(progress, "read_tally", gone)
    tally: Any = Tally()
    shown = show_progress(tally, total=3, quiet=False)
    shown.stream = io.StringIO()
    with shown:
        pass
    assert asked == [tally]
    assert shown.stream.getvalue() == ""
