"""Logs finished work as runs of an MLflow experiment, each once, at the server that MLFLOW_TRACKING_URI names.

MLflow's own environment gives credentials and certificates. A server that is down changes no result: what it did not
take is one sentence, and is sent again by whoever calls next.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from artifactscan.errors import UsageError
from artifactscan.messages.text import printable, without_credentials
from artifactscan.messages.web_errors import causes, origin, silenced

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_PREFIX = "artifactscan."
_ID, _SOURCE = f"{_PREFIX}id", f"{_PREFIX}source"
"""Tags by which runs are found again."""
_BATCH = 100
"""Metrics or parameters a request: the most parameters that a server takes."""
_MAX_TEXT = 500
"""Characters of a parameter or tag, which every version of a server takes."""
_MAX_REASON = 200
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
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
class TrackedRun:
    """What one run in MLflow holds."""

    id: str
    """By which it is found again among those of its source."""
    name: str
    points: Iterable[Point]
    """Taken once, and only of a run that is sent."""
    params: Mapping[str, Any]
    tags: Mapping[str, Any]
    started_s: float | None = None
    """Seconds since the epoch; None: when it is logged."""
    ended_s: float | None = None


def check_mlflow(experiment: str) -> None:
    """UsageError where runs cannot be logged as ``--mlflow`` asks; whether the server answers is found out later."""
    if not experiment:
        return
    if not os.environ.get(URI_VARIABLE, "").strip():
        raise UsageError(
            f"--mlflow {printable(experiment, 80)} needs a server, and {URI_VARIABLE} is not set; set it to the "
            "server's address, such as http://mlflow:5000"
        )
    if find_spec("mlflow") is None:
        raise UsageError("--mlflow needs MLflow's client: pip install 'artifactscan[mlflow]'")


def log_runs(experiment: str, source: str, runs: Sequence[TrackedRun], *, again: str) -> str | None:
    """Logs those of ``runs`` that ``experiment`` does not hold, finished; one that was begun is completed.

    ``source``: what has made them, by which they are looked for; ``again``: who sends what was not taken, for the
    sentence that is returned then. Raises nothing: no result depends on it.
    """
    left = len(runs)
    with _environment():
        try:
            from mlflow import MlflowClient  # its import sets up its loggers

            with silenced("urllib3", "mlflow"):
                client = MlflowClient(tracking_uri=os.environ[URI_VARIABLE].strip())
                place = _experiment_id(client, experiment)
                known = _known_runs(client, place, source)
                for run in runs:
                    _log_run(client, place, source, run, known.get(run.id))
                    left -= 1
        except Exception as error:  # whatever MLflow, its server or a proxy do
            what = "1 run was" if left == 1 else f"{left:,} runs were"
            return f"{what} not logged by MLflow at {_server()}: {_in_words(error)}; {again}"
    return None


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


def _known_runs(client: "MlflowClient", experiment_id: str, source: str) -> "dict[str, Run]":
    """The source's runs by id: the finished one, where there are several."""
    known: dict[str, Run] = {}
    page = None
    while True:
        filter_string = f"tags.`{_SOURCE}` = '{source}'"
        found = client.search_runs([experiment_id], filter_string, max_results=1000, page_token=page)
        for run in found:
            name = run.data.tags.get(_ID, "")
            if name not in known or _is_finished(run):
                known[name] = run
        if not (page := found.token):
            return known


def _is_finished(run: "Run | None") -> bool:
    return run is not None and run.info.status == "FINISHED"


def _log_run(client: "MlflowClient", experiment_id: str, source: str, wanted: TrackedRun, known: "Run | None") -> None:
    """Logs one run; sending the same again adds nothing, so that one that was begun is simply sent again."""
    from mlflow.entities import Metric, Param

    if _is_finished(known):
        return
    if known is None:
        started_s = time.time() if wanted.started_s is None else wanted.started_s
        tags = {
            _ID: wanted.id,
            _SOURCE: source,
            **{f"{_PREFIX}{key}": _text(value) for key, value in wanted.tags.items()},
        }
        known = client.create_run(experiment_id, round(1000 * started_s), tags, run_name=_text(wanted.name))
    run_id, at_ms = known.info.run_id, known.info.start_time
    params = [Param(key, _text(value)) for key, value in wanted.params.items()]
    for some in _batches(params):
        client.log_batch(run_id, params=some)
    points = [point for point in wanted.points if point.value is not None and math.isfinite(point.value)]
    for some in _batches(points):
        client.log_batch(run_id, metrics=[Metric(one.name, float(one.value or 0.0), at_ms, one.step) for one in some])
    ended_s = time.time() if wanted.ended_s is None else wanted.ended_s
    client.set_terminated(run_id, "FINISHED", round(1000 * ended_s))


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _text(value: object) -> str:
    return printable(without_credentials(str(value)), _MAX_TEXT)


def _server() -> str:
    """The server, without a user, a password and a path; the kind of a place that is no server."""
    uri = os.environ[URI_VARIABLE].strip()
    return origin(uri) or urlsplit(uri).scheme


def _in_words(error: BaseException) -> str:
    """The system's own word for why it cannot be reached, or the first sentence of the error."""
    for cause in reversed([*causes(error)]):  # the innermost first
        if isinstance(cause, OSError) and cause.strerror:
            return f"it cannot be reached ({printable(cause.strerror)})"
        if type(cause).__name__ in ("ReadTimeoutError", "ReadTimeout", "ConnectTimeoutError", "ConnectTimeout"):
            return "it does not answer in time"
        if type(cause).__name__ == "ResponseError":  # urllib3's, after all tries: "too many 500 error responses"
            return f"it gave {printable(str(cause), 80)}"
    text = " ".join(str(error).split()) or type(error).__name__
    return printable(without_credentials(text), _MAX_REASON)


@contextmanager
def _environment() -> Iterator[None]:
    added = [name for name in _ENVIRONMENT if name not in os.environ]
    os.environ.update({name: _ENVIRONMENT[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
