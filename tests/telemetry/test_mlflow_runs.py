"""Runs in MLflow: what is refused, and what a server that is down or answers errors costs. With a real server, slow."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_server import mlflow_server
from mlflow_stub import StubServer, mlflow_stub
from rest_server import RestServer, rest_server

from artifactscan.errors import UsageError
from artifactscan.storage.storage_errors import CredentialsError
from artifactscan.telemetry import mlflow_address, mlflow_runs
from artifactscan.telemetry.mlflow_runs import Point, RunValues, TrackedRun, check_mlflow, log_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT, SOURCE = "nightly", "0123abcd"
VALUES = RunValues(
    points=(
        Point("rate/motion", 0.25),
        Point("rate/motion/low", None),
        Point("rate/motion/high", float("nan")),
        Point("final/fit_loss", 0.7, 1),
        Point("final/fit_loss", 0.5, 2),
    ),
    started_s=1767236400.0,
    ended_s=1767237000.5,
)
NIGHT = TrackedRun(
    id="20260101T030000Z-aaaaaaaa",
    name="audit 20260101T030000Z-aaaaaaaa",
    read_values=lambda: VALUES,
    params={"corpus": "s3://user:secret@bucket/x\x1b", "limit": 0},
    tags={"job": "audit", "headline": "x" * 2000},
)
NEXT = "the next audit"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


def log(*runs: TrackedRun, source: str = SOURCE) -> list[str]:
    return log_runs(EXPERIMENT, source, runs or (NIGHT,), next_try=NEXT)


def night(name: str, **changes: Any) -> TrackedRun:
    return replace(NIGHT, id=name, name=f"audit {name}", **changes)


def unreadable(error: Exception) -> Any:
    def read() -> RunValues:
        raise error

    return read


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


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://[::1", "http://[::1"),
        ("https://me:secret@mlflow:99999/x", "https://…@mlflow:99999/x"),
        ("http://", "http://"),
        ("http://me:sec ret@ml flow:5000", "http://…@ml flow:5000"),
        ("foo://mlflow:5000", "foo://mlflow:5000"),
        ("mlflow:5000", "mlflow:5000"),
    ],
)
def test_what_is_no_address_is_wrong_usage(uri: str, shown: str, client: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError) as raised:
        check_mlflow(EXPERIMENT)
    assert str(raised.value) == (
        f"MLFLOW_TRACKING_URI is '{shown}', which is no address of a server; set it to one such as http://mlflow:5000"
    )
    [said] = log()
    assert said.startswith("nothing was logged by MLflow at ") and "secret" not in said


@pytest.mark.parametrize(
    "uri",
    [
        " http://[::1]:5000 ",
        "databricks",
        "databricks://profile",
        "uc:http://h",
        "sqlite:///x.db",
        "mysql+pymysql://me:secret@h/x",
        "file:/x",
        "mlruns",
        "http+plugin://h",
    ],
)
def test_what_the_client_or_a_plugin_of_it_takes_is_left_to_it(
    uri: str, client: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = EntryPoint("http+plugin", "plugin:store", "mlflow.tracking_store")
    monkeypatch.setattr(mlflow_address, "entry_points", lambda group: EntryPoints([plugin]).select(group=group))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
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
    assert log(NIGHT, night("other")) == [
        f"nothing was logged by MLflow at http://127.0.0.1:{port}: it cannot be reached (Connection refused); "
        "the next audit logs what is missing"
    ]


@pytest.fixture
def unwell(client: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    with rest_server() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        yield server


def test_a_server_that_answers_500_is_asked_three_times(unwell: RestServer, capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert log() == [
        f"nothing was logged by MLflow at {unwell.url}: it answered 500; the next audit logs what is missing"
    ]
    assert (unwell.requests, capfd.readouterr().err) == (3, "")
    assert time.monotonic() - started < 30
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_server_that_hangs(unwell: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    unwell.delay_s = 5
    assert log() == [
        f"nothing was logged by MLflow at {unwell.url}: it does not answer in time; the next audit logs what is missing"
    ]


def test_an_error_of_the_server_is_told_in_its_words(unwell: RestServer) -> None:
    unwell.status = 403
    unwell.body = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no <b>rights</b>\nhere"}).encode()
    [said] = log()
    assert "\n" not in said
    assert "PERMISSION_DENIED: no <b>rights</b> here" in said


def test_what_answers_is_no_mlflow(unwell: RestServer) -> None:
    unwell.status, unwell.body = 200, b"<html>welcome</html>"
    [said] = log()
    assert said.startswith(f"nothing was logged by MLflow at {unwell.url}: ")


# Single runs that cannot be logged


@pytest.fixture
def stub(client: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    with mlflow_stub() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        yield server


def finished(stub: StubServer) -> list[str]:
    return [run.name for run in stub.runs if run.status == "FINISHED"]


NIGHTS = ("one", "two", "three", "four")


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("action", ["create", "log-batch", "update"])
def test_a_run_that_the_server_refuses_keeps_no_other_one_back(stub: StubServer, action: str, status: int) -> None:
    stub.refuse("audit two", status, to=action)
    why = f"INVALID_PARAMETER_VALUE: no {action} of audit two" if status == 400 else "it answered 500"
    assert log(*map(night, NIGHTS)) == [
        f"audit two was not logged by MLflow at {stub.url}: {why}; the next audit tries again"
    ]
    assert finished(stub) == ["audit one", "audit three", "audit four"]
    stub.faults.clear()
    stub.requests.clear()
    assert log(*map(night, NIGHTS)) == []
    assert sorted(finished(stub)) == ["audit four", "audit one", "audit three", "audit two"]
    assert stub.requests.count("create") == (1 if action == "create" else 0), "what was begun is completed"


def test_each_run_that_is_refused_is_told_of_without_a_wait_for_each(stub: StubServer) -> None:
    for name in NIGHTS:
        stub.refuse(f"audit {name}", 500)
    said = log(*map(night, NIGHTS))
    assert [sentence.split(" was ")[0] for sentence in said] == [f"audit {name}" for name in NIGHTS]
    assert stub.requests.count("create") == 3 + 3, "three tries for the first, one for each other"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.parametrize("status", [403, 503])
def test_a_server_that_takes_no_run_is_asked_for_one(
    stub: StubServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in NIGHTS[1:]:
        stub.refuse(f"audit {name}", status)
    why = "PERMISSION_DENIED: no create of audit two" if status == 403 else "it answered 503"
    assert log(*map(night, NIGHTS)) == [
        f"3 runs were not logged by MLflow at {stub.url}: {why}; the next audit tries again"
    ]
    assert (finished(stub), stub.requests.count("create")) == (["audit one"], 2)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_a_server_that_goes_away_between_two_runs_is_waited_for_once(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def read() -> RunValues:
        stub.down = True
        return VALUES

    assert log(night("one"), night("two", read_values=read), night("three"), night("four")) == [
        f"3 runs were not logged by MLflow at {stub.url}: it answered 503; the next audit tries again"
    ]
    assert stub.requests.count("create") == 2


@pytest.mark.parametrize("error", [UsageError("x.parquet is damaged; restore it"), PermissionError(13, "denied", "x")])
def test_a_run_whose_figures_cannot_be_read_keeps_no_other_one_back(stub: StubServer, error: Exception) -> None:
    why = "x.parquet is damaged; restore it" if isinstance(error, UsageError) else "x: denied"
    assert log(night("one", read_values=unreadable(error)), night("two")) == [
        f"audit one was not logged by MLflow, as the figures cannot be read: {why}; the next audit tries again"
    ]
    assert [run.name for run in stub.runs] == ["audit two"], "nothing is begun of what cannot be read"


@pytest.mark.parametrize("kind", [ConnectionError, TimeoutError, CredentialsError])
def test_a_storage_that_is_away_is_named_and_asked_once(stub: StubServer, kind: type[OSError]) -> None:
    asked = []

    def read() -> RunValues:
        asked.append(1)
        raise kind("s3://bucket/cells.parquet: the storage cannot be reached")

    assert log(night("one"), *(night(name, read_values=read) for name in NIGHTS[1:])) == [
        "3 runs were not logged by MLflow, as the figures cannot be read: s3://bucket/cells.parquet: the storage "
        "cannot be reached; the next audit tries again"
    ]
    assert (len(asked), finished(stub)) == (1, ["audit one"])


# Runs whose values changed


def test_a_run_whose_values_changed_is_replaced_once(stub: StubServer) -> None:
    after = replace(VALUES, points=(Point("rate/motion", 0.5),))
    assert log(night("one", revision="a"), night("two", revision="a")) == []
    renewed = night("one", revision="b", read_values=lambda: after)
    for _ in range(2):
        assert log(renewed, night("two", revision="a")) == []
    assert [(run.name, run.metrics["rate/motion"], run.deleted) for run in stub.every_run] == [
        ("audit one", 0.25, True),
        ("audit two", 0.25, False),
        ("audit one", 0.5, False),
    ]


def test_the_earlier_values_stay_until_the_new_ones_are_there(stub: StubServer) -> None:
    assert log(night("one", revision="a"), night("two", revision="a")) == []
    changed = (night("one", revision="b"), night("two", revision="b"))
    stub.refuse("audit one", 400, to="log-batch")
    stub.refuse("audit two", 403, to="delete")
    said = log(*changed)
    assert said[0].startswith(f"audit one was not logged by MLflow at {stub.url}: ")
    assert said[1:] == [
        f"the earlier figures of audit two were not deleted by MLflow at {stub.url}: PERMISSION_DENIED: no delete of "
        "audit two; the next audit tries again"
    ]
    assert sorted(finished(stub)) == ["audit one", "audit two", "audit two"]
    stub.faults.clear()
    assert log(*changed) == []
    assert [(run.name, run.tags["artifactscan.revision"], run.status) for run in stub.runs] == [
        ("audit one", "b", "FINISHED"),
        ("audit two", "b", "FINISHED"),
    ]


def test_a_run_that_is_renewed_only_is_not_begun(stub: StubServer) -> None:
    assert log(night("one", revision="a")) == []
    renewed = [night(name, revision="b", only_if_there=True) for name in ("one", "never logged")]
    for _ in range(2):
        assert log(*renewed) == []
    assert [(run.name, run.tags["artifactscan.revision"]) for run in stub.runs] == [("audit one", "b")]


def test_a_long_history_is_looked_for_by_one_request(stub: StubServer) -> None:
    older = [night(f"{number}", only_if_there=True) for number in range(500)]
    assert log(*older, night("last")) == []
    assert (stub.requests.count("search"), [run.name for run in stub.runs]) == (1, ["audit last"])
    stub.requests.clear()
    assert log(*older, night("last")) == []
    assert sorted(stub.requests) == ["get-by-name", "search"]


@pytest.mark.parametrize("changed", ["", "metrics", "params"])
def test_a_run_without_a_revision_is_replaced_where_its_values_are_others(changed: str, stub: StubServer) -> None:
    """As versions have logged it that wrote no revision."""
    before = night("one", params={"threshold.motion": 0.5 if changed != "params" else 0.4})
    if changed == "metrics":
        before = replace(before, read_values=lambda: replace(VALUES, points=(Point("rate/motion", 0.5),)))
    assert log(before) == []
    del stub.runs[0].tags["artifactscan.revision"]
    stub.requests.clear()
    for _ in range(2):
        assert log(night("one", revision="a", params={"threshold.motion": 0.5})) == []
    assert [run.tags["artifactscan.revision"] for run in stub.runs] == ["a"]
    assert (stub.runs[0].metrics["rate/motion"], stub.runs[0].params["threshold.motion"]) == (0.25, "0.5")
    wanted = ("create", "delete") if changed else ("set-tag",)
    assert {name: stub.requests.count(name) for name in ("create", "delete", "set-tag")} == {
        name: int(name in wanted) for name in ("create", "delete", "set-tag")
    }


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
        assert log(source="once") == []
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
    assert log(source=source) == []
    [run] = runs_of(real, source)
    check(real, run)


@pytest.mark.slow
def test_only_what_is_missing_is_sent(real: "MlflowClient") -> None:
    nights = [replace(NIGHT, id=f"night{number}", name=f"night{number}") for number in range(3)]
    assert log(nights[0], nights[2], source="missing") == []
    assert log(*nights, source="missing") == []
    assert sorted(run.info.run_name for run in runs_of(real, "missing")) == ["night0", "night1", "night2"]
    assert log(nights[0], source="another audit") == []
    assert len(runs_of(real, "another audit")) == len(runs_of(real, "missing")) - 2


@pytest.mark.slow
def test_many_values_are_sent_in_parts(real: "MlflowClient") -> None:
    values = replace(VALUES, points=[Point(f"m{number}", number) for number in range(250)])
    params = {f"p{number}": number for number in range(150)}
    assert log(replace(NIGHT, read_values=lambda: values, params=params), source="many") == []
    [run] = runs_of(real, "many")
    assert (len(run.data.metrics), len(run.data.params)) == (250, 150)
    assert run.data.metrics["m249"] == 249


@pytest.mark.slow
def test_an_experiment_that_was_deleted_is_named(real: "MlflowClient") -> None:
    experiment = real.create_experiment("gone")
    real.delete_experiment(experiment)
    [said] = log_runs("gone", SOURCE, [NIGHT], next_try=NEXT)
    assert "the experiment gone is deleted there; restore it, or give another --mlflow" in said


@pytest.mark.slow
def test_a_run_that_a_real_server_refuses_keeps_no_other_one_back(real: "MlflowClient") -> None:
    odd = replace(VALUES, points=[Point("no*such:name?", 1.0)])
    [said] = log(night("one", read_values=lambda: odd), night("two"), source="refused")
    assert said.startswith("audit one was not logged by MLflow at http://127.0.0.1:")
    assert said.endswith("; the next audit tries again") and "INVALID_PARAMETER_VALUE" in said
    statuses = {run.info.run_name: run.info.status for run in runs_of(real, "refused")}
    assert statuses == {"audit one": "RUNNING", "audit two": "FINISHED"}


@pytest.mark.slow
def test_a_run_whose_values_changed_is_replaced_at_a_real_server(real: "MlflowClient") -> None:
    after = replace(VALUES, points=[Point("rate/motion", 0.5)])
    assert log(night("one", revision="a", params={"threshold.motion": 0.5}), source="changed") == []
    [before] = runs_of(real, "changed")
    for _ in range(2):
        renewed = night("one", revision="b", params={"threshold.motion": 0.6}, read_values=lambda: after)
        assert log(renewed, source="changed") == []
    [run] = runs_of(real, "changed")
    assert (run.data.metrics, run.data.params) == ({"rate/motion": 0.5}, {"threshold.motion": "0.6"})
    assert real.get_run(before.info.run_id).info.lifecycle_stage == "deleted", "it can be restored"


@pytest.mark.slow
def test_a_run_without_a_revision_at_a_real_server_gets_it_once(real: "MlflowClient") -> None:
    assert log(source="untagged") == []
    [before] = runs_of(real, "untagged")
    real.delete_tag(before.info.run_id, "artifactscan.revision")
    for _ in range(2):
        assert log(replace(NIGHT, revision="a"), source="untagged") == []
    [run] = runs_of(real, "untagged")
    assert (run.info.run_id, run.data.tags["artifactscan.revision"]) == (before.info.run_id, "a")
    check(real, run)
