"""A night's tables from stored scores: the same for an audit and for a report written again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit import sampling_check
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night_tables import ARRIVALS, CELLS, PREVALENCE, SAMPLING
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.drift import add_drift
from artifactscan.audit.statistics.flag_rates import measure_rates
from artifactscan.audit.statistics.prevalence import estimate_prevalence
from artifactscan.schemas import EVENTS
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.scoring.spec import digest_of_spec
from artifactscan.store.stored_rows import stored_frames, stored_verdicts


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """What a night's figures depend on, apart from its videos."""

    store: AuditStore
    spec: Mapping[str, Any]
    """As in run.json."""
    thresholds: Mapping[str, float]
    events: EventSettings
    policy: Policy
    resample_share: float
    labelled: pa.Table | None = None
    """Human labels beside flags, from human_labels.labels_with_flags."""

    @property
    def sample_fps(self) -> float:
        return self.spec["sample_fps"]

    @property
    def double_rate_spec_digest(self) -> str:
        """The spec digest of the scores at double the rate."""
        return digest_of_spec({**self.spec, "sample_fps": self.sample_fps * sampling_check.DOUBLE})


@dataclass(frozen=True, kw_only=True)
class NightTables:
    """A night's tables, without pictures and canaries."""

    arrivals: pa.Table
    events: pa.Table
    cells: pa.Table
    sampling: pa.Table
    prevalence: pa.Table

    @classmethod
    def empty(cls) -> "NightTables":
        """The tables of a night on which the corpus was not scored."""
        return cls(**{name: schema.empty_table() for name, schema in _SCHEMAS.items()})

    def by_name(self) -> dict[str, pa.Table]:
        """File name without ending → table."""
        return {name: getattr(self, name) for name in _SCHEMAS}


_SCHEMAS = {"arrivals": ARRIVALS, "events": EVENTS, "cells": CELLS, "sampling": SAMPLING, "prevalence": PREVALENCE}


def measure_night(
    settings: MeasureSettings,
    night: str,
    arrivals: pa.Table,
    events: pa.Table,
    baseline: Mapping[str, pa.Table],
    worse_runs: Sequence[Mapping[str, pa.Table]] = (),
) -> NightTables:
    """All tables of a night; ``baseline``: night → ARRIVALS of the nights to compare with; ``worse_runs`` likewise."""
    rates = measure_rates(arrivals, baseline, settings.policy, worse_runs=worse_runs)
    cells = add_drift(rates, arrivals, baseline)
    labelled = settings.labelled
    return NightTables(
        arrivals=arrivals,
        events=events,
        cells=cells,
        sampling=_check_sampling(settings, night, arrivals, events),
        prevalence=PREVALENCE.empty_table() if labelled is None else estimate_prevalence(labelled, arrivals),
    )


def _check_sampling(settings: MeasureSettings, night: str, arrivals: pa.Table, events: pa.Table) -> pa.Table:
    """SAMPLING of those chosen videos that have scores at double the rate."""
    store, spec_digest = settings.store.resample, settings.double_rate_spec_digest
    chosen = sampling_check.choose_videos(arrivals, settings.resample_share, night)["video_id"].combine_chunks()
    frames = stored_frames(store, store.runs_of(spec_digest), chosen)
    frames = frames.sort_by([("uri", "ascending"), ("frame_index", "ascending")])
    scored = pc.unique(frames["video_id"])
    found = find_events(
        frames,
        settings.thresholds,
        sample_fps=settings.sample_fps * sampling_check.DOUBLE,
        durations_s={video: row["duration_s"] for video, row in stored_verdicts(store, spec_digest, scored).items()},
        settings=settings.events.at_rate(sampling_check.DOUBLE),
    )
    return sampling_check.count_missed_events(events, found, scored)
