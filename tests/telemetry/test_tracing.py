"""Traces in a job's own process, sent to a collector on loopback: when, what, and what becomes of a bad one."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from collector import Collector, collector
from paths import ROOT

from artifactscan.telemetry import tracing
from artifactscan.telemetry.finished_span import FinishedSpan, outcome_attributes
from artifactscan.telemetry.tracing import span, span_recorder, tracing_note

span_sender = pytest.importorskip("artifactscan.telemetry.span_sender", reason="the extra otel is not installed")

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("OTEL_") or name in ("TRACEPARENT", "TRACESTATE"):
            monkeypatch.delenv(name)


@pytest.fixture
def told() -> Iterator[Collector]:
    with collector() as running:
        yield running


def trace_something() -> None:
    """A span within a span, and one of a worker."""
    with tracing.tracing(), span("outer", store="s3://user:secret@bucket/x") as facts:
        with span("inner", run="r1", videos=3):
            pass
        recorder = span_recorder(run="r1")
        if recorder is not None:
            now = time.time_ns()
            recorder.record(
                FinishedSpan("worker", now - 2_000_000_000, now, {"frames": 7, **outcome_attributes({"scored": 2})})
            )
        facts["exit_code"] = 0


def test_spans_arrive_as_one_trace(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, told.url + "/")
    before_ns = time.time_ns()
    trace_something()
    outer, inner, worker = told.one("outer"), told.one("inner"), told.one("worker")
    assert len(told.spans) == 3 and {span.trace for span in told.spans} == {outer.trace}
    assert (outer.parent, inner.parent, worker.parent) == ("", outer.span, outer.span)
    assert outer.attributes == {"artifactscan.store": "s3://…@bucket/x", "artifactscan.exit_code": 0}
    assert inner.attributes == {"artifactscan.run": "r1", "artifactscan.videos": 3}
    assert worker.attributes == {
        "artifactscan.run": "r1",
        "artifactscan.frames": 7,
        "artifactscan.outcome.scored": 2,
    }
    assert before_ns <= outer.started_ns <= inner.started_ns <= inner.ended_ns <= outer.ended_ns <= time.time_ns()
    assert worker.ended_ns - worker.started_ns == 2_000_000_000
    assert outer.resource["service.name"] == "artifactscan"
    assert outer.resource["service.version"] and outer.resource["telemetry.sdk.language"] == "python"


@pytest.mark.parametrize(
    ("environment", "service"),
    [
        ({"OTEL_SERVICE_NAME": "night"}, "night"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=video"}, "other"),
    ],
)
def test_the_environment_names_the_service(
    environment: dict[str, str], service: str, told: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {ENDPOINT: told.url, **environment}.items():
        monkeypatch.setenv(name, value)
    trace_something()
    assert told.one("outer").resource["service.name"] == service
    assert told.one("outer").resource.get("team") == ("video" if service == "other" else None)


def test_the_traces_own_endpoint_and_headers_count(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{told.url}/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    trace_something()
    assert len(told.spans) == 3
    assert {headers["x-key"] for headers in told.headers} == {"secret"}


def test_it_goes_on_with_the_trace_of_a_scheduler(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    trace_something()
    assert {span.trace for span in told.spans} == {"ab" * 16}
    assert told.one("outer").parent == "cd" * 8


def test_an_exception_is_the_status_of_its_span(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    with pytest.raises(OSError, match="secret"), tracing.tracing(), span("outer"), span("inner"):
        raise OSError("http://user:secret@host/ is away")
    assert told.one("inner").error == told.one("outer").error == "OSError: http://…@host/ is away"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {ENDPOINT: " "},
        {ENDPOINT: "COLLECTOR", "OTEL_SDK_DISABLED": "TRUE"},
        {ENDPOINT: "COLLECTOR", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_it_is_off(environment: dict[str, str], told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("COLLECTOR", told.url))
    with tracing.tracing():
        assert (span_recorder(), tracing_note()) == (None, None)
    trace_something()
    assert told.requests == 0


def test_what_is_off_is_not_imported() -> None:
    script = (
        "import sys; from artifactscan.telemetry.tracing import span, tracing\n"
        "with tracing(), span('score', run='r') as facts: facts['frames'] = 1\n"
        "print(sorted(name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


# What goes wrong


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_collector_that_is_down_costs_a_second_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"http://user:secret@127.0.0.1:{closed_port()}"
    monkeypatch.setenv(ENDPOINT, url)
    started = time.monotonic()
    trace_something()
    assert time.monotonic() - started < span_sender.FAILING_FLUSH_S + 2
    assert caplog.messages == [
        f"3 of 3 spans were not taken by the collector at {url.replace('user:secret@', '')} ({ENDPOINT}): it cannot be "
        "reached (ConnectionError); the run is unaffected, and its trace has gaps"
    ]
    assert capfd.readouterr().err == "", "no line of the SDK for each try"


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_collector_that_refuses(
    status: int, told: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    told.status = status
    started = time.monotonic()
    trace_something()
    assert time.monotonic() - started < span_sender.FAILING_FLUSH_S + 2
    [said] = caplog.messages
    assert said.startswith("3 of 3 spans were not taken by ") and f": it answered {status}; the run is unaff" in said


def test_a_collector_that_hangs_holds_nothing_up(
    told: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    monkeypatch.setattr(span_sender, "FLUSH_S", 1.5)
    told.delay_s = 20.0
    started = time.monotonic()
    trace_something()
    assert time.monotonic() - started < 4
    assert caplog.messages[0].startswith("3 of 3 spans were not taken by")


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(
    told: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    for name, value in {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    told.delay_s = 0.3
    started = time.monotonic()
    with tracing.tracing():
        recorder = span_recorder(run="r")
        assert recorder is not None
        for number in range(500):
            recorder.record(FinishedSpan("block", 1, 2, {"number": number}))
        assert time.monotonic() - started < told.delay_s, "recording waits for nobody"
        recorder.count_lost(11)
    kept = len(told.spans)
    assert 8 <= kept <= 32
    [said] = caplog.messages
    assert said.startswith(f"{511 - kept} of 511 spans were not taken by ")


def test_loggers_of_the_sdk_are_as_before_afterwards(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, told.url)
    loggers = [logging.getLogger(name) for name in span_sender._NOISY]
    before = [logger.level for logger in loggers]
    trace_something()
    assert [logger.level for logger in loggers] == before


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and only http/protobuf is sent; set "
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to that",
        ),
        (
            {"OTEL_BSP_SCHEDULE_DELAY": "-1"},
            "schedule_delay_millis must be positive; mend the OTEL_ variables, or set OTEL_SDK_DISABLED=true",
        ),
        *(
            (
                {ENDPOINT: address},
                f"{address} is no http:// or https:// address; set {ENDPOINT} to one such as http://127.0.0.1:4318",
            )
            for address in ("http://[::1", "foo://collector", "http://127.0.0.1:99999", "localhost:4318")
        ),
    ],
)
def test_an_environment_that_cannot_be_used_is_a_note(
    environment: dict[str, str],
    why: str,
    told: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in {ENDPOINT: told.url, **environment}.items():
        monkeypatch.setenv(name, value)
    with tracing.tracing():
        note = tracing_note()
        trace_something()
    assert note == f"{ENDPOINT} asks for OpenTelemetry traces, and no spans are sent: {why}"
    assert caplog.messages == [note]
    assert told.requests == 0


def test_a_missing_package_is_a_note(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "artifactscan.telemetry.span_sender")
    with tracing.tracing():
        assert tracing_note() == caplog.messages[0]
    assert caplog.messages == [
        f"{ENDPOINT} asks for OpenTelemetry traces, and no spans are sent: its exporter is not installed; pip install "
        "'artifactscan[otel]', or set OTEL_SDK_DISABLED=true"
    ]


def test_blocks_in_other_threads_share_a_session(told: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two calls of `artifactscan.score` in one program; each is a trace of its own."""
    monkeypatch.setenv(ENDPOINT, told.url)
    begun, ended = threading.Event(), threading.Event()

    def other() -> None:
        with tracing.tracing(), span("other"):
            begun.set()
            ended.wait(10)

    thread = threading.Thread(target=other)
    with tracing.tracing(), span("this"):
        thread.start()
        assert begun.wait(10)
    ended.set()
    thread.join()
    assert {span.parent for span in told.spans} == {""}
    assert told.one("this").trace != told.one("other").trace
