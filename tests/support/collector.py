"""An OpenTelemetry collector on loopback: OTLP over HTTP, read by the protocol's generated classes."""

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from loopback import QuietHandler, serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class Received:
    """A span as it came over the wire."""

    name: str
    trace: str
    span: str
    parent: str
    """Empty: a root."""
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    error: str
    """The status's message where it is an error."""


@dataclass
class Collector:
    """``status`` is what it answers, ``delay_s`` after how long; ``spans`` came with an answer of 200."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    spans: list[Received] = field(default_factory=list)
    requests: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Received:
        (span,) = self.named(name)
        return span


@contextmanager
def collector() -> Iterator[Collector]:
    """A running one; ``url`` is for OTEL_EXPORTER_OTLP_ENDPOINT."""
    state = Collector()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests += 1
            state.headers.append(dict(self.headers))
            time.sleep(state.delay_s)
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
                self.answer(404)
                return
            if state.status == 200:
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                state.spans += _read(ExportTraceServiceRequest.FromString(body))
            self.answer(state.status)

        def answer(self, status: int) -> None:
            body = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # the sender has given up waiting
                self.wfile.write(body)

    with serving(Handler) as url:
        state.url = url
        yield state


def _read(request: ExportTraceServiceRequest) -> list[Received]:
    return [
        Received(
            name=span.name,
            trace=span.trace_id.hex(),
            span=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            started_ns=span.start_time_unix_nano,
            ended_ns=span.end_time_unix_nano,
            attributes=_values(span.attributes),
            resource=_values(of_resource.resource.attributes),
            error=span.status.message if span.status.code == 2 else "",
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value"))
