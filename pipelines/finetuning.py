"""One fine-tuning, whole: gather, decode, measure on frames held out, train on all of them, write the checkpoint.

OUTPUT/<backbone>/checkpoint/                 what jobs/score.py takes; card.json is written last
OUTPUT/<backbone>/<protocol>/                 out-of-fold predictions.parquet and the evaluation of them
OUTPUT/<backbone>/history.parquet, losses.png what each epoch gave
OUTPUT/<backbone>/runs/<request>/<run>/       what is kept of each training, by which a cut-off job goes on
OUTPUT/synthetic/                             the clips that --synthetic drew
OUTPUT/comparison.md                          the backbones side by side, where there are several
OUTPUT/finetune.json                          what was asked and what came of it; written last
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.checkpoint import Checkpoint, save_checkpoint
from artifactscan.cli import EXIT_OK
from artifactscan.errors import UsageError
from artifactscan.evaluation.comparison import Candidate, comparison
from artifactscan.evaluation.evaluate import Evaluation, evaluate
from artifactscan.evaluation.predictions import predictions_table
from artifactscan.evaluation.report import as_record, print_evaluation, write_evaluation
from artifactscan.evaluation.splits import Protocol, Split, SplitSettings, check_split, make_splits
from artifactscan.evaluation.tuning import Tuning, cross_tune, tune
from artifactscan.finetune_settings import FinetuneSettings
from artifactscan.lease import Lease
from artifactscan.spec import digest
from artifactscan.storage_errors import as_cut_off_errors
from artifactscan.store import read_table, write_table
from artifactscan.summary import console
from artifactscan.text import printable
from artifactscan.training.cost import measure_cost
from artifactscan.training.history import history_table, write_history
from artifactscan.training.initial import initial_checkpoint
from artifactscan.training.labelled import Labelled, gather

if TYPE_CHECKING:
    import ray

    from pipelines.graph import Pools
    from pipelines.training import Placement

RECORD_NAME, COMPARISON_NAME, LEASE_NAME = "finetune.json", "comparison.md", "lease.json"
FINAL = "final"
_IN_PASSING = ("quiet", "cache", "decode_actors", "max_failures", "output", "resamples", "video_timeout_s")
"""Settings that change nothing about what is learned."""
_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av")


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What is kept of one training."""

    best_epoch: int
    history: pa.Table
    predictions: pa.Table
    """PREDICTIONS of its tune rows, then of its test rows."""
    weights: bytes | None = None
    """None where an earlier call of the job trained it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one call of the job is about, with Ray at hand."""

    settings: FinetuneSettings
    root: str
    request: str
    """Digest of what was asked; trainings of another request are left alone."""
    labelled: Labelled
    learned: Labelled
    """What is decoded: the labelled frames, then the synthetic ones, which trainings learn from as well."""
    pools: "Pools"
    placement: "Placement"
    lease: Lease
    out: Console


@dataclass(frozen=True, kw_only=True)
class Model:
    """One backbone with its frames in Ray's object store."""

    name: str
    root: str
    initial: Checkpoint
    stored: "ray.ObjectRef"
    frames: "ray.data.Dataset"


def finetune(settings: FinetuneSettings) -> int:
    """Trains, measures and writes checkpoints; returns the job's exit code, and errors go to the caller."""
    out, root = console(), storage.normalise(settings.output)
    storage.check_writable(root)
    labelled = gather(settings.labels, settings.clips, rule=settings.label_rule)
    for protocol in settings.protocols():
        _splits(settings, labelled, protocol)  # what cannot be divided shows before anything is decoded
    _final_split(settings, labelled)
    first, *others = settings.backbones()
    initial = _initial(settings, first)  # and so does a backbone or a file that is not there
    request = _request(settings, labelled, initial)
    with as_cut_off_errors(), Lease(storage.join(root, LEASE_NAME)) as lease:
        if _finished(root, request):
            out.print(f"nothing to do: {root} holds this fine-tuning, finished")
            return EXIT_OK
        out.print(f"{labelled.table.num_rows:,} labelled frames of {len(labelled.clips):,} clips")
        learned = _with_synthetic(settings, root, labelled, out)
        pools, placement = _start_ray(settings)
        job = Job(
            settings=settings,
            root=root,
            request=request["digest"],
            labelled=labelled,
            learned=learned,
            pools=pools,
            placement=placement,
            lease=lease,
            out=out,
        )
        evaluations, checkpoints = {}, {}
        evaluations[first], checkpoints[first] = _finetune_backbone(job, first, initial)
        for backbone in others:
            initial = _initial(settings, backbone)
            evaluations[backbone], checkpoints[backbone] = _finetune_backbone(job, backbone, initial)
        if len(checkpoints) > 1:
            _compare(job, evaluations, checkpoints)
        lease.check()
        _write_record(job, request, evaluations, checkpoints)
        for backbone in checkpoints:
            storage.remove_tree(storage.join(root, backbone, "training"))
    return EXIT_OK


def _finished(root: str, request: dict[str, Any]) -> bool:
    """Whether this very job was done; UsageError where the output holds another one, finished."""
    try:
        found = json.loads(storage.read_bytes(storage.join(root, RECORD_NAME)))
    except FileNotFoundError:
        return False
    if found.get("digest") != request["digest"]:
        raise UsageError(
            f"output {root} holds another fine-tuning (settings, labels or clips differ); give another --output"
        )
    return True


def _request(settings: FinetuneSettings, labelled: Labelled, initial: Checkpoint) -> dict[str, Any]:
    """What was asked; its digest leaves out what changes nothing about what is learned."""
    asked = {name: value for name, value in asdict(settings).items() if name not in _IN_PASSING}
    etags = {file: clip.etag for file, clip in labelled.clips.items()}
    data = {"labels_digest": labelled.digest, "clips_digest": digest(etags), "initial_digest": initial.digest}
    return {"digest": digest([asked, data]), "settings": asdict(settings), **data}


def _with_synthetic(settings: FinetuneSettings, root: str, labelled: Labelled, out: Console) -> Labelled:
    if not settings.synthetic:
        return labelled
    from artifactscan.training import synthetic

    out.print(f"{settings.synthetic:,} pairs of synthetic clips to learn from as well")
    folder = storage.join(root, "synthetic", f"{settings.synthetic}-{settings.seed}")
    return synthetic.with_synthetic(labelled, synthetic.write_pairs(folder, settings.synthetic, seed=settings.seed))


def _start_ray(settings: FinetuneSettings) -> tuple["Pools", "Placement"]:
    from pipelines import cluster, graph, training  # Ray takes seconds to import and to start

    resources = cluster.connect()
    placement = training.place(
        resources, workers=settings.workers, device=settings.device, precision=settings.precision
    )
    pools = graph.size_pools(resources, use_gpu=False, decode_actors=settings.decode_actors, classify_actors=0)
    return pools, placement


def _initial(settings: FinetuneSettings, backbone: str) -> Checkpoint:
    return initial_checkpoint(settings.init, backbone, height=settings.height, width=settings.width, seed=settings.seed)


def _finetune_backbone(job: Job, backbone: str, initial: Checkpoint) -> tuple[dict[str, Evaluation], Checkpoint]:
    import ray

    from pipelines import ingest

    settings = job.settings
    spec = initial.card.input
    job.out.print(Text(f"{backbone}, {spec.height}x{spec.width}, from {printable(initial.card.origin)}"))
    cache = settings.cache or storage.join(job.root, "frames")
    table = ingest.ingest(job.learned, spec, cache, pools=job.pools, limits=settings.limits())
    model = Model(
        name=backbone,
        root=storage.join(job.root, backbone),
        initial=initial,
        stored=ray.put(initial),
        frames=ingest.frames_of(table),
    )
    evaluations: dict[str, Evaluation] = {}
    measured: dict[str, tuple[Tuning, int]] = {}
    histories: list[pa.Table] = []
    for protocol in settings.protocols():
        splits = _splits(settings, job.labelled, protocol)
        outcomes = [_run(job, model, f"{protocol}-{split.fold}", split) for split in splits]
        histories += [outcome.history for outcome in outcomes]
        evaluations[protocol], tuning = _measure(job, model, protocol, splits, outcomes)
        measured[protocol] = (tuning, max(1, round(float(np.mean([outcome.best_epoch for outcome in outcomes])))))
    checkpoint, history = _final(job, model, evaluations, measured)
    write_history(pa.concat_tables([*histories, history]), model.root, title=backbone)
    return evaluations, checkpoint


def _splits(settings: FinetuneSettings, labelled: Labelled, protocol: Protocol) -> Sequence[Split]:
    return make_splits(labelled.files, labelled.y, settings.splitting(protocol))


def _run(job: Job, model: Model, run: str, split: Split, *, last_epoch: int = 0) -> RunOutcome:
    """One training, or what an earlier call of the job kept of it."""
    folder = storage.join(model.root, "runs", job.request, run)
    predictions_uri, history_uri = storage.join(folder, "predictions.parquet"), storage.join(folder, "history.parquet")
    outcome_uri = storage.join(folder, "outcome.json")
    if storage.exists(outcome_uri):
        best_epoch = json.loads(storage.read_bytes(outcome_uri))["best_epoch"]
        return RunOutcome(
            best_epoch=best_epoch, history=read_table(history_uri), predictions=read_table(predictions_uri)
        )
    from pipelines import training, training_log

    synthetic = np.arange(job.labelled.table.num_rows, job.learned.table.num_rows)
    log = training_log.TrainingLogActor.remote()
    with training_log.Told(log, prefix=f"{model.name} {run}", quiet=job.settings.quiet):
        trained = training.train(
            model.frames,
            training.Rows(fit=np.concatenate([split.fit, synthetic]), tune=split.tune, test=split.test),
            model.stored,
            job.settings.training(),
            placement=job.placement,
            storage_uri=storage.join(model.root, "training", job.request),
            name=run,
            last_epoch=last_epoch,
            max_failures=job.settings.max_failures,
            log=log,
        )
    job.lease.check()
    rows = np.concatenate([split.tune, split.test])
    files, frame_index = job.labelled.files, job.labelled.table["frame_index"].to_numpy()
    predictions = predictions_table(
        files=[files[row] for row in rows],
        frame_index=frame_index[rows],
        y=job.labelled.y[rows],
        logits=trained.logits,
        fold=split.fold,
    )
    history = history_table([{"run": run, **row} for row in trained.history])
    write_table(predictions, predictions_uri)
    write_table(history, history_uri)
    storage.write_bytes(outcome_uri, json.dumps({"best_epoch": trained.best_epoch}).encode())
    return RunOutcome(best_epoch=trained.best_epoch, history=history, predictions=predictions, weights=trained.weights)


def _measure(
    job: Job, model: Model, protocol: Protocol, splits: Sequence[Split], outcomes: Sequence[RunOutcome]
) -> tuple[Evaluation, Tuning]:
    """The evaluation of frames held out, written and told; and the tuning that a final checkpoint gets from them."""
    settings, goal = job.settings, job.settings.goal()
    tested = pa.concat_tables(
        [outcome.predictions.slice(len(split.tune)) for split, outcome in zip(splits, outcomes, strict=True)]
    )
    tuned = [outcome.predictions.slice(0, len(split.tune)) for split, outcome in zip(splits, outcomes, strict=True)]
    if len(splits) > 1:
        tuning, final = cross_tune(tested, goal), tune(tested, goal)
    else:
        tuning = final = tune(tuned[0], goal) if tuned[0].num_rows else Tuning()
    evaluation = evaluate(tested, tuning, protocol=protocol, bootstrap=settings.bootstrap())
    folder = storage.join(model.root, protocol)
    write_table(tested, storage.join(folder, "predictions.parquet"))
    write_evaluation(evaluation, folder)
    job.out.print(Text(f"\n{model.name}", style="bold"))
    print_evaluation(evaluation, job.out)
    return evaluation, final


def _final(
    job: Job, model: Model, evaluations: dict[str, Evaluation], measured: dict[str, tuple[Tuning, int]]
) -> tuple[Checkpoint, pa.Table]:
    """Trains on everything for as long as the folds did best, and writes the checkpoint, its card last.

    Without a protocol some videos are kept out, to stop by and to choose calibration and thresholds on.
    """
    settings, labelled = job.settings, job.labelled
    split = _final_split(settings, labelled)
    if measured:
        tuning, epochs = measured.get("videos") or measured["frames"]
        outcome = _weights_of(job, model, split, last_epoch=epochs)
        how = "calibration and thresholds from out-of-fold predictions"
    else:
        outcome = _weights_of(job, model, split)
        tuning = tune(outcome.predictions, settings.goal()) if len(split.tune) else Tuning()
        how = f"{len(split.tune)} frames of other videos kept out for calibration and thresholds"
    card = replace(
        model.initial.card,
        thresholds=dict(tuning.thresholds),
        calibration=dict(tuning.calibration),
        trained=True,
        origin=f"{model.initial.card.origin}; fine-tuned on {len(split.fit):,} frames {_beside(job)}"
        f"for {outcome.best_epoch} epochs",
        metrics={
            "protocols": {protocol: as_record(evaluation) for protocol, evaluation in evaluations.items()},
            "tuning": {"goal": tuning.goal, "how": how, "notes": list(tuning.notes)},
            "measured_on": "frames held out of trainings alike; this checkpoint was trained on all of them"
            if evaluations
            else "nothing: no protocol was asked for",
        },
        data_digest=labelled.digest,
    )
    assert outcome.weights is not None
    checkpoint = Checkpoint(card=card, weights=outcome.weights)
    folder = storage.join(model.root, "checkpoint")
    job.lease.check()
    save_checkpoint(checkpoint, folder)
    job.out.print(Text(f"checkpoint  {printable(folder)}"), soft_wrap=True)
    return checkpoint, outcome.history


def _beside(job: Job) -> str:
    synthetic = job.learned.table.num_rows - job.labelled.table.num_rows
    return f"and {synthetic:,} synthetic ones " if synthetic else ""


def _weights_of(job: Job, model: Model, split: Split, *, last_epoch: int = 0) -> RunOutcome:
    """The final training with its weights, which are kept beside its outcome until the checkpoint is written."""
    weights_uri = storage.join(model.root, "training", job.request, f"{FINAL}.safetensors")
    outcome = _run(job, model, FINAL, split, last_epoch=last_epoch)
    if outcome.weights is not None:
        storage.write_bytes(weights_uri, outcome.weights)
        return outcome
    try:
        return replace(outcome, weights=storage.read_bytes(weights_uri))
    except FileNotFoundError:  # cut off between the two
        storage.remove_tree(storage.join(model.root, "runs", job.request, FINAL))
        return _run(job, model, FINAL, split, last_epoch=last_epoch)


def _final_split(settings: FinetuneSettings, labelled: Labelled) -> Split:
    """Everything to train on; but without a protocol some videos to tune on.

    UsageError where that cannot be: a label without positives or negatives, or one video only.
    """
    videos = len(set(labelled.files))
    if settings.protocols() or not settings.tune_share:
        nobody = np.empty(0, np.int64)
        split = Split(protocol="videos", fold=0, fit=np.arange(len(labelled.files)), tune=nobody, test=nobody)
        check_split(labelled.files, labelled.y, split)
        return split
    if videos < 2:
        raise UsageError("the labels are of one clip, so none can be kept to tune on; label more, or --tune-share 0")
    folds = min(round(1 / settings.tune_share), videos)
    first = make_splits(labelled.files, labelled.y, SplitSettings(folds=folds, tune_share=0, seed=settings.seed))[0]
    return Split(protocol="videos", fold=0, fit=first.fit, tune=first.test, test=first.tune)


def _compare(job: Job, evaluations: dict[str, dict[str, Evaluation]], checkpoints: dict[str, Checkpoint]) -> None:
    costs = {name: measure_cost(checkpoint, job.settings.classifying()) for name, checkpoint in checkpoints.items()}
    sheet = comparison(
        [Candidate(name=name, evaluations=evaluations[name], **asdict(cost)) for name, cost in costs.items()]
    )
    storage.write_bytes(storage.join(job.root, COMPARISON_NAME), sheet.markdown().encode())
    sheet.print(job.out)


def _write_record(
    job: Job,
    request: dict[str, Any],
    evaluations: dict[str, dict[str, Evaluation]],
    checkpoints: dict[str, Checkpoint],
) -> None:
    record = {
        **request,
        "frames": job.labelled.table.num_rows,
        "clips": len(job.labelled.clips),
        "checkpoints": {name: checkpoint.digest for name, checkpoint in checkpoints.items()},
        "evaluations": {
            name: {protocol: as_record(evaluation) for protocol, evaluation in found.items()}
            for name, found in evaluations.items()
        },
        "versions": {name: version(name) for name in _PACKAGES},
    }
    storage.write_bytes(storage.join(job.root, RECORD_NAME), json.dumps(record, indent=2).encode())
