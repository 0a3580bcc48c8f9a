"""Audits and fine-tunings that are watched: by a collector of traces, and by MLflow, which may be down."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import collector
from labelled_clips import write_labelled
from mlflow_server import mlflow_server
from paths import ROOT
from rest_server import rest_server

from artifactscan.audit import canaries
from artifactscan.audit.audit_store import AuditStore
from artifactscan.demo.marks import write_checkpoint, write_night
from artifactscan.jobs.audit import main as audit
from artifactscan.jobs.finetune import main as finetune
from artifactscan.jobs.report import main as report

pytestmark = pytest.mark.long

SMALL = "test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture
def command(checkpoint: str, tmp_path: Path) -> list[str]:
    """An audit of a few clips, in its own process all the time."""
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    write_night(corpus, "one", {"sora": (4, [3], "motion")})
    canaries.ensure_clips(str(store / "canary"), 4)
    places = ["--corpus", str(corpus), "--store", str(store), "--checkpoint", checkpoint, "--canary-clips", "4"]
    return [*places, "--executor", "local", "--quiet", "--worst-videos", "0"]


def test_a_night_is_one_trace(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    with collector() as told:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", told.url)
        assert audit(command) == 0
    [night] = AuditStore(str(tmp_path / "store")).nights()
    root = told.one("audit")
    assert {span.trace for span in told.spans} == {root.trace}
    assert (root.attributes["artifactscan.night"], root.attributes["artifactscan.exit_code"]) == (night.night, 0)
    assert root.attributes["artifactscan.outcome.scored"] == 4
    scores = told.named("score")
    assert len(scores) >= 2 and {span.parent for span in scores} == {root.span}, "the canaries and the corpus"
    counts = Counter(span.name for span in told.spans)
    assert counts["settle"] == counts["plan"] == len(scores)
    assert {span.parent for span in told.spans if span.name not in ("audit", "score")} == {span.span for span in scores}


def test_a_server_that_answers_500_changes_no_verdict(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    with rest_server() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        assert audit([*command, "--mlflow", "nightly"]) == 0
    [night] = AuditStore(str(tmp_path / "store")).nights()
    assert night.verdict.code == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"nothing was logged by MLflow at {server.url}: it answered 500; the next audit logs what is missing"
    )


@pytest.mark.parametrize("job", [audit, finetune])
def test_an_experiment_without_a_server_is_refused(job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ("--corpus", "--store") if job is audit else ("--labels", "--output")
    assert job([places[0], str(tmp_path), places[1], str(tmp_path / "out"), "--mlflow", "nightly"]) == 2
    assert (
        "error: --mlflow nightly needs a server, and MLFLOW_TRACKING_URI is not set; set it" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("job", [audit, finetune])
def test_a_server_by_no_address_is_refused_before_anything_is_done(
    job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://[::1")
    places = ("--corpus", "--store") if job is audit else ("--labels", "--output")
    assert job([places[0], str(tmp_path), places[1], str(tmp_path / "out"), "--mlflow", "nightly"]) == 2
    assert capsys.readouterr().err.startswith("error: MLFLOW_TRACKING_URI is 'http://[::1', which is no address of a ")
    assert not (tmp_path / "out").exists()


# A real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


def logged(server: str, experiment: str) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id], order_by=["start_time"]))


@pytest.mark.slow
def test_nights_are_logged_once_each_those_that_were_missed_too(
    command: list[str], tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rest_server() as away:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", away.url)
        assert audit([*command, "--mlflow", "nights"]) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert logged(server, "nights") == []
    for _ in range(2):
        assert audit([*command, "--mlflow", "nights"]) == 0
    nights = AuditStore(str(tmp_path / "store")).nights()
    runs = logged(server, "nights")
    assert [run.data.tags["artifactscan.night"] for run in runs] == [night.night for night in nights]
    assert {run.info.status for run in runs} == {"FINISHED"}
    first = runs[0].data
    assert (first.metrics["count/listed"], first.metrics["outcome/scored"], first.metrics["exit_code"]) == (4, 4, 0)
    assert first.metrics["rate/motion"] == first.metrics["standing_rate/motion"]
    assert first.tags["artifactscan.headline"] == nights[0].verdict.headline
    assert report(["--store", str(tmp_path / "store"), "--thresholds", "motion=1"]) == 0
    assert audit([*command, "--mlflow", "nights"]) == 0
    judged, renewed = AuditStore(str(tmp_path / "store")).nights(), logged(server, "nights")
    assert [run.data.tags["artifactscan.night"] for run in renewed] == [night.night for night in judged]
    assert {run.data.params["threshold.motion"] for run in renewed} == {"1.0"}
    assert renewed[0].data.metrics["rate/motion"] == 0 < first.metrics["rate/motion"]


@pytest.mark.slow
def test_a_finetuning_is_logged_once_however_often_it_is_killed(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = write_labelled(tmp_path / "set", clips=6)
    out = tmp_path / "out"
    arguments = ["--labels", str(labels), "--output", str(out), "--backbone", SMALL, "--init", "none"]
    arguments += ["--height", "48", "--width", "80", "--resamples", "20", "--batch-frames", "8", "--epochs", "2"]
    arguments += ["--folds", "2", "--mlflow", "trainings"]
    env = {**os.environ, "MLFLOW_TRACKING_URI": server}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    job = subprocess.Popen(
        [sys.executable, str(ROOT / "jobs" / "finetune.py"), *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + 300
    while not list(out.glob("*/runs/*/videos-0/outcome.json")):
        assert job.poll() is None and time.monotonic() < end, job.communicate()
        time.sleep(0.1)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert logged(server, "trainings") == []
    for _ in range(2):
        assert finetune(arguments) == 0
    [run] = logged(server, "trainings")
    record = json.loads((out / "finetune.json").read_text())
    metrics = run.data.metrics
    figures = record["evaluations"][SMALL]["videos"]["figures"]["macro"]
    for metric, estimate in figures.items():
        for end_of, name in (("value", ""), ("low", "/low"), ("high", "/high"), ("majority", "/majority")):
            assert metrics.get(f"videos/{metric}/macro{name}") == estimate[end_of]
    assert {name for name in metrics if name.endswith("/fit_loss")} == {
        "videos-0/fit_loss",
        "videos-1/fit_loss",
        "final/fit_loss",
    }
    assert run.data.params["backbone"] == SMALL
    tags = run.data.tags
    assert (tags["artifactscan.backbone"], tags["artifactscan.protocol"]) == (SMALL, "videos")
    assert tags["artifactscan.labels_digest"] == record["labels_digest"]
