"""One call of the scoring job: plans a run, scores its videos on Ray, settles the tables and commits them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.cli.exit_codes import EXIT_OK, EXIT_TOO_MANY_FAILED, failures_exit_code
from artifactscan.corpus.listing import check_input, list_corpus
from artifactscan.corpus.manifest import is_manifest
from artifactscan.corpus.output_place import check_apart
from artifactscan.decode.video import decoders_to_try
from artifactscan.errors import UsageError
from artifactscan.export.target_place import check_free_for_store
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import BUILTIN, Checkpoint, absolute_checkpoint, load_checkpoint, recorded_source
from artifactscan.pipelines.ray_cluster.submission import add_job_metadata, check_paths, record_failure
from artifactscan.pipelines.score.executor import Executor, prepare_executor
from artifactscan.pipelines.score.request import Request, ScoringJob, make_job, note_on_decoders, note_on_graph
from artifactscan.pipelines.score.rounds import score_open_videos
from artifactscan.schemas import MANIFEST
from artifactscan.scoring.cost_estimate import estimate
from artifactscan.scoring.flags import flag_anew
from artifactscan.scoring.frame_costs import last_device
from artifactscan.scoring.plan import Plan, assumed_frames_per_byte, load_settled_videos, make_plan, without_frames
from artifactscan.scoring.settings import ScoreSettings, SharedScoringSettings
from artifactscan.scoring.settle import RunTotals, ScoredBy, settle
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.scoring.summary import print_plan, print_run
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage import storage_errors
from artifactscan.storage.lease import Lease
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.layout import manifest_schema, new_run_id
from artifactscan.store.run_records import RunRecord
from artifactscan.store.versions import versions
from artifactscan.telemetry.finished_span import outcome_attributes
from artifactscan.telemetry.tracing import span, tracing, tracing_note

_VERDICTS = {EXIT_OK: "all well", EXIT_TOO_MANY_FAILED: "too many videos without a frame scored"}


@dataclass(frozen=True, kw_only=True)
class ScoringResult:
    """What one call of the job did."""

    code: int
    """The job's exit code."""
    request: Request
    """What the runs are found by: its spec may be under the digest that an earlier version gave it."""
    plan: Plan
    """Made after the run that was cut off, if there was one, had been finished."""
    runs: tuple[RunRecord, ...] = ()
    """The runs that were committed: the one that was cut off, the one for what is new, or none."""


def score(settings: ScoreSettings) -> int:
    """Scores a corpus into a store and returns the job's exit code.

    UsageError, LedgerError and CutOffError go to the caller.
    """
    out = console()
    with record_failure(cut_off="cut off" if settings.plan else "cut off: the same command continues it"):
        _check_settings(settings)
        check_apart(settings.output, settings.input)
        with as_usage_errors():
            check_free_for_store(storage.normalise(settings.output))
        settings = pin_revisions(settings, "checkpoint", out=out)
        checkpoint = load_checkpoint(settings.checkpoint)
        print_checkpoint_quality(settings.checkpoint, checkpoint, out)
        job = make_job(settings, checkpoint, out)
        for note in filter(None, _standing_notes(job)):
            out.print(Text(note, style="yellow"), soft_wrap=True)
        with as_usage_errors():
            if settings.plan:
                return _show_plan(job)
            check_cluster(settings, settings.input, settings.output)
            add_job_metadata(store=job.store.root, verdict="under way")
            result = _score(job)
    last = result.runs[-1].run if result.runs else "nothing to do"
    if problem := add_job_metadata(run=last, store=job.store.root, verdict=f"{result.code} {_VERDICTS[result.code]}"):
        out.print(Text(problem, style="yellow"), soft_wrap=True)
    return result.code


def score_corpus(settings: ScoreSettings, checkpoint: Checkpoint, out: Console) -> ScoringResult:
    """Scores a corpus as a part of another job, which has loaded the checkpoint; OSError goes to the caller too."""
    _check_settings(settings)
    return _score(make_job(settings, checkpoint, out))


def _check_settings(settings: ScoreSettings) -> None:
    """UsageError for settings that contradict each other."""
    check_paths(settings, "input", "output")
    if storage.normalise(settings.input) == storage.normalise(settings.output):
        raise UsageError(f"--input and --output are both {settings.input}; give the store a place of its own")
    if settings.executor == "local" and (settings.decode_actors or settings.classify_actors):
        raise UsageError("--executor local has one decoder and one classifier; leave out --decode-actors and the like")
    if settings.price_per_hour and not settings.plan:
        raise UsageError("--price-per-hour goes with --plan, without which the job would score; give both, or neither")


def check_cluster(settings: SharedScoringSettings, corpus: str, store: str) -> None:
    """UsageError, before the plan takes time, where RAY_ADDRESS leads to no cluster, or to one whose nodes would each
    use their own disk. Whether it has enough nodes is checked when there is work for them."""
    if "RAY_ADDRESS" in os.environ and settings.executor != "local":
        from artifactscan.pipelines.ray_cluster import connection, shared_paths

        # A manifest is read by this process only, which reports a missing one better.
        paths = [store] if settings.shared_filesystem or is_manifest(corpus) else [corpus, store]
        resources = connection.connect()
        shared_paths.check_shared_paths(resources, *paths, shared_filesystem=settings.shared_filesystem)


def print_checkpoint_quality(name: str, checkpoint: Checkpoint, out: Console) -> None:
    """Prints how far the scores of a checkpoint can be trusted."""
    if not checkpoint.card.trained:
        out.print(f"checkpoint {name}: not trained, its scores mean nothing", style="yellow")
    elif quality := checkpoint.card.quality():
        out.print(Text(f"checkpoint {printable(name)}: {quality}"), soft_wrap=True)


def _show_plan(job: ScoringJob) -> int:
    """Prints what the job would do, and what it costs; changes nothing."""
    stored = job.store.read_runs()
    job = job.with_runs(stored)
    with temporary_folder() as folder:
        plan = _make_plan(job, Path(folder, "manifest.parquet"))
    if outdated := _runs_by_other_thresholds(job):
        job.out.print(Text(_note_on_thresholds(job, outdated)), soft_wrap=True)
    prices, device = job.settings.price_per_hour, job.device
    if device == "auto":  # the second price is that of a node with a GPU
        device = "cuda" if len(prices) == 2 else last_device(job.earlier) or "cpu"
    cost = estimate(plan.expected_frames, job.frame_costs(device), node_cpus=job.settings.node_cpus, prices=prices)
    print_plan(plan, job.out, cost)
    if run := job.cut_off_run(stored):
        job.out.print(f"run {run} of the same command was cut off and would be continued")
    return EXIT_OK


def _score(job: ScoringJob) -> ScoringResult:
    """Finishes the run that was cut off, if there is one, and then does what is new; all of it is one trace."""
    with tracing(), span("score", store=job.store.root) as facts:
        result = _finish_and_begin(job)
        facts |= {"runs": ", ".join(run.run for run in result.runs), "exit_code": result.code}
        facts["frames"] = sum(run.counts["frames"] for run in result.runs)
        return result


def _finish_and_begin(job: ScoringJob) -> ScoringResult:
    check_input(job.settings.input, job.settings.listing())  # before the store's folder is made
    storage.check_writable(job.store.root)
    runs: list[RunRecord] = []
    with Lease(job.store.lease) as lease, temporary_folder() as folder:
        stored = job.store.read_runs()
        job = job.with_runs(stored)
        job.store.discard_tables(stored.uncommitted)
        job = _flag_anew(job, lease)
        if run := job.cut_off_run(stored):
            job.out.print(f"continuing run {run}, which was cut off")
            frames_per_byte = assumed_frames_per_byte(job.settings.sample_fps)
            runs.append(_do_run(job, run, lease, Stopwatch(), frames_per_byte=frames_per_byte, continued=True))
            job = job.after(runs[0])
        watch, manifest = Stopwatch(), Path(folder, "manifest.parquet")
        with watch.stage("plan"), activity("listing the corpus", job.settings.quiet), span("plan") as facts:
            plan = _make_plan(job, manifest)
            facts |= {"videos": plan.listed, "new": plan.new, "changed": plan.changed, "settled": plan.settled}
        # Videos that the continued run could not read are not tried again in the same call.
        again = plan.again and job.settings.retry_failed
        if plan.new or plan.changed or plan.removed or again or not (runs or plan.nothing_new):
            print_plan(plan, job.out)
            executor = _prepare(job, plan, watch) if plan.to_do else None  # fails before there is a run
            run = new_run_id()
            storage.write_bytes(job.store.manifest(run), manifest.read_bytes())
            runs.append(_do_run(job, run, lease, watch, frames_per_byte=plan.frames_per_byte, executor=executor))
        elif not runs:
            job.out.print(f"nothing to do: all {plan.listed:,} videos are settled by earlier runs in {job.store.root}")
    if runs:
        failed, listed = runs[-1].counts["without_frames"], runs[-1].counts["listed"]
    else:
        failed, listed = without_frames(plan.settled_outcomes), plan.listed
    code = failures_exit_code(failed, listed, job.settings.max_failed)
    return ScoringResult(code=code, request=job.request, plan=plan, runs=tuple(runs))


def _flag_anew(job: ScoringJob, lease: Lease) -> ScoringJob:
    """Computes flags and events of earlier runs of the spec anew where these are by other thresholds."""
    if not (outdated := _runs_by_other_thresholds(job)):
        return job
    job.out.print(Text(_note_on_thresholds(job, outdated)), soft_wrap=True)
    anew = {}
    with as_cut_off_errors():
        for run in outdated:
            lease.check()
            anew[run.run] = flag_anew(job.store, run, job.checkpoint.card.thresholds)
    return replace(job, earlier=tuple(anew.get(run.run, run) for run in job.earlier))


def _runs_by_other_thresholds(job: ScoringJob) -> list[RunRecord]:
    thresholds, spec = dict(job.checkpoint.card.thresholds), job.request.spec.digest
    return [run for run in job.earlier if run.spec_digest == spec and run.flags_by != thresholds]


def _note_on_thresholds(job: ScoringJob, outdated: Sequence[RunRecord]) -> str:
    before, now = outdated[-1].flags_by or {}, job.checkpoint.card.thresholds
    changes = ", ".join(
        f"{label} {before.get(label, 0):g} to {now[label]:g}" for label in now if before.get(label) != now[label]
    )
    frames = sum(run.counts.get("frames", 0) for run in outdated)
    return (
        f"the checkpoint's thresholds changed ({changes or 'while they were applied'}): flags and events of "
        f"{frames:,} scored frames are computed anew, without decoding"
    )


def _prepare(job: ScoringJob, plan: Plan, watch: Stopwatch) -> Executor:
    """Checks the weights and prepares where to run; UsageError where one of them does not fit the job."""
    _check_weights(job)
    with watch.stage("start"):
        return prepare_executor(job, frames=plan.expected_frames, local_uri=plan.local_uri)


def _check_weights(job: ScoringJob) -> None:
    """UsageError where the checkpoint's weights do not fit its backbone, before any actor loads them.

    Skipped for weights that an earlier run scored with: it imports torch and timm, which takes five seconds.
    """
    ours = versions()

    def used_them(run: RunRecord) -> bool:
        same = all(run.versions.get(name) == ours[name] for name in ("timm", "torch"))
        return same and run.checkpoint["digest"] == job.checkpoint.digest and run.counts["frames"] > 0

    if job.settings.checkpoint == BUILTIN or job.request.spec.backend or any(map(used_them, job.earlier)):
        return
    with activity("checking the checkpoint's weights", job.settings.quiet):
        from artifactscan.model.backbone import check_weights

        check_weights(job.checkpoint)


def _do_run(
    job: ScoringJob,
    run: str,
    lease: Lease,
    watch: Stopwatch,
    *,
    frames_per_byte: float,
    executor: Executor | None = None,
    continued: bool = False,
) -> RunRecord:
    """Scores what is open in a run that has a manifest, settles, commits and prints it."""
    store, checkpoint, started = job.store, job.checkpoint, datetime.now(UTC)
    add_job_metadata(run=run)
    with as_cut_off_errors():
        attempts, notes = score_open_videos(
            job, run, watch, frames_per_byte=frames_per_byte, executor=executor, continued=continued
        )
        lease.check()
        with (
            watch.stage("settle"),
            activity("writing the tables", job.settings.quiet),
            span("settle", run=run) as facts,
        ):
            totals = settle(store, run, attempts, _scored_by(job))
            facts |= {"videos": totals.listed, "frames": totals.frames, "events": totals.events}
            facts |= outcome_attributes(totals.outcomes)
        lease.check()
        notes.update(lease.notes, filter(None, [tracing_note()]))
        record = _make_record(job, run, totals, notes, watch, started)
        store.commit(record)
    print_run(store, record, checkpoint.card.thresholds, job.out, unproven=checkpoint.card.unproven())
    if not checkpoint.card.trained:
        job.out.print("these scores come from an untrained checkpoint and mean nothing", style="yellow")
    return record


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """Raises UsageError for an OSError: before any work has begun, a storage that refuses is misconfigured."""
    try:
        yield
    except BrokenPipeError:  # from stdout, not from a storage
        raise
    except OSError as error:
        raise UsageError(storage_errors.describe(error)) from error


def _make_plan(job: ScoringJob, manifest: Path) -> Plan:
    """Compares the listing with the earlier runs and writes ``manifest``, a local file."""
    settings, request = job.settings, job.request
    settled = load_settled_videos(
        job.store,
        job.earlier,
        spec=request.spec.digest,
        scope=request.scope,
        limits=request.limits,
        retry_failed=settings.retry_failed,
        both_decoders="decord" in decoders_to_try(settings.decoder)[1:],
    )
    return make_plan(
        list_corpus(settings.input, settings.listing()),
        settled,
        manifest,
        manifest_schema(MANIFEST, request.digest),
        sample_fps=settings.sample_fps,
    )


def _note_on_rate(job: ScoringJob) -> str | None:
    """That the checkpoint's neighbours were sampled at another rate when it was fitted."""
    probe, sample_fps = job.checkpoint.card.probe, job.settings.sample_fps
    if probe is None or not probe.context_frames or probe.sample_fps == sample_fps:
        return None
    return (
        f"the checkpoint was fitted to neighbouring frames at {probe.sample_fps:g} per second, and these are at "
        f"{sample_fps:g}: its thresholds and figures do not hold for these scores"
    )


def _standing_notes(job: ScoringJob) -> tuple[str | None, ...]:
    """Sentences on what the settings mean here, printed and recorded."""
    settings = job.settings
    return _note_on_rate(job), note_on_decoders(settings), note_on_graph(settings, job.request.spec)


def _scored_by(job: ScoringJob) -> ScoredBy:
    return ScoredBy(
        spec=job.request.spec.digest,
        checkpoint=job.checkpoint.name,
        thresholds=job.checkpoint.card.thresholds,
        sample_fps=job.settings.sample_fps,
    )


def _make_record(
    job: ScoringJob, run: str, totals: RunTotals, notes: set[str], watch: Stopwatch, started: datetime
) -> RunRecord:
    request, checkpoint = job.request, job.checkpoint
    all_notes = sorted(notes)
    if not checkpoint.card.trained:
        all_notes.append("the checkpoint is not trained: the scores mean nothing")
    for note in filter(None, _standing_notes(job)):
        all_notes.append(note)
    if totals.damaged_parts:
        all_notes.append(f"{totals.damaged_parts} parts were cut off while being written; their videos were done again")
    return RunRecord(
        run=run,
        spec_digest=request.spec.digest,
        scope_digest=request.scope,
        limits_digest=request.limits,
        spec=asdict(request.spec),
        settings={**asdict(job.settings), "checkpoint": absolute_checkpoint(job.settings.checkpoint)},
        checkpoint={
            "digest": checkpoint.digest,
            "backbone": checkpoint.card.backbone,
            "trained": checkpoint.card.trained,
            "thresholds": dict(checkpoint.card.thresholds),
            "unproven": list(checkpoint.card.unproven()),
            **recorded_source(job.settings.checkpoint),
        },
        versions=versions(),
        precision=totals.precisions,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=watch.seconds,
        counts={
            "listed": totals.listed,
            "removed": totals.removed,
            "without_frames": totals.without_frames,
            "frames": totals.frames,
            "events": totals.events,
        },
        outcomes=totals.outcomes,
        rates=totals.rates,
        notes=all_notes,
    )
