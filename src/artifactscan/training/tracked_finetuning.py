"""A finished fine-tuning as runs for MLflow: one for each backbone."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from artifactscan import storage
from artifactscan.storage.digest import digest
from artifactscan.storage.parquet import read_table
from artifactscan.telemetry.mlflow_runs import Point, RunValues, TrackedRun
from artifactscan.training.epoch_history import HISTORY

_BY_EPOCH = [name for name in HISTORY.names if name not in ("run", "epoch", "best")]


def tracked_finetuning(root: str, record: Mapping[str, Any]) -> tuple[str, list[TrackedRun]]:
    """What identifies the fine-tuning in ``root``, and its runs; ``record``: the content of its finetune.json.

    Metrics are named `TRAINING/fit_loss` with the epoch as their step, where TRAINING is `final` or a protocol and its
    fold, and `PROTOCOL/METRIC/LABEL`, with `/low`, `/high` and `/majority` of the figures on held-out frames.
    """
    source = digest([record["digest"], root])
    return source, [_run_of(backbone, root, record) for backbone in record["checkpoints"]]


def _run_of(backbone: str, root: str, record: Mapping[str, Any]) -> TrackedRun:
    evaluations = record["evaluations"][backbone]
    return TrackedRun(
        id=backbone,
        name=f"finetune {backbone}",
        read_values=partial(_read_values, backbone, root, evaluations),
        params=record["settings"],
        tags={
            "job": "finetune",
            "backbone": backbone,
            "protocol": ", ".join(evaluations) or "none",
            "labels_digest": record["labels_digest"],
            "clips_digest": record["clips_digest"],
            "checkpoint_digest": record["checkpoints"][backbone],
            "output": root,
            "version": record["versions"]["artifactscan"],
        },
    )


def _read_values(backbone: str, root: str, evaluations: Mapping[str, Mapping[str, Any]]) -> RunValues:
    """Its end is now, its beginning so much earlier as its epochs took."""
    points, seconds = list(_figures(evaluations)), 0.0
    history = storage.join(root, backbone, "history.parquet")
    if storage.exists(history):  # a probe has no epochs
        for row in read_table(history).to_pylist():
            points += [Point(f"{row['run']}/{name}", row[name], row["epoch"]) for name in _BY_EPOCH]
            seconds += row["seconds"]
    now = time.time()
    return RunValues(points=points, started_s=now - seconds, ended_s=now)


def _figures(evaluations: Mapping[str, Mapping[str, Any]]) -> Iterator[Point]:
    for protocol, evaluation in evaluations.items():
        for size in ("frames", "videos", "folds"):
            yield Point(f"{protocol}/{size}", evaluation[size])
        for label, figures in evaluation["figures"].items():
            for metric, estimate in figures.items():
                name = f"{protocol}/{metric}/{label}"
                yield Point(name, estimate["value"])
                yield from (Point(f"{name}/{end}", estimate[end]) for end in ("low", "high", "majority"))
