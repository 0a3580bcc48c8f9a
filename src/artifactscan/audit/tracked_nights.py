"""Nights of an audit as runs for MLflow."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

import pyarrow.compute as pc

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import VERDICT_WORDS, Night
from artifactscan.audit.night_tables import ALL, CANARIES, CELLS
from artifactscan.storage.digest import digest
from artifactscan.telemetry.mlflow_runs import Point, RunValues, TrackedRun

MOST_NIGHTS = 30
"""Of an audit's last nights, those that the server lacks are sent: it was down, the audit was killed, or it is new."""


def tracked_nights(store: AuditStore, nights: Sequence[Night]) -> tuple[str, list[TrackedRun]]:
    """What identifies the audit, and a run for each of its ``nights``.

    Those before the last MOST_NIGHTS are only sent where the server has them with other values. A night that is judged
    again has other tables, and so another revision.
    """
    older = len(nights) - MOST_NIGHTS
    runs = [_run_of(store, night, only_if_there=position < older) for position, night in enumerate(nights)]
    return digest([store.root]), runs


def _run_of(store: AuditStore, night: Night, *, only_if_there: bool) -> TrackedRun:
    verdict, checkpoint = night.verdict, night.checkpoint
    return TrackedRun(
        id=night.night,
        revision=night.tables,
        only_if_there=only_if_there,
        name=f"audit {night.night}",
        read_values=partial(_read_values, store, night),
        params={**night.settings, **{f"threshold.{label}": value for label, value in night.thresholds.items()}},
        tags={
            "job": "audit",
            "night": night.night,
            "corpus": night.corpus,
            "store": store.root,
            "verdict": VERDICT_WORDS.get(verdict.code, str(verdict.code)),
            "headline": verdict.headline,
            "scorer": night.scorer,
            "spec_digest": night.spec_digest,
            "checkpoint_digest": checkpoint.get("digest", ""),
            "backbone": checkpoint.get("backbone", ""),
            "version": night.versions.get("artifactscan", ""),
        },
    )


def _read_values(store: AuditStore, night: Night) -> RunValues:
    started_s, ended_s = (datetime.fromisoformat(time).timestamp() for time in (night.started, night.finished))
    points = tuple(_figures(store, night, ended_s - started_s))
    return RunValues(points=points, started_s=started_s, ended_s=ended_s)


def _figures(store: AuditStore, night: Night, seconds: float) -> Iterator[Point]:
    """`seconds`; `exit_code`; `rate/LABEL` of tonight's videos with `/low` and `/high`; `standing_rate/LABEL` of all
    that are listed; `count/…`, `outcome/…` and `standing_outcome/…`; `canary_shift`, the largest.
    """
    yield Point("seconds", seconds)
    yield Point("exit_code", night.verdict.code)
    for cell in store.table(night, "cells", CELLS).to_pylist():
        if cell["group"] == ALL:
            name = f"rate/{cell['label']}"
            yield from (Point(f"{name}{end}", cell[f"rate{end.replace('/', '_')}"]) for end in ("", "/low", "/high"))
    yield from (Point(f"standing_rate/{label}", share) for label, share in night.standing_rates.items())
    for kind, counts in (
        ("count", night.counts),
        ("outcome", night.outcomes),
        ("standing_outcome", night.standing_outcomes),
    ):
        yield from (Point(f"{kind}/{name}", count) for name, count in counts.items())
    yield Point("canary_shift", pc.max(store.table(night, "canaries", CANARIES)["shift"]).as_py())
