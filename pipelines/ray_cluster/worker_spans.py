"""Brings the spans of actors, which the tally keeps, to the driver's trace."""

import threading
from types import TracebackType
from typing import cast

import ray
from ray.actor import ActorProxy
from ray.exceptions import GetTimeoutError, RayError

from artifactscan.pipelines.ray_cluster.progress import READ_TIMEOUT_S, Tally
from artifactscan.telemetry.finished_span import FinishedSpan
from artifactscan.telemetry.tracing import SpanRecorder

EVERY_S = 1.0


class WorkerSpans:
    """Context manager in whose block a thread records the spans that actors give to the tally; none without a
    recorder."""

    def __init__(self, tally: ActorProxy[Tally], recorder: SpanRecorder | None):
        self._tally, self._recorder = tally, recorder
        self._asked: ray.ObjectRef | None = None
        """A call that was not answered in time: its spans have left the tally, so its answer is waited for again."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="worker spans")

    def __enter__(self) -> "WorkerSpans":
        if self._recorder is not None:
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._recorder is not None:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._take()
        self._take()

    def _take(self) -> None:
        assert self._recorder is not None
        try:
            asked = self._tally.take_spans.remote() if self._asked is None else self._asked
            self._asked = asked
            taken = ray.get(asked, timeout=READ_TIMEOUT_S)
        except GetTimeoutError:
            return
        except RayError:  # the cluster is going down, which the graph itself reports
            self._asked = None
            return
        self._asked = None
        spans, lost = cast(tuple[list[FinishedSpan], int], taken)
        for span in spans:
            self._recorder.record(span)
        self._recorder.count_lost(lost)


def give_span(tally: ActorProxy[Tally], span: FinishedSpan) -> None:
    """Called by an actor: gives its span, with its node, to the tally."""
    attributes = {**span.attributes, "node": ray.util.get_node_ip_address()}
    tally.add_span.remote(FinishedSpan(span.name, span.started_ns, span.ended_ns, attributes))
