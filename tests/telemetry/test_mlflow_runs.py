"""Runs in MLflow: what is refused, and what a server that is down or answers errors costs."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from mlflow_stub import StubServer, mlflow_stub
from rest_server import RestServer, rest_server
from tracked_runs import EXPERIMENT, NIGHT, VALUES, log, night

from artifactscan.errors import UsageError
from artifactscan.storage.storage_errors import CredentialsError
from artifactscan.telemetry import mlflow_address, mlflow_runs
from artifactscan.telemetry.mlflow_runs import Point, RunValues, check_mlflow


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
