"""The stages of a night that score: canaries, what is new, what failed before, a share at double the rate."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
from rich.console import Console

from artifactscan import storage
from artifactscan.audit import canaries, sampling_check
from artifactscan.audit.arrivals import regroup, statuses, unclaimed
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.corpus_state import due, outcomes, quarantined, rates, standing, tried
from artifactscan.audit.measure import Basis, Figures, figures, gather_night
from artifactscan.audit.video_groups import without_group, without_splinters
from artifactscan.audit.human_labels import beside_flags
from artifactscan.audit.night import Night
from artifactscan.audit.policy import Policy
from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.audit.settings import AuditSettings
from artifactscan.audit.formatting import counted
from artifactscan.corpus.listing import VIDEO_PATTERNS
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.pipelines.score.request import Request
from artifactscan.pipelines.score.run import Scored, score_corpus
from artifactscan.schemas import LISTING
from artifactscan.scoring.settings import ScoreSettings, ScoringSettings
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store

OTHER_DECODER: dict[str, Literal["auto", "pyav", "decord"]] = {"pyav": "decord", "decord": "pyav", "auto": "auto"}
"""With auto both have failed, pyav within a part of the time: each gets more."""
SLOW_LANE_PATIENCE = 2
"""Times the usual limits on time and memory that a video gets which failed before."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What one call of the job is about."""

    settings: AuditSettings
    store: AuditStore
    night: str
    started: datetime
    nights: tuple[Night, ...]
    """Committed before, oldest first."""
    scorer: str
    """The night whose canary scores are the reference."""
    baseline: tuple[Night, ...]
    policy: Policy
    checkpoint: Checkpoint
    request: Request
    basis: Basis
    out: Console


@dataclass(kw_only=True)
class Findings:
    """What the stages of a night leave for its record."""

    canaries: pa.Table
    runs: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    standing_outcomes: dict[str, int] = field(default_factory=dict)
    standing_rates: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def scoring_settings(settings: AuditSettings, input: str, output: str, **changes: Any) -> ScoreSettings:
    """The audit's settings as those of one scoring; the policy, not --max-failed, says how many may fail."""
    common = {one.name: getattr(settings, one.name) for one in fields(ScoringSettings)}
    return ScoreSettings(input=input, output=output, max_failed=1.0, **{**common, **changes})


def watch_canaries(job: Audit) -> pa.Table:
    """CANARIES: tonight's scores of the clips whose artifacts are known, beside the reference's."""
    root, store = job.store.canary, job.store.canary_scores(job.night)
    job.out.print("scoring the canaries")
    canaries.ensure(root, job.settings.canary_clips)
    _score(job, canaries.clips(root), store)
    return canaries.of_night(job.store, job.night, job.scorer)


def measure_corpus(job: Audit, found: Findings) -> Figures:
    """Scores what is new, what failed before and a share at double the rate, and measures the night."""
    basis, store, settings = job.basis, job.store, job.settings
    job.out.print(f"scoring what is new in {settings.corpus}")
    asked = scoring_settings(settings, settings.corpus, store.scores.root)
    scored = score_corpus(asked, job.checkpoint, job.out)
    committed = [run for run in store.scores.committed() if run.spec_digest == job.request.spec.digest]
    runs = unclaimed(committed, (run for night in job.nights for run in night.runs))
    arrivals, events = gather_night(basis, runs)
    grouping, splinters = without_splinters(
        basis.grouping, arrivals["uri"].combine_chunks(), arrivals["path"].combine_chunks()
    )
    if splinters:
        found.notes += splinters
        basis, arrivals = replace(basis, grouping=grouping), regroup(arrivals, grouping)
    if note := without_group(basis.grouping, arrivals):
        found.notes.append(note)
    if before := len(runs) - len(scored.runs):
        found.notes.append(f"{counted(before, 'scoring run')} of an audit that was cut off counted tonight")
    in_scope = [run for run in committed if run.scope_digest == job.request.scope]
    listed = standing(store.scores, committed, in_scope[-1] if in_scope else None)
    found.runs = tuple(run.run for run in runs)
    found.outcomes = outcomes(arrivals)
    found.standing_outcomes = outcomes(listed)
    found.standing_rates = rates(listed, basis.thresholds)
    quarantine = quarantined(listed)
    retried, recovered = _slow_lane(job, quarantine, found)
    statuses_tonight = statuses(store.scores, runs)
    found.counts = {
        "listed": scored.plan.listed,
        "settled": scored.plan.settled,
        **{status: statuses_tonight[status] for status in ("new", "changed", "again", "removed")},
        "arrivals": arrivals.num_rows,
        "quarantined": quarantine.num_rows,
        "retried": retried,
        "recovered": recovered,
    }
    _score_denser(job, arrivals)
    if settings.human_labels:
        labelled = beside_flags(
            settings.human_labels,
            listed,
            store.scores,
            job.request.spec.digest,
            corpus=settings.corpus,
            thresholds=basis.thresholds,
        )
        if not labelled.num_rows:
            found.notes.append(f"--human-labels {settings.human_labels}: none of its frames is among the scored ones")
        basis = replace(basis, labelled=labelled)
    baseline = {
        night.night: regroup(store.table(night, "arrivals", ARRIVALS), basis.grouping)
        for night in (job.baseline if arrivals.num_rows else ())
    }
    return figures(basis, job.night, arrivals, events, baseline)


def _slow_lane(job: Audit, quarantine: pa.Table, found: Findings) -> tuple[int, int]:
    """Tries once more, with the other decoder and twice the limits, what failed long enough ago.

    With ``auto``, which has tried both decoders, only the limits are others.

    Returns how many were tried and how many were scored; their scores stay in slow/, as another decoder's colours
    differ by a little, and no verdict counts them.
    """
    settings, store = job.settings, job.store.slow
    waiting = due(quarantine, tried(store), after=timedelta(days=settings.retry_failed_after_days), now=job.started)
    if not waiting.num_rows:
        return 0, 0
    other = OTHER_DECODER[settings.decoder]
    job.out.print(f"trying {counted(waiting.num_rows, 'video')} that failed before, with {other} and twice the limits")
    manifest = storage.join(store.root, "due.parquet")
    write_table(waiting.select(LISTING.names), manifest)
    scored = _score(
        job,
        manifest,
        store,
        decoder=other,
        video_timeout_s=settings.video_timeout_s * SLOW_LANE_PATIENCE,
        child_memory_bytes=settings.child_memory_bytes * SLOW_LANE_PATIENCE,
    )
    recovered = sum(run.outcomes.get(outcome, 0) for run in scored.runs for outcome in HAS_FRAMES)
    found.notes.append(
        f"{waiting.num_rows:,} videos that failed before were tried with {other} and twice the limits; {recovered:,} "
        f"of them have a score now, in {store.root}, and none is tried again until it changes"
    )
    return waiting.num_rows, recovered


def _score_denser(job: Audit, arrivals: pa.Table) -> None:
    """Scores a share of the night's videos at double the rate."""
    store = job.store.resample
    chosen = sampling_check.choose(arrivals, job.settings.resample_share, job.night)
    if not chosen.num_rows:
        return
    rate = job.settings.sample_fps * sampling_check.DOUBLE
    job.out.print(f"scoring {counted(chosen.num_rows, 'video')} again at {rate:g} frames per second")
    manifest = storage.join(store.root, "chosen.parquet")
    write_table(chosen.select(["uri"]), manifest)
    _score(job, manifest, store, sample_fps=rate)


def _score(job: Audit, input: str, store: Store, **changes: Any) -> Scored:
    """One scoring beside the corpus's own; what it says in its own tables need not be said in the job's log."""
    asked = scoring_settings(job.settings, input, store.root, include=VIDEO_PATTERNS, exclude=(), quiet=True, **changes)
    return score_corpus(asked, job.checkpoint, Console(quiet=True))
