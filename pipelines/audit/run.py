"""One night, whole: canaries, what is new, what failed before, figures, verdict, page, commit, notice."""

import os
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
from artifactscan.audit.measure import Basis, Figures, baseline_nights
from artifactscan.audit.video_groups import check_matches, load_grouping
from artifactscan.audit.night import Night
from artifactscan.audit.notify import check_webhook, notify
from artifactscan.audit.pictures import draw, worst
from artifactscan.audit.policy import Policy, load_policy
from artifactscan.audit.policy import as_record as policy_record
from artifactscan.audit.print_verdict import print_night
from artifactscan.audit.write_pages import assemble, point_to, write_pages
from artifactscan.audit.night_tables import PICTURES, SAMPLING
from artifactscan.audit.settings import SECRETS, AuditSettings
from artifactscan.audit.verdict import judge, moved, remarks
from artifactscan.corpus.listing import list_corpus
from artifactscan.errors import UsageError
from artifactscan.messages.console import console
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.pipelines.audit.stages import Audit, Findings, measure_corpus, scoring_settings, watch_canaries
from artifactscan.pipelines.ray_cluster.submission import check_paths, tell_job, telling_of_a_bad_end
from artifactscan.pipelines.score.request import make_request
from artifactscan.pipelines.score.rounds import check_cluster
from artifactscan.pipelines.score.run import as_usage_errors, tell_standing
from artifactscan.scoring.events import EventSettings
from artifactscan.storage.failures import as_cut_off_errors
from artifactscan.storage.lease import Lease
from artifactscan.store.versions import versions

WEBHOOK_VARIABLE = "ARTIFACTSCAN_WEBHOOK"
_PLACES = ("metadata", "human_labels", "policy")
"""Settings that name files."""


def audit(settings: AuditSettings) -> int:
    """Audits a corpus and returns the job's exit code; UsageError, LedgerError and CutOffError go to the caller."""
    out = console(stderr=True)  # progress; the verdict is the first line of stdout
    with telling_of_a_bad_end(cut_off="cut off: the next audit takes it up"), as_usage_errors():
        check_paths(settings, "corpus", "store", *_PLACES)
        if webhook := settings.webhook or os.environ.get(WEBHOOK_VARIABLE):
            check_webhook(webhook)
        check_cluster(settings.corpus, settings.store, shared_filesystem=settings.shared_filesystem)
        store = AuditStore(storage.normalise(settings.store))
        store.check(settings.corpus)
        storage.check_writable(store.root)
        with Lease(store.lease) as lease:
            begun = _begin(settings, store, out)
            tell_job(run=begun.night, store=store.root, verdict="under way")
            with as_cut_off_errors():
                night, page = _spend_night(begun, lease)
    print_night(night, store.table(night, "sampling", SAMPLING), page, console())
    verdict = f"{night.verdict.code} {night.verdict.headline}"
    if trouble := tell_job(run=night.night, store=store.root, verdict=verdict):
        out.print(Text(trouble, style="yellow"), soft_wrap=True)
    if webhook and (failure := notify(webhook, night, page=page)):
        out.print(Text(failure, style="yellow"), soft_wrap=True)
    return night.verdict.code


def _begin(settings: AuditSettings, store: AuditStore, out: Console) -> Audit:
    """Reads what the night goes by; UsageError where it cannot follow the nights before."""
    policy, grouping = load_policy(settings.policy), load_grouping(settings.groups, settings.metadata)
    if settings.human_labels:
        read_labels(settings.human_labels, rule="majority")
    check_matches(grouping, settings.corpus, list_corpus(settings.corpus, settings.listing()))
    checkpoint = load_checkpoint(settings.checkpoint)
    tell_standing(settings.checkpoint, checkpoint, out)
    nights = store.nights()
    store.discard_uncommitted(nights)
    night = new_night_id(nights)
    request = make_request(scoring_settings(settings, settings.corpus, store.scores.root), checkpoint)
    spec, last = asdict(request.spec), nights[-1] if nights else None
    scorer = night
    if last is not None and not settings.accept_scorer:
        _check_same_spec(last, spec, request.spec.digest)
        scorer = last.scorer
    # Thresholds that a report has set hold on for the same weights.
    same = last is not None and last.checkpoint["digest"] == checkpoint.digest
    baseline = [] if settings.accept_corpus else _baseline(nights, policy, scorer, settings.baseline)
    if (clips := canaries.count(store.canary)) not in (None, settings.canary_clips):
        out.print(f"the store has {clips} canary clips, not {settings.canary_clips}, and keeps them", style="yellow")
    return Audit(
        settings=settings,
        store=store,
        night=night,
        started=datetime.now(UTC),
        nights=tuple(nights),
        scorer=scorer,
        baseline=tuple(baseline),
        policy=policy,
        checkpoint=checkpoint,
        request=request,
        basis=Basis(
            store=store,
            corpus=settings.corpus,
            spec=spec,
            grouping=grouping,
            thresholds=last.thresholds if last is not None and same else dict(checkpoint.card.thresholds),
            events=EventSettings(**last.events) if last is not None and same else EventSettings(),
            policy=policy,
            resample_share=settings.resample_share,
        ),
        out=out,
    )


def _check_same_spec(last: Night, spec: Mapping[str, Any], spec_digest: str) -> None:
    if last.spec_digest == spec_digest:
        return
    differing = [name for name in spec if str(last.spec.get(name)) != str(spec[name]) and name != "input"]
    told = ", ".join(f"{name} {spec[name]} instead of {last.spec.get(name)}" for name in differing) or "another input"
    raise UsageError(
        f"the nights of this store were scored by another spec ({told}); audit with that again, give another --store, "
        "or --accept-scorer, which scores the whole corpus anew and compares with no night before"
    )


def _baseline(nights: list[Night], policy: Policy, scorer: str, named: str | None) -> list[Night]:
    found = baseline_nights(nights, policy, scorer, named)
    if named and not found:
        known = ", ".join(night.night for night in nights[-3:]) or "none yet"
        raise UsageError(f"--baseline {named} is no night or run of this store; its latest nights are {known}")
    if named and found[0].scorer != scorer:
        raise UsageError(f"--baseline {named} was scored by another scorer; name a night from {scorer} on")
    return found


def _spend_night(job: Audit, lease: Lease) -> tuple[Night, str]:
    """Does the work of a night and commits it; returns its record and where its page lies.

    The canaries go first: a scorer that moved scores nothing of the corpus, so that no scores of two are mixed.
    """
    found = Findings(canaries=watch_canaries(job))
    if moved(found.canaries, job.policy):
        found.notes.append("the corpus was not scored by a scorer that moved; its new videos wait for the next night")
        measured = Figures.empty()
    else:
        measured = measure_corpus(job, found)
    lease.check()
    drawn = PICTURES.empty_table()
    worst_videos = worst(measured.arrivals, job.settings.worst_videos)
    if worst_videos.num_rows:
        job.out.print(f"drawing the {worst_videos.num_rows} worst videos")
        drawn, notes = draw(worst_videos, job.settings, job.checkpoint)
        found.notes += notes
        if any(map(storage.is_s3, worst_videos["uri"].to_pylist())) and storage.signs_for_a_session():
            found.notes.append("the links to videos are signed with temporary credentials and end when those do")
    tables = job.store.write_tables(job.night, {**measured.by_name(), "canaries": found.canaries, "pictures": drawn})
    night = _record(job, found, measured, tables)
    page = write_pages(job.store, assemble(job.store, night, job.nights))
    lease.check()
    job.store.commit(night)
    point_to(job.store, night)
    return night, page


def _record(job: Audit, found: Findings, measured: Figures, tables: str) -> Night:
    card, settings = job.checkpoint.card, job.settings
    baseline = [night.night for night in job.baseline]
    arrived = measured.arrivals.num_rows > 0
    said = remarks(policy=job.policy, cells=measured.cells, baseline=baseline) if arrived else ()
    kept = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name not in SECRETS}
    for name in _PLACES:  # for a report written anew, elsewhere
        kept[name] = storage.normalise(kept[name]) if kept[name] else None
    if settings.accept_corpus and not any(found.outcomes.get(outcome) for outcome in HAS_FRAMES):
        kept["accept_corpus"] = False
        found.notes.append("--accept-corpus had no effect, as no video was scored tonight; give it when some are")
    return Night(
        night=job.night,
        corpus=storage.normalise(settings.corpus),
        started=job.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        scorer=job.scorer,
        spec_digest=job.request.spec.digest,
        spec=dict(job.basis.spec),
        checkpoint={
            "digest": job.checkpoint.digest,
            "backbone": card.backbone,
            "trained": card.trained,
            "standing": card.standing(),
        },
        versions=versions(),
        tables=tables,
        runs=found.runs,
        counts=found.counts,
        outcomes=found.outcomes,
        standing_outcomes=found.standing_outcomes,
        standing_rates=found.standing_rates,
        baseline=tuple(baseline),
        thresholds=dict(job.basis.thresholds),
        events=asdict(job.basis.events),
        policy=policy_record(job.policy),
        verdict=judge(
            policy=job.policy,
            cells=measured.cells,
            arrivals=measured.arrivals,
            canaries=found.canaries,
            baseline=baseline,
        ),
        notes=tuple(found.notes),
        remarks=said,
        settings=kept,
    )
