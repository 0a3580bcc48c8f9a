"""One night of the audit: canaries, scoring, tables, verdict, page, commit, messages."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.labels_table import read_labels
from artifactscan.audit import canaries
from artifactscan.audit.audit_store import AuditStore, new_night_id
from artifactscan.audit.baseline import baseline_nights, worse_runs
from artifactscan.audit.channels import message_channels, send_messages
from artifactscan.audit.measure_night import MeasureSettings, NightTables
from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ESTIMATES, PICTURES, SAMPLING
from artifactscan.audit.pictures import draw_pictures
from artifactscan.audit.policy import Policy, load_policy
from artifactscan.audit.policy import as_record as policy_record
from artifactscan.audit.print_verdict import print_night
from artifactscan.audit.settings import SECRETS, AuditSettings
from artifactscan.audit.tracked_nights import tracked_nights
from artifactscan.audit.verdict import broken_rules, judge_night, remarks, scorer_moved
from artifactscan.audit.video_groups import check_matches, load_grouping
from artifactscan.audit.video_links import page_link
from artifactscan.audit.worst_videos import worst_videos
from artifactscan.audit.write_pages import WrittenPages, write_latest, write_pages
from artifactscan.corpus.listing import check_input, list_corpus
from artifactscan.corpus.output_place import check_apart
from artifactscan.errors import UsageError
from artifactscan.export.target_place import check_free_for_store
from artifactscan.labels import LABELS
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console
from artifactscan.model.checkpoint import load_checkpoint, recorded_source
from artifactscan.model.operating_point import aurocs_by_protocol
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.pipelines.audit.stages import (
    AuditJob,
    StageResults,
    score_and_measure,
    score_canaries,
    scoring_settings,
)
from artifactscan.pipelines.ray_cluster.submission import add_job_metadata, check_paths, record_failure
from artifactscan.pipelines.score.request import make_job
from artifactscan.pipelines.score.run import as_usage_errors, check_cluster, print_checkpoint_quality
from artifactscan.scoring.events import EventSettings
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import read_table
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.versions import versions
from artifactscan.telemetry.finished_span import outcome_attributes
from artifactscan.telemetry.mlflow_runs import check_mlflow, log_runs
from artifactscan.telemetry.tracing import span, tracing, tracing_note

_FILES = ("metadata", "human_labels", "policy")
"""Settings that name files."""


def audit(settings: AuditSettings) -> int:
    """Audits a corpus and returns the job's exit code; UsageError, LedgerError and CutOffError go to the caller."""
    out = console(stderr=True)  # the first line of stdout is the verdict
    with record_failure(cut_off="cut off: the next audit takes it up"), as_usage_errors():
        check_paths(settings, "corpus", "store", *_FILES)
        check_mlflow(settings.mlflow)
        channels = message_channels(settings)
        settings = pin_revisions(settings, "checkpoint", "human_labels", out=out)
        check_cluster(settings, settings.corpus, settings.store)
        store = AuditStore(storage.normalise(settings.store))
        store.check(settings.corpus)
        check_apart(settings.store, settings.corpus, output_flag="store", input_flag="corpus")
        check_free_for_store(store.root, flag="--store")
        storage.check_writable(store.root)
        with tracing(), span("audit", store=store.root) as facts, Lease(store.lease) as lease:
            job = _prepare(settings, store, out)
            add_job_metadata(run=job.night, store=store.root, verdict="under way")
            with as_cut_off_errors():
                night, written = _run_night(job, lease)
            facts |= {"night": night.night, "runs": ", ".join(night.runs), "exit_code": night.verdict.code}
            facts |= outcome_attributes(night.outcomes)
    found = store.estimates(night.night)
    estimates = read_table(found) if storage.exists(found) else ESTIMATES.empty_table()
    sampling = store.table(night, "sampling", SAMPLING)
    print_night(written.brief, night, sampling, estimates, written.page, console())
    verdict = f"{night.verdict.code} {night.verdict.headline}"
    if trouble := add_job_metadata(run=night.night, store=store.root, verdict=verdict):
        out.print(Text(trouble, style="yellow"), soft_wrap=True)
    for failure in send_messages(channels, written.brief, page_link(written.page, settings.page_url)):
        out.print(Text(failure, style="yellow"), soft_wrap=True)
    if settings.mlflow:
        source, runs = tracked_nights(store, [*job.nights, night])
        for failure in log_runs(settings.mlflow, source, runs, next_try="the next audit"):
            out.print(Text(failure, style="yellow"), soft_wrap=True)
    return night.verdict.code


def _prepare(settings: AuditSettings, store: AuditStore, out: Console) -> AuditJob:
    """Reads all inputs; UsageError where the night cannot follow the nights before."""
    policy, grouping = load_policy(settings.policy), load_grouping(settings.groups, settings.metadata)
    if settings.human_labels:
        read_labels(settings.human_labels, rule="majority")
    with activity("listing the corpus", settings.quiet):
        check_input(settings.corpus, settings.listing())
        check_matches(grouping, settings.corpus, list_corpus(settings.corpus, settings.listing()))
    scoring = make_job(
        scoring_settings(settings, settings.corpus, store.scores.root), load_checkpoint(settings.checkpoint), out
    ).with_runs(store.scores.read_runs())
    checkpoint, request = scoring.checkpoint, scoring.request
    print_checkpoint_quality(settings.checkpoint, checkpoint, out)
    nights = store.nights()
    store.discard_uncommitted(nights)
    night = new_night_id(nights)
    spec, last = asdict(request.spec), nights[-1] if nights else None
    scorer = night
    if last is not None and not settings.accept_scorer:
        _check_same_spec(last, spec, request.spec.digest)
        scorer = last.scorer
    baseline = [] if settings.accept_corpus else _baseline(nights, policy, scorer, settings.baseline)
    runs = worse_runs(nights, policy, scorer, settings.baseline)
    if (clips := canaries.count_clips(store.canary)) not in (None, settings.canary_clips):
        out.print(f"the store has {clips} canary clips, not {settings.canary_clips}, and keeps them", style="yellow")
    thresholds, events = dict(checkpoint.card.thresholds), EventSettings()
    if last is not None and last.checkpoint["digest"] == checkpoint.digest:
        thresholds, events = last.thresholds, EventSettings(**last.events)  # a report may have changed them
    return AuditJob(
        settings=settings,
        store=store,
        night=night,
        started=datetime.now(UTC),
        nights=tuple(nights),
        scorer=scorer,
        baseline=tuple(baseline),
        worse_runs=() if settings.accept_corpus else tuple(map(tuple, runs)),
        checkpoint=checkpoint,
        request=request,
        grouping=grouping,
        measuring=MeasureSettings(
            store=store,
            spec=spec,
            thresholds=thresholds,
            events=events,
            policy=policy,
            resample_share=settings.resample_share,
        ),
        out=out,
    )


def _check_same_spec(last: Night, spec: Mapping[str, Any], spec_digest: str) -> None:
    if last.spec_digest == spec_digest:
        return
    differing = [name for name in spec if str(last.spec.get(name)) != str(spec[name]) and name != "input"]
    changes = ", ".join(f"{name} {spec[name]} instead of {last.spec.get(name)}" for name in differing)
    raise UsageError(
        f"the nights of this store were scored by another spec ({changes or 'another input'}); audit with that again, "
        "give another --store, or --accept-scorer, which scores the whole corpus anew and compares with no night before"
    )


def _baseline(nights: list[Night], policy: Policy, scorer: str, named: str | None) -> list[Night]:
    found = baseline_nights(nights, policy, scorer, named)
    if named and not found:
        known = ", ".join(night.night for night in nights[-3:]) or "none yet"
        raise UsageError(f"--baseline {named} is no night or run of this store; its latest nights are {known}")
    if named and found[0].scorer != scorer:
        raise UsageError(f"--baseline {named} was scored by another scorer; name a night from {scorer} on")
    return found


def _run_night(job: AuditJob, lease: Lease) -> tuple[Night, WrittenPages]:
    """Scores, judges and commits a night; returns its record and its pages.

    The canaries come first: a scorer that moved does not score the corpus, so that no two scorers' scores mix.
    """
    results = StageResults(canaries=score_canaries(job))
    if note := _note_on_thresholds(job):
        results.notes.append(note)
    if scorer_moved(job.measuring.policy, results.canaries):
        results.notes.append("the corpus was not scored by a scorer that moved; its new videos wait for the next night")
        tables = NightTables.empty()
    else:
        tables = score_and_measure(job, results)
    lease.check()
    pictures = PICTURES.empty_table()
    broken = broken_rules(job.measuring.policy, tables.cells, tables.arrivals, unproven=job.checkpoint.card.unproven())
    worst = worst_videos(tables.arrivals, job.settings.worst_videos, broken.leading_cell)
    if worst.num_rows:
        job.out.print(f"drawing the {worst.num_rows} worst videos")
        with activity("drawing", job.settings.quiet):
            pictures, notes = draw_pictures(worst, job.settings, job.checkpoint)
        results.notes += notes
        remote = filter(storage.is_remote, worst["uri"].to_pylist())
        if any(map(storage.credentials_are_temporary, remote)):
            results.notes.append("the links to videos are signed with temporary credentials and end when those do")
    results.notes += [*lease.notes, *filter(None, [tracing_note()])]
    others = {"canaries": results.canaries, "pictures": pictures, "label_sample": results.label_sample}
    folder = job.store.write_tables(job.night, {**tables.by_name(), **others})
    night = _record(job, results, tables, folder)
    written = write_pages(job.store, night, job.nights)
    lease.check()
    job.store.commit(night)
    write_latest(job.store, night)
    return night, written


def _note_on_thresholds(job: AuditJob) -> str | None:
    """That the checkpoint's thresholds are others than on the night before, while the nights keep theirs."""
    if not job.nights or job.nights[-1].checkpoint["digest"] != job.checkpoint.digest:
        return None
    now, last = job.checkpoint.card.thresholds, job.nights[-1]
    before = last.checkpoint.get("thresholds", last.thresholds)
    if not (changed := [label for label in LABELS if now[label] != before[label]]):
        return None
    changes = ", ".join(f"{label} {before[label]:g} to {now[label]:g}" for label in changed)
    flags = " ".join(f"{label}={now[label]:g}" for label in changed)
    return (
        f"the checkpoint's thresholds changed ({changes}), and this night is measured by those of the nights before; "
        f"`artifactscan report --thresholds {flags}` measures all nights by the new ones, without decoding"
    )


def _record(job: AuditJob, results: StageResults, tables: NightTables, folder: str) -> Night:
    card, settings, policy = job.checkpoint.card, job.settings, job.measuring.policy
    baseline = [night.night for night in job.baseline]
    kept = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in SECRETS}
    for name in _FILES:  # absolute, as a report may be written from another working directory
        kept[name] = storage.absolute(kept[name]) if kept[name] else None
    if settings.accept_corpus and not any(results.outcomes.get(outcome) for outcome in HAS_FRAMES):
        kept["accept_corpus"] = False
        results.notes.append("--accept-corpus had no effect, as no video was scored tonight; give it when some are")
    return Night(
        night=job.night,
        corpus=storage.normalise(settings.corpus),
        started=job.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        scorer=job.scorer,
        spec_digest=job.request.spec.digest,
        spec=dict(job.measuring.spec),
        checkpoint={
            "digest": job.checkpoint.digest,
            "backbone": card.backbone,
            "trained": card.trained,
            "thresholds": dict(card.thresholds),
            "standing": card.quality(),
            "unproven": list(card.unproven()),
            "auroc": aurocs_by_protocol(card.metrics),
            **recorded_source(settings.checkpoint),
        },
        versions=versions(),
        tables=folder,
        runs=results.runs,
        counts=results.counts,
        outcomes=results.outcomes,
        standing_outcomes=results.standing_outcomes,
        standing_rates=results.standing_rates,
        baseline=tuple(baseline),
        thresholds=dict(job.measuring.thresholds),
        events=asdict(job.measuring.events),
        policy=policy_record(policy),
        verdict=judge_night(
            policy=policy,
            cells=tables.cells,
            arrivals=tables.arrivals,
            canaries=results.canaries,
            baseline=baseline,
            unproven=card.unproven(),
        ),
        notes=tuple(results.notes),
        remarks=remarks(policy=policy, cells=tables.cells, baseline=baseline, unproven=card.unproven()),
        settings=kept,
    )
