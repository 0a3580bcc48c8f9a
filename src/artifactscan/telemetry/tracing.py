"""OpenTelemetry traces of a job, where the standard environment asks for them; else nothing is done or imported.

OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turn them on; OTEL_SDK_DISABLED=true or
OTEL_TRACES_EXPORTER=none off. Only the job's own process sends: what its workers did comes to it as FinishedSpan. Ray
ends workers as soon as their graph is done, with all that they have not sent, and their nodes may lack the environment.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artifactscan.messages.text import printable, without_credentials
from artifactscan.telemetry.finished_span import FinishedSpan, Value
from artifactscan.telemetry.trace_environment import asks_for_traces, collector, unsupported_protocol, unusable_address

if TYPE_CHECKING:
    from artifactscan.telemetry.span_sender import SpanSender

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpanRecorder:
    """Takes the finished spans of workers, from any thread, as children of the span that was open when it was made."""

    sender: "SpanSender"
    parent: object
    """The sender's context of that span."""
    attributes: Mapping[str, Value]
    """Of all of them."""

    def record(self, span: FinishedSpan) -> None:
        self.sender.record(replace(span, attributes={**self.attributes, **span.attributes}), self.parent)

    def count_lost(self, spans: int) -> None:
        """Counts spans that got lost on their way here."""
        self.sender.count_lost(spans)


@dataclass
class _Session:
    sender: "SpanSender | None"
    note: str | None
    users: int = 0


_session: _Session | None = None
_lock = threading.Lock()


@contextmanager
def tracing() -> Iterator[None]:
    """Sends the spans of the block, if the environment asks for it; a block within one belongs to it.

    A missing package or variables that cannot be used are a warning only, as they may be meant for other programs. So
    are spans that the collector has not taken by the end, for which the block waits a few seconds at most.
    """
    global _session
    if not asks_for_traces():
        yield
        return
    with _lock:
        if _session is None:
            _session = _begin()
        session = _session
        session.users += 1
    try:
        yield
    finally:
        with _lock:
            session.users -= 1
            ended = session.users == 0
            if ended:
                _session = None
        if ended and session.sender is not None and (complaint := session.sender.close()):
            _log.warning(complaint)


def tracing_note() -> str | None:
    """Why no spans are sent, though the environment asks for them."""
    return _session.note if _session else None


@contextmanager
def span(name: str, **attributes: Value) -> Iterator[dict[str, Value]]:
    """A span of the block, within that of the block around it; yields a dict for attributes that come to be known."""
    known_later: dict[str, Value] = {}
    sender = _session.sender if _session else None
    if sender is None:
        yield known_later
        return
    with sender.span(name, attributes, known_later):
        yield known_later


def span_recorder(**attributes: Value) -> SpanRecorder | None:
    """For the spans of workers, below the span that is open now, each with ``attributes``; None where none are sent."""
    sender = _session.sender if _session else None
    return None if sender is None else SpanRecorder(sender, sender.current_context(), attributes)


def _begin() -> _Session:
    why = unsupported_protocol() or unusable_address()
    if why is None:
        try:
            from artifactscan.telemetry.span_sender import SpanSender

            return _Session(SpanSender(), None)
        except ModuleNotFoundError:
            why = "its exporter is not installed; pip install 'artifactscan[otel]', or set OTEL_SDK_DISABLED=true"
        except Exception as error:  # of a variable that cannot be used; no run fails because of its traces
            text = without_credentials(printable(str(error), 200)).rstrip(".")
            why = f"{text or type(error).__name__}; mend the OTEL_ variables, or set OTEL_SDK_DISABLED=true"
    note = f"{collector()[0]} asks for OpenTelemetry traces, and no spans are sent: {why}"
    _log.warning(note)
    return _Session(None, note)
