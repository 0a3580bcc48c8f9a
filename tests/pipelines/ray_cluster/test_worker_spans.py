"""Spans that actors give to a tally that is slow; tests/pipelines/score/test_traces.py has a real one."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError

from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.worker_spans import WorkerSpans
from artifactscan.telemetry.finished_span import FinishedSpan


def test_spans_of_an_answer_that_comes_late_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    held, late = Tally(), [True, False, False]
    recorded, lost = [], []
    spans = [FinishedSpan(name, 1, 2, {}) for name in ("decode", "classify")]

    def get(answer: Any, timeout: float) -> Any:
        if late.pop(0):
            raise GetTimeoutError("Get timed out")
        return answer

    tally: Any = SimpleNamespace(take_spans=SimpleNamespace(remote=held.take_spans))
    recorder: Any = SimpleNamespace(record=recorded.append, count_lost=lost.append)
    monkeypatch.setattr(ray, "get", get)
    workers = WorkerSpans(tally, recorder)
    held.add_span(spans[0])
    workers._take()  # too late; the tally has given the first span away
    held.add_span(spans[1])
    workers._take()
    assert recorded == spans[:1]
    workers._take()
    assert (recorded, lost, late) == (spans, [0, 0], [])
