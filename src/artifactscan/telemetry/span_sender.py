"""Sends spans to a collector by OTLP over HTTP, through OpenTelemetry's SDK, from a thread and a bounded queue."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from artifactscan import __version__
from artifactscan.messages.text import printable, without_credentials
from artifactscan.messages.web_address import origin
from artifactscan.telemetry.finished_span import FinishedSpan, Value
from artifactscan.telemetry.trace_environment import collector

FLUSH_S = 5.0
"""Seconds that the end of a job waits at most for a collector that is slow."""
FAILING_FLUSH_S = 1.0
"""Likewise, for one whose last answer was an error."""
_STOP_S = 0.5
"""Seconds that the sending thread then gets to stop."""
_MAX_TEXT = 300
_SERVICE = "artifactscan"
_NOISY = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.trace.export",
)
"""Loggers that write a line for each failed request and each dropped span; `close` says it in one sentence."""


class SpanSender:
    """Sends spans until it is closed. The SDK's environment applies: OTEL_SERVICE_NAME, OTEL_BSP_…, the sampler, …

    The trace begins here, unless TRACEPARENT, as of a scheduler that traces, names one to go on with.
    """

    def __init__(self) -> None:
        self._session = _NotingSession()
        variable, endpoint = collector()
        self._collector = f"the collector at {origin(endpoint) or printable(endpoint, 100)} ({variable})"
        self._exporter = _CountingExporter(endpoint=endpoint, session=self._session)
        self._processor = _CountingProcessor(self._exporter)
        # Closed by the job, not at exit; not the global provider, so that a program that calls this keeps its traces.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(_SERVICE, __version__)
        names = ("traceparent", "tracestate")
        carrier = {name: os.environ[name.upper()] for name in names if name.upper() in os.environ}
        self._parent_context = TraceContextTextMapPropagator().extract(carrier)
        self._levels = {name: logging.getLogger(name).level for name in _NOISY}
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def current_context(self) -> Context:
        """The context of the span that is open in this thread, or that around the job."""
        here = trace.get_current_span().get_span_context().is_valid
        return get_current() if here else self._parent_context

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value], known_later: Mapping[str, Value]) -> Iterator[None]:
        """A span of the block; ``known_later`` is read at its end. An exception is its status, in one sentence."""
        with self._tracer.start_as_current_span(
            name,
            context=self.current_context(),
            attributes=_as_attributes(attributes),
            record_exception=False,  # it would send the stack trace, and credentials in the message
            set_status_on_exception=False,
        ) as current:
            try:
                yield
            except BaseException as error:
                text = without_credentials(printable(str(error), _MAX_TEXT))
                current.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {text}"))
                raise
            finally:
                current.set_attributes(_as_attributes(known_later))

    def record(self, finished: FinishedSpan, parent: Any) -> None:
        """Adds a span of a worker below ``parent``, a context."""
        attributes = _as_attributes(finished.attributes)
        span = self._tracer.start_span(
            finished.name, context=parent, start_time=finished.started_ns, attributes=attributes
        )
        span.end(end_time=finished.ended_ns)

    def count_lost(self, spans: int) -> None:
        """Counts spans that never came here."""
        self._processor.count(spans)

    def close(self) -> str | None:
        """Sends what is left, for FLUSH_S at most; one sentence where the collector has not taken all spans."""
        flush = threading.Thread(target=self._provider.shutdown, daemon=True, name="flush spans")
        flush.start()
        flush.join(FAILING_FLUSH_S)
        if self._session.failure is None:
            flush.join(FLUSH_S - FAILING_FLUSH_S)
        if flush.is_alive():
            self._exporter.shutdown()  # ends its waits between tries
            flush.join(_STOP_S)
        if not flush.is_alive():
            for name, level in self._levels.items():
                logging.getLogger(name).setLevel(level)
        ended, taken = self._processor.ended, self._exporter.taken
        if taken == ended:
            return None
        why = self._session.failure or "it takes them too slowly, or has begun to only lately"
        return (
            f"{ended - taken:,} of {ended:,} spans were not taken by {self._collector}: {why}; the run is unaffected, "
            "and its trace has gaps"
        )


class _CountingProcessor(BatchSpanProcessor):
    """Counts the spans that ended."""

    def __init__(self, exporter: OTLPSpanExporter):
        super().__init__(exporter)
        self.ended = 0
        self._lock = threading.Lock()

    def count(self, spans: int) -> None:
        with self._lock:
            self.ended += spans

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self.count(1)
        super().on_end(span)


class _CountingExporter(OTLPSpanExporter):
    """Counts the spans that the collector took."""

    taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self.taken += len(spans)
        return result


class _NotingSession(requests.Session):
    """Notes why the last request failed, if it did."""

    failure: str | None = None

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **named)
        except requests.Timeout:
            self.failure = "it did not answer in time"
            raise
        except requests.RequestException as error:
            self.failure = f"it cannot be reached ({type(error).__name__})"
            raise
        self.failure = None if response.ok else f"it answered {response.status_code}"
        return response


def _resource() -> Resource:
    """The process, as the environment describes it, else as the service `artifactscan`."""
    found = Resource.create()
    name = str(found.attributes.get(SERVICE_NAME, "unknown_service"))
    own = {SERVICE_NAME: _SERVICE} if name.startswith("unknown_service") else {}
    return Resource({SERVICE_VERSION: __version__}).merge(found).merge(Resource(own))


def _as_attributes(values: Mapping[str, Value]) -> dict[str, Value]:
    """With the prefix that OpenTelemetry asks for, and text made safe to show."""
    return {
        f"{_SERVICE}.{name}": without_credentials(printable(value, _MAX_TEXT)) if isinstance(value, str) else value
        for name, value in values.items()
    }
