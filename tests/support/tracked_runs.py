"""Runs for MLflow that tests log, and the server's environment."""

from dataclasses import replace
from typing import Any

from artifactscan.telemetry.mlflow_runs import Point, RunValues, TrackedRun, log_runs

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


def log(*runs: TrackedRun, source: str = SOURCE) -> list[str]:
    return log_runs(EXPERIMENT, source, runs or (NIGHT,), next_try=NEXT)


def night(name: str, **changes: Any) -> TrackedRun:
    return replace(NIGHT, id=name, name=f"audit {name}", **changes)
