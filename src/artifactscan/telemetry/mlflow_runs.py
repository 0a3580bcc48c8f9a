"""Logs finished work as runs of an MLflow experiment, each once, at the server that MLFLOW_TRACKING_URI names.

MLflow's own environment gives credentials and certificates. No result depends on it: what was not logged is a sentence,
and the next call tries it again.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from artifactscan.errors import UsageError
from artifactscan.messages.text import printable, without_credentials
from artifactscan.messages.web_errors import silenced
from artifactscan.storage.storage_errors import CredentialsError, describe
from artifactscan.telemetry.mlflow_address import URI_VARIABLE, check_tracking_uri, server_name, tracking_uri
from artifactscan.telemetry.mlflow_errors import answered_status, explain, is_down

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PREFIX = "artifactscan."
_ID, _SOURCE, _REVISION = f"{_PREFIX}id", f"{_PREFIX}source", f"{_PREFIX}revision"
"""Tags by which runs are found again."""
_BATCH = 100
"""Metrics or parameters a request: the most parameters that a server takes."""
_MAX_TEXT = 500
"""Characters of a parameter or tag, which every version of a server takes."""
_MAX_READING = 400
"""Characters of why a table cannot be read: it names a path and a way out."""
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    _RETRIES: "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Unless it is set otherwise: MLflow's own would wait for minutes, tell its makers of its use, and print each run's
address among the job's tables."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float | None
    """None, as one that is not finite, is left out."""
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class RunValues:
    """What has to be read for a run."""

    points: Sequence[Point]
    started_s: float
    """Seconds since the epoch."""
    ended_s: float


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What one run in MLflow holds."""

    id: str
    """By which it is found again among those of its source."""
    revision: str = ""
    """Of its values: a run that MLflow has by this id and with another revision is replaced."""
    only_if_there: bool = False
    """Whether a run that MLflow does not have by this id is left out."""
    name: str
    read_values: Callable[[], RunValues]
    """Called only where the run is sent; what it raises is a reason why this run is not logged."""
    params: Mapping[str, Any]
    tags: Mapping[str, Any]


def check_mlflow(experiment: str) -> None:
    """UsageError where runs cannot be logged as ``--mlflow`` asks; whether the server answers is found out later."""
    if not experiment:
        return
    if not tracking_uri():
        raise UsageError(
            f"--mlflow {printable(experiment, 80)} needs a server, and {URI_VARIABLE} is not set; set it to the "
            "server's address, such as http://mlflow:5000"
        )
    if find_spec("mlflow") is None:
        raise UsageError("--mlflow needs MLflow's client: pip install 'artifactscan[mlflow]'")
    check_tracking_uri()


def log_runs(experiment: str, source: str, runs: Sequence[TrackedRun], *, next_try: str) -> list[str]:
    """Logs those of ``runs`` that ``experiment`` does not hold, finished; one that was begun is completed.

    A run whose revision has changed is logged anew, and the earlier one deleted, which MLflow can restore. One that has
    no revision there, as by versions that wrote none, gets that of ``runs`` where its values are the same.
    ``source``: what has made the runs, by which they are looked for; ``next_try``: what will try again, such as "the
    next audit". Returns a sentence for each run that was not logged. Where the server takes none, or the storage of the
    figures cannot be reached, it is one for all that are left, and nothing more is tried. Raises nothing.
    """
    with _environment(), silenced("urllib3", "mlflow"):
        server = server_name()
        try:
            from mlflow import MlflowClient  # its import sets up its loggers

            target = _find_target(MlflowClient(tracking_uri=tracking_uri()), experiment, source)
        except Exception as error:  # whatever MLflow, its server or a proxy do
            return [f"nothing was logged by MLflow at {server}: {explain(error)}; {next_try} logs what is missing"]
        failures, not_logged = _log_missing(target, runs, server=server, next_try=next_try)
        logged = [run for run in runs if run.id not in not_logged]
        return [*failures, *_delete_replaced(target, logged, server=server, next_try=next_try)]


@dataclass(frozen=True)
class _Failure:
    """Why a run was not logged."""

    why: str
    """Follows ``not logged by MLflow``."""
    ends: bool
    """Whether no other run would be logged either."""


def _log_missing(
    target: "_Target", runs: Sequence[TrackedRun], *, server: str, next_try: str
) -> tuple[list[str], set[str]]:
    """Logs what is missing; returns a sentence for each failure, and the ids of the runs that were not logged."""
    sentences: list[str] = []
    not_logged: set[str] = set()
    missing = [run for run in runs if target.lacks(run)]
    for position, run in enumerate(missing):
        failure = _log(target, run, server)
        if failure is None:
            continue
        left = missing[position:] if failure.ends else [run]
        not_logged.update(one.id for one in left)
        what = f"{printable(run.name, 80)} was" if len(left) == 1 else f"{len(left):,} runs were"
        sentences.append(f"{what} not logged by MLflow{failure.why}; {next_try} tries again")
        if failure.ends:
            break
    return sentences, not_logged


def _log(target: "_Target", run: TrackedRun, server: str) -> _Failure | None:
    try:
        values = run.read_values()
    except Exception as error:  # of a damaged table, or of its storage
        ends = isinstance(error, ConnectionError | TimeoutError | CredentialsError)
        return _Failure(f", as the figures cannot be read: {_explain_reading(error)}", ends)
    try:
        if not target.adopt(run, values):
            target.log(run, values)
    except Exception as error:
        if answered_status(error):  # perhaps for this run alone: the others get one request each, without waits
            os.environ[_RETRIES] = "0"
        return _Failure(f" at {server}: {explain(error)}", is_down(error))
    return None


def _delete_replaced(target: "_Target", runs: Sequence[TrackedRun], *, server: str, next_try: str) -> Iterator[str]:
    """Deletes the earlier revisions of runs that are logged; yields a sentence for each that could not be."""
    for run in runs:
        try:
            target.delete_replaced(run)
        except Exception as error:
            why = f"{explain(error)}; {next_try} tries again"
            yield f"the earlier figures of {printable(run.name, 80)} were not deleted by MLflow at {server}: {why}"
            if is_down(error):
                return


@dataclass(frozen=True)
class _Target:
    """The experiment that runs of one source are logged to, and those that it holds."""

    client: "MlflowClient"
    experiment_id: str
    source: str
    known: "Mapping[str, Sequence[Run]]"
    """By id."""

    def lacks(self, run: TrackedRun) -> bool:
        """Whether it is to get the run: it does not hold it, finished, with these values."""
        if run.only_if_there and run.id not in self.known:
            return False
        return not any(_is_finished(one) for one in self._same(run))

    def adopt(self, run: TrackedRun, values: RunValues) -> bool:
        """Whether it holds the run with these values and without a revision, which it then has."""
        metrics = {name: value for name, value, _ in _sent(values)}
        params = {key: _text(value) for key, value in run.params.items()}
        for one in self.known.get(run.id, ()):
            unmarked = _is_finished(one) and _REVISION not in one.data.tags
            if unmarked and (one.data.metrics, one.data.params) == (metrics, params):
                self.client.set_tag(one.info.run_id, _REVISION, run.revision)
                one.data.tags[_REVISION] = run.revision
                return True
        return False

    def log(self, run: TrackedRun, values: RunValues) -> None:
        """Logs one run; sending the same again adds nothing, so that one that was begun is simply sent again."""
        from mlflow.entities import Metric, Param

        begun = self._same(run)
        info = (begun[0] if begun else self._create(run, values.started_s)).info
        for params in _batches([Param(key, _text(value)) for key, value in run.params.items()]):
            self.client.log_batch(info.run_id, params=params)
        metrics = [Metric(name, value, info.start_time, step) for name, value, step in _sent(values)]
        for some in _batches(metrics):
            self.client.log_batch(info.run_id, metrics=some)
        self.client.set_terminated(info.run_id, "FINISHED", round(1000 * values.ended_s))

    def delete_replaced(self, run: TrackedRun) -> None:
        """Deletes what it holds of the run with other values."""
        same = self._same(run)
        for one in self.known.get(run.id, ()):
            if one not in same:
                self.client.delete_run(one.info.run_id)

    def _same(self, run: TrackedRun) -> "list[Run]":
        """What it holds of the run with these values."""
        return [one for one in self.known.get(run.id, ()) if one.data.tags.get(_REVISION, "") == run.revision]

    def _create(self, run: TrackedRun, started_s: float) -> "Run":
        tags = {
            _ID: run.id,
            _SOURCE: self.source,
            _REVISION: run.revision,
            **{f"{_PREFIX}{key}": _text(value) for key, value in run.tags.items()},
        }
        return self.client.create_run(self.experiment_id, round(1000 * started_s), tags, run_name=_text(run.name))


def _find_target(client: "MlflowClient", experiment: str, source: str) -> _Target:
    """The experiment, made where there is none, with all runs of the source."""
    experiment_id = _experiment_id(client, experiment)
    known: dict[str, list[Run]] = {}
    page = None
    while True:
        filter_string = f"tags.`{_SOURCE}` = '{source}'"
        found = client.search_runs([experiment_id], filter_string, max_results=1000, page_token=page)
        for run in found:
            known.setdefault(run.data.tags.get(_ID, ""), []).append(run)
        if not (page := found.token):
            return _Target(client, experiment_id, source, known)


def _experiment_id(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another job was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise ValueError(f"the experiment {name} is deleted there; restore it, or give another --mlflow")
    return found.experiment_id


def _is_finished(run: "Run") -> bool:
    return run.info.status == "FINISHED"


def _sent(values: RunValues) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of the points that can be logged."""
    for point in values.points:
        if point.value is not None and math.isfinite(point.value):
            yield point.name, float(point.value), point.step


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _text(value: object) -> str:
    return printable(without_credentials(str(value)), _MAX_TEXT)


def _explain_reading(error: Exception) -> str:
    """Why a run's figures cannot be read, with the way out where there is one."""
    text = describe(error) if isinstance(error, OSError) else " ".join(str(error).split()) or type(error).__name__
    return printable(without_credentials(text), _MAX_READING)


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update({name: _ENVIRONMENT[name] for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
