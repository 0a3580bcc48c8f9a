"""One scoring run, whole: list, plan, score on Ray, settle, commit, tell."""

import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from artifactscan import storage
from artifactscan.checkpoint import Checkpoint, load_checkpoint
from artifactscan.corpus import list_corpus
from artifactscan.errors import LedgerError
from artifactscan.planning import Plan, load_settled, make_plan, without_frames
from artifactscan.settings import ScoreSettings, as_record
from artifactscan.settle import Settlement, remaining_work, settle
from artifactscan.spec import Spec, digest
from artifactscan.store import RunRecord, Store, manifest_schema, new_run_id
from artifactscan.summary import console, print_plan, print_run
from artifactscan.tables import MANIFEST

EXIT_OK, EXIT_TOO_MANY_FAILED, EXIT_USAGE, EXIT_LEDGER = 0, 1, 2, 3

ROUNDS = 3
"""Times the graph is run over what is still open before the ledger is said not to close."""

_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av", "decord", "pyarrow", "numpy")


@dataclass(frozen=True)
class Request:
    """What was asked, as digests: by these runs are found again, continued and reused."""

    spec: Spec
    scope: str
    limits: str

    @property
    def digest(self) -> str:
        return digest([self.spec.digest, self.scope, self.limits])


@dataclass
class Stopwatch:
    """Wall-clock seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str):
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)


def score(settings: ScoreSettings) -> int:
    """Scores a corpus into a store and returns the job's exit code; UsageError and LedgerError go to the caller."""
    out, watch, started = console(), Stopwatch(), datetime.now(UTC)
    store = Store(storage.normalise(settings.output))
    checkpoint = load_checkpoint(settings.checkpoint)
    request = make_request(settings, checkpoint)
    if not checkpoint.card.trained:
        out.print(f"checkpoint {settings.checkpoint}: not trained, its scores mean nothing", style="yellow")
    if not settings.plan:
        storage.check_writable(store.root)
    run = store.unfinished(request.digest)
    if run and not settings.plan:
        out.print(f"continuing run {run}, which was cut off")
    else:
        with tempfile.TemporaryDirectory(prefix="artifactscan-") as folder:
            manifest = Path(folder, "manifest.parquet")
            with watch.stage("plan"):
                plan = _plan(settings, store, request, manifest)
            if settings.plan:
                print_plan(plan, out)
                if run:
                    out.print(f"run {run} of the same command was cut off and would be continued")
                return EXIT_OK
            if plan.nothing_new:
                out.print(f"nothing to do: all {plan.listed:,} videos are settled by earlier runs in {store.root}")
                return _exit_code(without_frames(plan.settled_outcomes), plan.listed, settings.max_failed)
            print_plan(plan, out)
            if plan.to_do:
                from artifactscan.backbone import check_weights  # torch takes seconds to import

                check_weights(checkpoint)
            run = new_run_id()
            storage.write_bytes(store.manifest(run), manifest.read_bytes())
    notes = _score_open_videos(settings, store, run, checkpoint, watch)
    with watch.stage("settle"):
        settlement = settle(store, run, thresholds=checkpoint.card.thresholds, sample_fps=settings.sample_fps)
    record = _record(settings, request, run, checkpoint, settlement, notes, watch, started)
    store.commit(record)
    print_run(store, record, checkpoint.card.thresholds, out)
    if not checkpoint.card.trained:
        out.print("these scores come from an untrained checkpoint and mean nothing", style="yellow")
    return _exit_code(settlement.without_frames, settlement.listed, settings.max_failed)


def make_request(settings: ScoreSettings, checkpoint: Checkpoint) -> Request:
    spec = Spec(sample_fps=settings.sample_fps, input=checkpoint.card.input, checkpoint_digest=checkpoint.digest)
    scope = digest([storage.normalise(settings.input), asdict(settings.listing())])
    return Request(spec=spec, scope=scope, limits=digest([settings.decoder, asdict(settings.limits())]))


def _plan(settings: ScoreSettings, store: Store, request: Request, manifest: Path) -> Plan:
    settled = load_settled(
        store,
        store.committed(),
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


def _score_open_videos(
    settings: ScoreSettings, store: Store, run: str, checkpoint: Checkpoint, watch: Stopwatch
) -> set[str]:
    """Runs the graph over what has no complete attempt yet; returns what happened otherwise than asked, in words.

    Ray is not even started where nothing is open.
    """
    notes: set[str] = set()
    for _ in range(ROUNDS):
        work = remaining_work(store, run)
        if not work.num_rows:
            return notes
        from pipelines import cluster, graph, progress  # Ray takes seconds to import and to start

        with watch.stage("start"):
            resources = cluster.connect()
            tally = progress.TallyActor.remote()
            pools = graph.size_pools(
                resources,
                use_gpu=settings.device == "cuda" or (settings.device == "auto" and resources.gpus > 0),
                decode_actors=settings.decode_actors,
                classify_actors=settings.classify_actors,
            )
        with watch.stage("score"), progress.Progress(tally, total=work.num_rows, quiet=settings.quiet):
            graph.run_graph(
                work,
                store.parts(run),
                pools=pools,
                decoding=settings.decoding(checkpoint.card.input),
                classifying=settings.classifying(),
                checkpoint=checkpoint,
                tally=tally,
            )
        notes |= progress.read(tally).notes
    if left := remaining_work(store, run).num_rows:
        raise LedgerError(
            f"{left} videos of run {run} still have no outcome after {ROUNDS} rounds; give the same command again"
        )
    return notes


def _record(
    settings: ScoreSettings,
    request: Request,
    run: str,
    checkpoint: Checkpoint,
    settlement: Settlement,
    notes: set[str],
    watch: Stopwatch,
    started: datetime,
) -> RunRecord:
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
        settings=as_record(settings),
        checkpoint={
            "digest": checkpoint.digest,
            "backbone": checkpoint.card.backbone,
            "trained": checkpoint.card.trained,
            "thresholds": dict(checkpoint.card.thresholds),
        },
        versions={"python": python_version()} | {name: _version(name) for name in _PACKAGES},
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
        notes=told,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _exit_code(failed: int, listed: int, max_failed: float) -> int:
    if failed > max_failed * listed:
        print(
            f"{failed:,} of {listed:,} videos have no frame scored, more than --max-failed {max_failed:g} allows",
            file=sys.stderr,
        )
        return EXIT_TOO_MANY_FAILED
    return EXIT_OK
