"""Runs in MLflow: what is refused, and what a server that is down or answers errors costs. With a real server, slow."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_server import mlflow_server
from rest_server import RestServer, rest_server

from artifactscan.errors import UsageError
from artifactscan.telemetry import mlflow_runs
from artifactscan.telemetry.mlflow_runs import Point, TrackedRun, check_mlflow, log_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT, SOURCE = "nightly", "0123abcd"
NIGHT = TrackedRun(
    id="20260101T030000Z-aaaaaaaa",
    name="audit 20260101T030000Z-aaaaaaaa",
    points=[
        Point("rate/motion", 0.25),
        Point("rate/motion/low", None),
        Point("rate/motion/high", float("nan")),
        Point("final/fit_loss", 0.7, 1),
        Point("final/fit_loss", 0.5, 2),
    ],
    params={"corpus": "s3://user:secret@bucket/x\x1b", "limit": 0},
    tags={"job": "audit", "headline": "x" * 2000},
    started_s=1767236400.0,
    ended_s=1767237000.5,
)
AGAIN = "the next audit sends them again"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


def log(*runs: TrackedRun, source: str = SOURCE) -> str | None:
    return log_runs(EXPERIMENT, source, runs or (NIGHT,), again=AGAIN)


# What is refused


def test_without_a_flag_nothing_is_asked() -> None:
    check_mlflow("")


def test_a_server_must_be_named() -> None:
    with pytest.raises(UsageError, match=r"^--mlflow nightly needs a server, and MLFLOW_TRACKING_URI is not set; set"):
        check_mlflow(EXPERIMENT)


def test_the_client_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setattr(mlflow_runs, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"^--mlflow needs MLflow's client: pip install 'artifactscan\[mlflow\]'$"):
        check_mlflow(EXPERIMENT)


@pytest.fixture
def client() -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")


# A server that is not well


def test_a_server_that_is_down_is_a_sentence(client: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert log(NIGHT, replace(NIGHT, id="other")) == (
        f"2 runs were not logged by MLflow at http://127.0.0.1:{port}: it cannot be reached (Connection refused); "
        f"{AGAIN}"
    )


@pytest.fixture
def unwell(client: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    with rest_server() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        yield server


def test_a_server_that_answers_500_is_asked_three_times(unwell: RestServer, capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    said = log()
    assert said == (f"1 run was not logged by MLflow at {unwell.url}: it gave too many 500 error responses; {AGAIN}")
    assert (unwell.requests, capfd.readouterr().err) == (3, "")
    assert time.monotonic() - started < 30
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_server_that_hangs(unwell: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    unwell.delay_s = 5
    assert log() == f"1 run was not logged by MLflow at {unwell.url}: it does not answer in time; {AGAIN}"


def test_an_error_of_the_server_is_told_in_its_words(unwell: RestServer) -> None:
    unwell.status = 403
    unwell.body = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no <b>rights</b>\nhere"}).encode()
    said = log()
    assert said is not None and "\n" not in said
    assert "PERMISSION_DENIED: no <b>rights</b> here" in said


def test_what_answers_is_no_mlflow(unwell: RestServer) -> None:
    unwell.status, unwell.body = 200, b"<html>welcome</html>"
    said = log()
    assert said is not None and said.startswith(f"1 run was not logged by MLflow at {unwell.url}: ")


# A real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def real(client: None, server: str, monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return MlflowClient(tracking_uri=server)


def runs_of(real: "MlflowClient", source: str) -> "list[Run]":
    found = real.get_experiment_by_name(EXPERIMENT)
    assert found is not None
    return list(real.search_runs([found.experiment_id], f"tags.`artifactscan.source` = '{source}'"))


def history(real: "MlflowClient", run: "Run", name: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in real.get_metric_history(run.info.run_id, name)]


def check(real: "MlflowClient", run: "Run") -> None:
    """That ``run`` is NIGHT, each value once."""
    assert (run.info.status, run.info.run_name) == ("FINISHED", NIGHT.name)
    assert (run.info.start_time, run.info.end_time) == (1767236400000, 1767237000500)
    assert run.data.metrics == {"rate/motion": 0.25, "final/fit_loss": 0.5}
    assert history(real, run, "final/fit_loss") == [(1, 0.7), (2, 0.5)]
    assert run.data.params == {"corpus": "s3://…@bucket/x\\x1b", "limit": "0"}
    assert run.data.tags["artifactscan.job"] == "audit"
    assert len(run.data.tags["artifactscan.headline"]) == 500


@pytest.mark.slow
def test_a_run_is_logged_once_and_in_silence(real: "MlflowClient", capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        assert log(source="once") is None
    assert capfd.readouterr() == ("", ""), "stdout is for tables and verdicts"
    [run] = runs_of(real, "once")
    check(real, run)


@pytest.mark.slow
@pytest.mark.parametrize("broken_off", ["create_run", "log_batch", "second log_batch", "set_terminated"])
def test_a_run_that_was_broken_off_is_completed(
    broken_off: str, real: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a kill right after that request."""
    from mlflow import MlflowClient

    method = broken_off.split()[-1]
    original, calls = getattr(MlflowClient, method), 0

    def die(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        original(*arguments, **named)
        calls += 1
        if not broken_off.startswith("second") or calls == 2:
            raise KeyboardInterrupt

    source = broken_off.replace(" ", "-")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, method, die)
        log(source=source)
    assert len(runs_of(real, source)) == 1
    assert log(source=source) is None
    [run] = runs_of(real, source)
    check(real, run)


@pytest.mark.slow
def test_only_what_is_missing_is_sent(real: "MlflowClient") -> None:
    nights = [replace(NIGHT, id=f"night{number}", name=f"night{number}") for number in range(3)]
    assert log(nights[0], nights[2], source="missing") is None
    assert log(*nights, source="missing") is None
    assert sorted(run.info.run_name for run in runs_of(real, "missing")) == ["night0", "night1", "night2"]
    assert log(nights[0], source="another audit") is None
    assert len(runs_of(real, "another audit")) == len(runs_of(real, "missing")) - 2


@pytest.mark.slow
def test_many_values_are_sent_in_parts(real: "MlflowClient") -> None:
    points = [Point(f"m{number}", number) for number in range(250)]
    params = {f"p{number}": number for number in range(150)}
    assert log(replace(NIGHT, points=points, params=params), source="many") is None
    [run] = runs_of(real, "many")
    assert (len(run.data.metrics), len(run.data.params)) == (250, 150)
    assert run.data.metrics["m249"] == 249


@pytest.mark.slow
def test_an_experiment_that_was_deleted_is_named(real: "MlflowClient") -> None:
    experiment = real.create_experiment("gone")
    real.delete_experiment(experiment)
    said = log_runs("gone", SOURCE, [NIGHT], again=AGAIN)
    assert said is not None and "the experiment gone is deleted there; restore it, or give another --mlflow" in said
