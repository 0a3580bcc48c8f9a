"""The trace of a scoring run, as a collector on loopback gets it from either executor."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from collector import Collector, Received, collector
from media import write_clip

from artifactscan.demo import marks
from artifactscan.jobs.score import main

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

CLIPS = 5
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of several segments, and one that is none."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(CLIPS):
        write_clip(folder / f"{number}.mp4", seconds=3)
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return marks.write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as running:
        monkeypatch.setenv(ENDPOINT, running.url)
        yield running


def arguments(corpus: Path, store: Path, checkpoint: str, executor: str) -> list[str]:
    places = ["--input", str(corpus), "--output", str(store), "--checkpoint", checkpoint, "--executor", executor]
    return [*places, "--quiet", "--segment-frames", "2", "--max-failed", "0.5"]


def facts(span: Received) -> dict:
    return {name.removeprefix("artifactscan."): value for name, value in span.attributes.items()}


def check(told: Collector, store: Path) -> None:
    """One trace, whose spans have what the tables have."""
    [run] = [path.name for path in (store / "runs").iterdir()]
    frames, ledger = pd.read_parquet(store / "frames"), pd.read_parquet(store / "videos")
    root = told.one("score")
    assert {span.trace for span in told.spans} == {root.trace}
    assert {span.parent for span in told.spans if span is not root} == {root.span}
    assert Counter(span.name for span in told.spans).keys() == {
        "score",
        "plan",
        "fetch",
        "decode",
        "classify",
        "settle",
    }
    assert {facts(span)["run"] for span in told.spans if span.name not in ("score", "plan")} == {run}
    for span in told.spans:
        assert root.started_ns <= span.started_ns <= span.ended_ns <= root.ended_ns, span.name

    assert facts(root) == {"store": str(store), "runs": run, "exit_code": 0, "frames": len(frames)}
    assert facts(told.one("plan")) == {"videos": 6, "new": 6, "changed": 0, "settled": 0}
    fetched, decoded, classified = (
        [facts(span) for span in told.named(name)] for name in ("fetch", "decode", "classify")
    )
    assert sum(one["videos"] for one in fetched) == sum(one["videos"] for one in decoded) == CLIPS + 1
    assert sum(one["bytes"] for one in fetched) == ledger["size_bytes"].sum()
    assert {one["retries"] for one in fetched} == {0}
    assert sum(one["frames"] for one in decoded) == sum(one["frames"] for one in classified) == len(frames)
    assert sum(one["segments"] for one in decoded) == sum(one["segments"] for one in classified) == 3 * CLIPS + 1
    for stage in (decoded, classified):
        outcomes = sum(
            (Counter({name: one.get(f"outcome.{name}", 0) for name in ("scored", "undecodable")}) for one in stage),
            Counter(),
        )
        assert outcomes == {"scored": CLIPS, "undecodable": 1}
    assert {(one["device"], one["precision"]) for one in classified} <= {("cpu", "fp32"), ("cpu", "bf16")}
    settled = facts(told.one("settle"))
    assert settled.pop("events") >= 0
    assert settled == {
        "run": run,
        "videos": 6,
        "frames": len(frames),
        "outcome.scored": CLIPS,
        "outcome.undecodable": 1,
    }


def test_a_run_in_this_process(corpus: Path, checkpoint: str, tmp_path: Path, told: Collector) -> None:
    assert main(arguments(corpus, tmp_path / "store", checkpoint, "local")) == 0
    check(told, tmp_path / "store")
    assert len(told.named("decode")) == 1
    assert len(told.named("classify")) >= 8, "a span a block, of two segments on a CPU"
    requests = told.requests
    assert main(arguments(corpus, tmp_path / "store", checkpoint, "local")) == 0
    assert told.requests > requests and [facts(span)["runs"] for span in told.named("score")][1:] == [""], "nothing new"


def test_a_run_on_ray(corpus: Path, checkpoint: str, tmp_path: Path, told: Collector, ray_here: None) -> None:
    """Spans of the last blocks too, whose actors end with the graph."""
    assert main(arguments(corpus, tmp_path / "store", checkpoint, "ray")) == 0
    check(told, tmp_path / "store")
    assert len(told.named("decode")) >= 2, "a span a block"
    workers = [span for span in told.spans if span.name in ("fetch", "decode", "classify")]
    assert all(facts(span)["node"] for span in workers)


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_collector_that_is_down_changes_nothing(
    executor: str, corpus: Path, checkpoint: str, tmp_path: Path, told: Collector, ray_here: None,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    told.status = 500
    started = time.monotonic()
    assert main(arguments(corpus, tmp_path / "store", checkpoint, executor)) == 0
    assert time.monotonic() - started < 120
    assert (told.spans, len(pd.read_parquet(tmp_path / "store" / "videos"))) == ([], CLIPS + 1)
    [said] = [line for line in caplog.messages if "spans were not taken by the collector" in line]
    assert said.endswith(": it answered 500; the run is unaffected, and its trace has gaps")


def test_a_run_that_asks_in_vain_says_so(
    corpus: Path, checkpoint: str, tmp_path: Path, told: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert main(arguments(corpus, tmp_path, checkpoint, "local")) == 0
    [record] = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json")]
    assert [note for note in record["notes"] if "no spans are sent: OTEL_EXPORTER_OTLP_PROTOCOL is grpc" in note]
    assert told.requests == 0
