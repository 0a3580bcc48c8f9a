"""A night's figures: from stored scores to tables, the same for an audit and for a report written anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit import sampling_check
from artifactscan.audit.arrivals import gather
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.video_groups import Grouping
from artifactscan.audit.night import Night
from artifactscan.audit.policy import Policy
from artifactscan.audit.night_tables import ARRIVALS, CELLS, PREVALENCE, SAMPLING
from artifactscan.audit.statistics.prevalence import prevalence
from artifactscan.audit.statistics.drift import add_drift
from artifactscan.audit.statistics.flag_rates import measure
from artifactscan.schemas import EVENTS
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.storage.digest import digest
from artifactscan.store.layout import RunRecord
from artifactscan.store.read import stored_frames, stored_verdicts


@dataclass(frozen=True, kw_only=True)
class Basis:
    """By what nights are measured."""

    store: AuditStore
    corpus: str
    spec: Mapping[str, Any]
    """As run.json keeps it."""
    grouping: Grouping
    thresholds: Mapping[str, float]
    events: EventSettings
    policy: Policy
    resample_share: float
    labelled: pa.Table | None = None
    """As artifactscan.audit.human_labels.beside_flags makes it."""

    @property
    def sample_fps(self) -> float:
        return self.spec["sample_fps"]

    @property
    def denser_spec_digest(self) -> str:
        """Of the scores at double the rate."""
        return digest({**self.spec, "sample_fps": self.sample_fps * sampling_check.DOUBLE})


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A night's tables, but for the pictures and the canaries."""

    arrivals: pa.Table
    events: pa.Table
    cells: pa.Table
    sampling: pa.Table
    prevalence: pa.Table

    @classmethod
    def empty(cls) -> "Figures":
        """Of a night on which the corpus was not scored."""
        return cls(**{name: schema.empty_table() for name, schema in _SCHEMAS.items()})

    def by_name(self) -> dict[str, pa.Table]:
        """Each table by the name of its file."""
        return {name: getattr(self, name) for name in _SCHEMAS}


_SCHEMAS = {"arrivals": ARRIVALS, "events": EVENTS, "cells": CELLS, "sampling": SAMPLING, "prevalence": PREVALENCE}


def gather_night(basis: Basis, runs: Sequence[RunRecord]) -> tuple[pa.Table, pa.Table]:
    """ARRIVALS and EVENTS of the runs of one night."""
    return gather(
        basis.store.scores,
        runs,
        corpus=basis.corpus,
        grouping=basis.grouping,
        thresholds=basis.thresholds,
        sample_fps=basis.sample_fps,
        settings=basis.events,
    )


def figures(
    basis: Basis, night: str, arrivals: pa.Table, events: pa.Table, baseline: Mapping[str, pa.Table]
) -> Figures:
    """All that is measured of a night; ``baseline`` has the ARRIVALS of the nights to compare with."""
    cells = add_drift(measure(arrivals, baseline, basis.policy), arrivals, baseline)
    return Figures(
        arrivals=arrivals,
        events=events,
        cells=cells,
        sampling=_sampling(basis, night, arrivals, events),
        prevalence=PREVALENCE.empty_table() if basis.labelled is None else prevalence(basis.labelled, arrivals),
    )


def _sampling(basis: Basis, night: str, arrivals: pa.Table, events: pa.Table) -> pa.Table:
    """Of the videos chosen for it, those that have scores at double the rate."""
    chosen = sampling_check.choose(arrivals, basis.resample_share, night)["video_id"].combine_chunks()
    frames = stored_frames(basis.store.resample, basis.denser_spec_digest, chosen)
    frames = frames.sort_by([("uri", "ascending"), ("frame_index", "ascending")])
    scored = pc.unique(frames["video_id"])
    verdicts = stored_verdicts(basis.store.resample, basis.denser_spec_digest, scored)
    found = find_events(
        frames,
        basis.thresholds,
        sample_fps=basis.sample_fps * sampling_check.DOUBLE,
        durations_s={video: row["duration_s"] for video, row in verdicts.items()},
        settings=basis.events.at_rate(sampling_check.DOUBLE),
    )
    return sampling_check.missed(events, found, scored)


def baseline_nights(nights: Sequence[Night], policy: Policy, scorer: str, named: str | None = None) -> list[Night]:
    """The nights to compare with: the last of the same scorer that have scores of their own, or the one that is named.

    A night that was worse is none of them: it would make the next one look no worse. Neither is one before a night on
    which the corpus was accepted as it is.
    """
    if named is not None:
        return [night for night in nights if named in (night.night, *night.runs)]
    since: list[Night] = []
    for night in nights:
        if night.settings.get("accept_corpus"):
            since = []
        since.append(night)
    usable = [night for night in since if night.scorer == scorer and night.has_scores and not night.verdict.worse]
    return usable[-policy.baseline_nights :]
