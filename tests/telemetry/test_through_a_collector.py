"""A trace through a real collector (rotel, which pip can install): what it takes, and what it passes on."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import Collector, collector
from tool_venv import tool_venv

from artifactscan.telemetry.finished_span import FinishedSpan
from artifactscan.telemetry.tracing import span, span_recorder, tracing

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """What the collector passes its spans on to; the environment leads to the collector."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    [agent] = tool_venv("rotel", "rotel==0.0.1a15").glob("lib/python*/site-packages/rotel/rotel-agent")
    port, said = free_port(), tmp_path / "rotel.txt"
    with collector() as receiver, said.open("w") as out:
        command = [str(agent), "start", "--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-exporter-protocol", "http"]
        command += ["--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--otlp-exporter-endpoint", receiver.url]
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert running.poll() is None and time.monotonic() < end, said.read_text()
                    time.sleep(0.1)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
            yield receiver
        finally:
            running.terminate()
            running.wait(20)


def test_a_trace_comes_out_as_it_went_in(behind: Collector, caplog: pytest.LogCaptureFixture) -> None:
    with tracing(), span("score", store="/scores") as facts:
        recorder = span_recorder(run="r1")
        assert recorder is not None
        for number in range(1500):
            recorder.record(FinishedSpan("classify", 10**18 + number, 10**18 + number + 7, {"frames": number}))
        facts["frames"] = 3
    assert caplog.messages == [], "all were taken"
    end = time.monotonic() + 30
    while len(behind.spans) < 1501 and time.monotonic() < end:
        time.sleep(0.1)
    root, blocks = behind.one("score"), behind.named("classify")
    assert root.attributes == {"artifactscan.store": "/scores", "artifactscan.frames": 3}
    assert {(block.trace, block.parent) for block in blocks} == {(root.trace, root.span)}
    assert sorted(block.attributes["artifactscan.frames"] for block in blocks) == list(range(1500))
    assert {block.ended_ns - block.started_ns for block in blocks} == {7}
    assert root.resource["service.name"] == "artifactscan"
