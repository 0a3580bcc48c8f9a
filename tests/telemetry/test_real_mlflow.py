"""Runs at a real MLflow server: each is there once, complete, whatever was broken off. Slow."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_server import mlflow_server
from tracked_runs import EXPERIMENT, NEXT, NIGHT, SOURCE, VALUES, log, night

from artifactscan.telemetry.mlflow_runs import Point, log_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


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
