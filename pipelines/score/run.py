"""One scoring run, whole: list, plan, score on Ray, settle, commit, tell."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.cli.job import EXIT_OK, EXIT_TOO_MANY_FAILED, failures_exit_code
from artifactscan.corpus.listing import list_corpus
from artifactscan.errors import UsageError
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import BUILTIN, Checkpoint, load_checkpoint
from artifactscan.pipelines.ray_cluster.submission import check_paths, tell_job, telling_of_a_bad_end
from artifactscan.pipelines.score.request import Job, make_request
from artifactscan.pipelines.score.rounds import check_cluster, score_open_videos, start_ray_for
from artifactscan.schemas import MANIFEST
from artifactscan.scoring.cost import estimate
from artifactscan.scoring.plan import Plan, load_settled, make_plan, without_frames
from artifactscan.scoring.rates import last_device
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.settle import Settlement, settle
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.scoring.summary import print_plan, print_run
from artifactscan.storage import failures
from artifactscan.storage.failures import as_cut_off_errors
from artifactscan.storage.lease import Lease
from artifactscan.store.layout import RunRecord, Store, manifest_schema, new_run_id
from artifactscan.store.versions import versions

_VERDICTS = {EXIT_OK: "all well", EXIT_TOO_MANY_FAILED: "too many videos without a frame scored"}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What became of a corpus."""

    code: int
    """The job's exit code."""
    plan: Plan
    """The listing set against what was settled before, less what a run that was cut off had still open."""
    runs: tuple[RunRecord, ...] = ()
    """The runs that were carried out: the one that was cut off, the one for what is new, or neither."""


def score(settings: ScoreSettings) -> int:
    """Scores a corpus into a store and returns the job's exit code.

    UsageError, LedgerError and CutOffError go to the caller.
    """
    out = console()
    with telling_of_a_bad_end(cut_off="cut off" if settings.plan else "cut off: the same command continues it"):
        job = _asked_for(settings, out)
        with as_usage_errors():
            if settings.plan:
                return _show_plan(job)
            check_cluster(settings.input, settings.output, shared_filesystem=settings.shared_filesystem)
            tell_job(store=job.store.root, verdict="under way")
            scored = _score(job)
    last = scored.runs[-1].run if scored.runs else "nothing to do"
    if trouble := tell_job(run=last, store=job.store.root, verdict=f"{scored.code} {_VERDICTS[scored.code]}"):
        out.print(Text(trouble, style="yellow"), soft_wrap=True)
    return scored.code


def _asked_for(settings: ScoreSettings, out: Console) -> Job:
    """What ``settings`` ask for; UsageError where they cannot be meant so."""
    check_paths(settings, "input", "output")
    if storage.normalise(settings.input) == storage.normalise(settings.output):
        raise UsageError(f"--input and --output are both {settings.input}; give the store a place of its own")
    if settings.price_per_hour and not settings.plan:
        raise UsageError("--price-per-hour goes with --plan, without which the job would score; give both, or neither")
    checkpoint = load_checkpoint(settings.checkpoint)
    tell_standing(settings.checkpoint, checkpoint, out)
    return _job(settings, checkpoint, out)


def score_corpus(settings: ScoreSettings, checkpoint: Checkpoint, out: Console) -> Scored:
    """The same as a part of another job, which has loaded the checkpoint, and to which an OSError goes as well."""
    return _score(_job(settings, checkpoint, out))


def tell_standing(name: str, checkpoint: Checkpoint, out: Console) -> None:
    """Says how far the scores of a checkpoint are to be trusted."""
    if not checkpoint.card.trained:
        out.print(f"checkpoint {name}: not trained, its scores mean nothing", style="yellow")
    elif standing := checkpoint.card.standing():
        out.print(Text(f"checkpoint {printable(name)}: {standing}"), soft_wrap=True)


def _job(settings: ScoreSettings, checkpoint: Checkpoint, out: Console) -> Job:
    store = Store(storage.normalise(settings.output))
    return Job(settings, store, checkpoint, make_request(settings, checkpoint), out)


def _show_plan(job: Job) -> int:
    run = job.store.unfinished(job.request.digest, job.store.uncommitted())
    with tempfile.TemporaryDirectory(prefix="artifactscan-") as folder:
        plan = _plan(job, Path(folder, "manifest.parquet"))
    prices, device = job.settings.price_per_hour, job.settings.device
    if device == "auto":  # the second price is that of a GPU
        device = "cuda" if len(prices) == 2 else last_device(job.earlier) or "cpu"
    cost = estimate(plan.expected_frames, job.rates(device), node_cpus=job.settings.node_cpus, prices=prices)
    print_plan(plan, job.out, cost)
    if run:
        job.out.print(f"run {run} of the same command was cut off and would be continued")
    return EXIT_OK


def _score(job: Job) -> Scored:
    """Finishes the run that was cut off, if there is one, and then does what is new."""
    storage.check_writable(job.store.root)
    runs: list[RunRecord] = []
    with Lease(job.store.lease) as lease, tempfile.TemporaryDirectory(prefix="artifactscan-") as folder:
        uncommitted = job.store.uncommitted()
        job.store.discard_tables(uncommitted)
        if continued := job.store.unfinished(job.request.digest, uncommitted):
            job.out.print(f"continuing run {continued}, which was cut off")
            runs.append(_carry_out(job, continued, Stopwatch(), lease))
        watch, manifest = Stopwatch(), Path(folder, "manifest.parquet")
        with watch.stage("plan"):
            plan = _plan(job, manifest)
        # What the continued run could not read would not be read a moment later either.
        again = plan.again and job.settings.retry_failed
        if plan.new or plan.changed or plan.removed or again or not (runs or plan.nothing_new):
            print_plan(plan, job.out)
            if plan.to_do:
                _check_weights(job)
                start_ray_for(job, watch, plan.expected_frames)  # what is wrong with the cluster shows before a run is
            run = new_run_id()
            storage.write_bytes(job.store.manifest(run), manifest.read_bytes())
            runs.append(_carry_out(job, run, watch, lease, plan))
        elif not runs:
            job.out.print(f"nothing to do: all {plan.listed:,} videos are settled by earlier runs in {job.store.root}")
    if runs:
        failed, listed = runs[-1].counts["without_frames"], runs[-1].counts["listed"]
    else:
        failed, listed = without_frames(plan.settled_outcomes), plan.listed
    return Scored(code=failures_exit_code(failed, listed, job.settings.max_failed), plan=plan, runs=tuple(runs))


def _check_weights(job: Job) -> None:
    """UsageError where the checkpoint's weights do not fit its backbone, before anything is begun."""
    ours = versions()

    def proves_it(run: RunRecord) -> bool:
        same = all(run.versions.get(name) == ours[name] for name in ("timm", "torch"))
        return same and run.checkpoint["digest"] == job.checkpoint.digest and run.counts["frames"] > 0

    # torch and timm take five seconds to import, in which no actor has been started yet.
    if job.settings.checkpoint == BUILTIN or any(map(proves_it, job.earlier)):
        return
    from artifactscan.model.backbone import check_weights

    check_weights(job.checkpoint)


def _carry_out(job: Job, run: str, watch: Stopwatch, lease: Lease, plan: Plan | None = None) -> RunRecord:
    """Scores what is open in a run that has a manifest, settles it, commits it, and tells; ``plan``: of a new run."""
    settings, store, checkpoint = job.settings, job.store, job.checkpoint
    started = datetime.now(UTC)
    tell_job(run=run)  # whoever finds it cut off wants to know
    with as_cut_off_errors():
        notes = score_open_videos(job, run, watch, plan)
        lease.check()
        with watch.stage("settle"):
            settlement = settle(store, run, thresholds=checkpoint.card.thresholds, sample_fps=settings.sample_fps)
        record = _record(job, run, settlement, notes, watch, started)
        lease.check()
        store.commit(record)
    print_run(store, record, checkpoint.card.thresholds, job.out)
    if not checkpoint.card.trained:
        job.out.print("these scores come from an untrained checkpoint and mean nothing", style="yellow")
    return record


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """Before any work a storage that refuses is the configuration's fault."""
    try:
        yield
    except BrokenPipeError:  # of who reads the output, not of a storage
        raise
    except OSError as error:
        raise UsageError(failures.in_words(error)) from error


def _plan(job: Job, manifest: Path) -> Plan:
    settings, request = job.settings, job.request
    settled = load_settled(
        job.store,
        job.store.committed(),
        spec=request.spec.digest,
        scope=request.scope,
        limits=request.limits,
        retry_failed=settings.retry_failed,
    )
    return make_plan(
        list_corpus(settings.input, settings.listing()),
        settled,
        manifest,
        manifest_schema(MANIFEST, request.digest),
        sample_fps=settings.sample_fps,
    )


def _record(
    job: Job, run: str, settlement: Settlement, notes: set[str], watch: Stopwatch, started: datetime
) -> RunRecord:
    request, checkpoint = job.request, job.checkpoint
    told = sorted(notes)
    if not checkpoint.card.trained:
        told.append("the checkpoint is not trained: the scores mean nothing")
    if settlement.damaged_parts:
        told.append(f"{settlement.damaged_parts} parts were cut off while being written; their videos were done again")
    return RunRecord(
        run=run,
        spec_digest=request.spec.digest,
        scope_digest=request.scope,
        limits_digest=request.limits,
        spec=asdict(request.spec),
        settings=asdict(job.settings),
        checkpoint={
            "digest": checkpoint.digest,
            "backbone": checkpoint.card.backbone,
            "trained": checkpoint.card.trained,
            "thresholds": dict(checkpoint.card.thresholds),
        },
        versions=versions(),
        precision=settlement.precisions,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=watch.seconds,
        counts={
            "listed": settlement.listed,
            "removed": settlement.removed,
            "without_frames": settlement.without_frames,
            "frames": settlement.frames,
            "events": settlement.events,
        },
        outcomes=settlement.outcomes,
        rates=settlement.rates,
        notes=told,
    )
