"""The scoring stages of a night: canaries, what is new, retries of failed videos, a share at double the rate."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
from rich.console import Console

from artifactscan import storage
from artifactscan.audit import canaries, sampling_check
from artifactscan.audit.arrivals import count_statuses, gather_arrivals, regroup, uncounted_runs
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.corpus_state import (
    count_outcomes,
    current_ledger,
    due_for_retry,
    flagged_shares,
    quarantined,
    tried_video_ids,
)
from artifactscan.audit.export_sample import export_sample
from artifactscan.audit.formatting import counted
from artifactscan.audit.human_labels import labels_with_flags
from artifactscan.audit.judge_sample import judge_sample
from artifactscan.audit.label_sample import draw_clips, draw_frames
from artifactscan.audit.measure_night import MeasureSettings, NightTables, measure_night
from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ARRIVALS, LABEL_SAMPLE
from artifactscan.audit.settings import AuditSettings
from artifactscan.audit.video_groups import Grouping, drop_high_cardinality, ungrouped_note
from artifactscan.corpus.listing import VIDEO_PATTERNS
from artifactscan.errors import UsageError
from artifactscan.messages.activity import activity
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.pipelines.score.request import Request
from artifactscan.pipelines.score.run import ScoringResult, score_corpus
from artifactscan.schemas import LISTING
from artifactscan.scoring.settings import ScoreSettings, SharedScoringSettings
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store
from artifactscan.store.stored_rows import stored_frames

OTHER_DECODER: dict[str, Literal["auto", "pyav", "decord"]] = {
    "pyav": "decord",
    "decord": "pyav",
    "auto": "auto",
    "nvdec": "auto",
}
"""``auto`` has tried both decoders, so a retry differs only in its limits; ``nvdec`` has tried pyav, not decord."""
RETRY_LIMITS_FACTOR = 2
"""Factor of the usual limits on time and memory in a retry."""


@dataclass(frozen=True, kw_only=True)
class AuditJob:
    """One call of the audit job, prepared."""

    settings: AuditSettings
    store: AuditStore
    night: str
    """The id of tonight."""
    started: datetime
    nights: tuple[Night, ...]
    """Committed before, oldest first."""
    scorer: str
    """The night whose canary scores are the reference."""
    baseline: tuple[Night, ...]
    worse_runs: tuple[tuple[Night, ...], ...]
    """Nights in a row that are left out of the baseline as worse."""
    checkpoint: Checkpoint
    request: Request
    grouping: Grouping
    measuring: MeasureSettings
    out: Console


@dataclass(kw_only=True)
class StageResults:
    """What the stages contribute to the night's record; fields as in ``Night``."""

    canaries: pa.Table
    runs: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    standing_outcomes: dict[str, int] = field(default_factory=dict)
    standing_rates: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    label_sample: pa.Table = field(default_factory=LABEL_SAMPLE.empty_table)
    """LABEL_SAMPLE of the night."""


def scoring_settings(settings: AuditSettings, input: str, output: str, **changes: Any) -> ScoreSettings:
    """The audit's settings as those of one scoring; max_failed is 1, as the policy says how many may fail."""
    common = {one.name: getattr(settings, one.name) for one in fields(SharedScoringSettings)}
    return ScoreSettings(input=input, output=output, max_failed=1.0, **{**common, **changes})


def score_canaries(job: AuditJob) -> pa.Table:
    """CANARIES: scores the canary clips and compares them with the reference."""
    root = job.store.canary
    job.out.print("scoring the canaries")
    with activity("drawing the canary clips", job.settings.quiet):
        drawn = canaries.ensure_clips(root, job.settings.canary_clips)
    try:
        _score(job, canaries.clips_folder(root), job.store.canary_scores(job.night))
    except UsageError:  # nothing was done, then
        if drawn:
            storage.remove_tree(root)
        raise
    return canaries.compare_night(job.store, job.night, job.scorer)


def score_and_measure(job: AuditJob, results: StageResults) -> NightTables:
    """Scores what is new, retries what failed, scores a share at double the rate, and measures the night."""
    measuring, store, settings = job.measuring, job.store, job.settings
    job.out.print(f"scoring what is new in {settings.corpus}")
    asked = scoring_settings(settings, settings.corpus, store.scores.root)
    scored = score_corpus(asked, job.checkpoint, job.out)
    committed = [run for run in store.scores.committed() if run.spec_digest == job.request.spec.digest]
    runs = uncounted_runs(committed, (run for night in job.nights for run in night.runs))
    arrivals, events = gather_arrivals(
        store.scores,
        runs,
        corpus=settings.corpus,
        grouping=job.grouping,
        thresholds=measuring.thresholds,
        sample_fps=measuring.sample_fps,
        events=measuring.events,
    )
    grouping, notes = drop_high_cardinality(job.grouping, arrivals)
    arrivals = regroup(arrivals, grouping)
    results.notes += notes
    if note := ungrouped_note(grouping, arrivals):
        results.notes.append(note)
    if before := len(runs) - len(scored.runs):
        results.notes.append(f"{counted(before, 'scoring run')} of an audit that was cut off counted tonight")
    in_scope = [run for run in committed if run.scope_digest == job.request.scope]
    ledger = current_ledger(store.scores, committed, in_scope[-1] if in_scope else None)
    quarantine = quarantined(ledger)
    results.runs = tuple(run.run for run in runs)
    results.outcomes = count_outcomes(arrivals)
    results.standing_outcomes = count_outcomes(ledger)
    results.standing_rates = flagged_shares(ledger, measuring.thresholds)
    retried, recovered = _retry_failed(job, quarantine, results)
    statuses = count_statuses(store.scores, runs)
    results.counts = {
        "listed": scored.plan.listed,
        "settled": scored.plan.settled,
        **{status: statuses[status] for status in ("new", "changed", "again", "removed")},
        "arrivals": arrivals.num_rows,
        "quarantined": quarantine.num_rows,
        "retried": retried,
        "recovered": recovered,
    }
    _score_at_double_rate(job, arrivals)
    results.label_sample = _draw_label_sample(job, arrivals, results)
    measuring = replace(measuring, labelled=_human_labels(job, ledger, results))
    baseline = job.baseline if arrivals.num_rows else ()
    earlier = _arrivals_of(store, baseline, grouping)
    worse_runs = [_arrivals_of(store, run, grouping) for run in job.worse_runs if arrivals.num_rows]
    with activity("comparing with the nights before", job.settings.quiet):
        return measure_night(measuring, job.night, arrivals, events, earlier, worse_runs)


def _arrivals_of(store: AuditStore, nights: Sequence[Night], grouping: Grouping) -> dict[str, pa.Table]:
    """Night → ARRIVALS, with the groups of tonight."""
    return {night.night: regroup(store.table(night, "arrivals", ARRIVALS), grouping) for night in nights}


def _retry_failed(job: AuditJob, quarantine: pa.Table, results: StageResults) -> tuple[int, int]:
    """Retries what failed long enough ago, with the other decoder and twice the limits.

    Returns how many videos were tried and how many were scored. Their scores stay in slow/ and count in no verdict, as
    another decoder's colours differ slightly.
    """
    settings, store = job.settings, job.store.slow
    after = timedelta(days=settings.retry_failed_after_days)
    due = due_for_retry(quarantine, tried_video_ids(store), after=after, now=job.started)
    if not due.num_rows:
        return 0, 0
    other = OTHER_DECODER[settings.decoder]
    job.out.print(f"trying {counted(due.num_rows, 'video')} that failed before, with {other} and twice the limits")
    manifest = storage.join(store.root, "due.parquet")
    write_table(due.select(LISTING.names), manifest)
    scored = _score(
        job,
        manifest,
        store,
        decoder=other,
        video_timeout_s=settings.video_timeout_s * RETRY_LIMITS_FACTOR,
        child_memory_bytes=settings.child_memory_bytes * RETRY_LIMITS_FACTOR,
    )
    recovered = sum(run.outcomes.get(outcome, 0) for run in scored.runs for outcome in HAS_FRAMES)
    results.notes.append(
        f"{due.num_rows:,} videos that failed before were tried with {other} and twice the limits; {recovered:,} "
        f"of them have a score now, in {store.root}, and none is tried again until it changes"
    )
    return due.num_rows, recovered


def _score_at_double_rate(job: AuditJob, arrivals: pa.Table) -> None:
    """Scores a share of the arrivals at double the rate."""
    store = job.store.resample
    chosen = sampling_check.choose_videos(arrivals, job.settings.resample_share, job.night)
    if not chosen.num_rows:
        return
    rate = job.settings.sample_fps * sampling_check.DOUBLE
    job.out.print(f"scoring {counted(chosen.num_rows, 'video')} again at {rate:g} frames per second")
    manifest = storage.join(store.root, "chosen.parquet")
    write_table(chosen.select(["uri"]), manifest)
    _score(job, manifest, store, sample_fps=rate)


def _draw_label_sample(job: AuditJob, arrivals: pa.Table, results: StageResults) -> pa.Table:
    """LABEL_SAMPLE of the night, written for people or labelled by the judge."""
    clips = draw_clips(arrivals, job.settings.judge_share, job.night)
    if not clips.num_rows:
        return LABEL_SAMPLE.empty_table()
    frames = stored_frames(job.store.scores, results.runs, clips["video_id"].combine_chunks())
    sample, folder = draw_frames(clips, frames, job.night), job.store.label_folder(job.night)
    drawn = f"{counted(sample.num_rows, 'frame')} of {counted(clips.num_rows, 'video')}"
    job.out.print(f"writing {drawn} for labelling")
    results.notes += export_sample(sample, frames, folder, job.settings)
    if job.settings.judge_endpoint:
        job.out.print(f"having {drawn} judged by {job.settings.judge_model}")
        results.notes.append(judge_sample(sample, folder, job.settings))
    return sample


def _human_labels(job: AuditJob, ledger: pa.Table, results: StageResults) -> pa.Table | None:
    """The table given with --human-labels, joined with what the scorer flags; None where none was given."""
    uri, digest = job.settings.human_labels, job.request.spec.digest
    if not uri:
        return None
    thresholds = job.measuring.thresholds
    labelled = labels_with_flags(
        uri, ledger, job.store.scores, digest, corpus=job.settings.corpus, thresholds=thresholds
    )
    if not labelled.num_rows:
        results.notes.append(f"--human-labels {uri}: none of its frames is among the scored ones")
    return labelled


def _score(job: AuditJob, input: str, store: Store, **changes: Any) -> ScoringResult:
    """Scores ``input`` into a store of its own, apart from the corpus's; prints its progress and no tables."""
    asked = scoring_settings(job.settings, input, store.root, include=VIDEO_PATTERNS, exclude=(), **changes)
    return score_corpus(asked, job.checkpoint, Console(quiet=True))
