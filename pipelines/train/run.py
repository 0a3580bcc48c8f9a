"""Fine-tuning: load labels, decode, evaluate on held-out frames, train on all of them, write the checkpoint.

OUTPUT/<backbone>/checkpoint/                 the checkpoint that scoring reads; card.json is written last
OUTPUT/<backbone>/<protocol>/                 out-of-fold predictions.parquet and the evaluation of them
OUTPUT/<backbone>/history.parquet, losses.png losses and scores by epoch
OUTPUT/<backbone>/runs/<request>/<run>/       results of each finished training, which a restarted job reads
OUTPUT/<backbone>/training/                   Ray Train's state of the running training; removed at the end
OUTPUT/frames/                                decoded frames, unless --cache keeps them elsewhere
OUTPUT/synthetic/                             the clips that --synthetic drew
OUTPUT/comparison.md                          the backbones side by side, where there are several
OUTPUT/finetune.json                          settings and results; written last
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.agreement import ceiling_of
from artifactscan.cli.exit_codes import EXIT_OK
from artifactscan.errors import UsageError
from artifactscan.evaluation.comparison import Candidate, comparison
from artifactscan.evaluation.evaluation_report import as_record, print_evaluation, write_evaluation
from artifactscan.evaluation.metric_table import Evaluation, evaluate
from artifactscan.evaluation.splits import Protocol, Split, check_split, hold_out, make_splits
from artifactscan.evaluation.tuning import Tuning, cross_tune, tune
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint, save_checkpoint
from artifactscan.model.operating_point import OperatingPoint
from artifactscan.pipelines.ray_cluster.submission import check_paths
from artifactscan.storage.digest import digest
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import write_table
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.versions import versions_of
from artifactscan.training.backbone_cost import measure_backbone_cost
from artifactscan.training.epoch_history import write_history
from artifactscan.training.initial_weights import initial_checkpoint
from artifactscan.training.labelled_frames import LabelledFrames, load_labelled_frames
from artifactscan.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
    from artifactscan.pipelines.train.fit import WorkerPlan
    from artifactscan.pipelines.train.train_split import BackboneRun, FinetuneRun, SplitResult

RECORD_NAME, COMPARISON_NAME, LEASE_NAME = "finetune.json", "comparison.md", "lease.json"
FINAL = "final"
NOT_TUNED = "nothing: logits as they are, and thresholds of one half"
_NOT_IN_DIGEST = (
    "quiet",
    "cache",
    "decode_actors",
    "max_failures",
    "node_wait_s",
    "output",
    "resamples",
    "shared_filesystem",
    "video_timeout_s",
)
"""Settings that do not change the trained weights."""
_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av")


@dataclass(frozen=True, kw_only=True)
class FoldSummary:
    """What the final training takes over from the trainings of the folds."""

    tuning: Tuning
    chosen_on: str
    """What calibration and thresholds were chosen on, in words."""
    operating_point: Mapping[str, OperatingPoint]
    """By label: measured on frames that did not choose the thresholds; empty where none were chosen."""
    epochs: int
    """Mean best epoch of the folds."""


def finetune(settings: FinetuneSettings) -> int:
    """Trains and evaluates backbones and writes checkpoints; returns the exit code; errors go to the caller."""
    check_paths(settings, "labels", "clips", "output", "cache")
    out, root = console(), storage.normalise(settings.output)
    storage.check_writable(root)
    labelled = load_labelled_frames(settings.labels, settings.clips, rule=settings.label_rule)
    for protocol in settings.protocols():
        _make_splits(settings, labelled, protocol)  # fails before anything is decoded
    _final_split(settings, labelled)
    first, *others = settings.backbones()
    initial = _load_initial(settings, first, labelled)  # fails early for an unknown backbone or a missing file
    request = _describe_request(settings, labelled, initial)
    with as_cut_off_errors(), Lease(storage.join(root, LEASE_NAME)) as lease:
        if _already_finished(root, request):
            out.print(f"nothing to do: {root} holds this fine-tuning, finished")
            return EXIT_OK
        out.print(f"{labelled.table.num_rows:,} labelled frames of {len(labelled.clips):,} clips")
        training_frames = _add_synthetic_clips(settings, root, labelled, out)
        from artifactscan.pipelines.train import train_split  # Ray takes seconds to import and to start

        pools, worker_plan = _start_ray(settings, labelled, out)
        job = train_split.FinetuneRun(
            settings=settings,
            root=root,
            request=request["digest"],
            labelled=labelled,
            training_frames=training_frames,
            pools=pools,
            worker_plan=worker_plan,
            lease=lease,
            out=out,
        )
        evaluations, checkpoints = {}, {}
        evaluations[first], checkpoints[first] = _finetune_backbone(job, first, initial)
        for backbone in others:
            initial = _load_initial(settings, backbone, labelled)
            evaluations[backbone], checkpoints[backbone] = _finetune_backbone(job, backbone, initial)
        if len(checkpoints) > 1:
            _write_comparison(job, evaluations, checkpoints)
        lease.check()
        _write_record(job, request, evaluations, checkpoints)
        for backbone in checkpoints:
            storage.remove_tree(storage.join(root, backbone, "training"))
    return EXIT_OK


def _already_finished(root: str, request: dict[str, Any]) -> bool:
    """Whether the output holds this fine-tuning, finished; UsageError where it holds another one."""
    try:
        found = json.loads(storage.read_bytes(storage.join(root, RECORD_NAME)))
    except FileNotFoundError:
        return False
    if found.get("digest") != request["digest"]:
        raise UsageError(
            f"output {root} holds another fine-tuning (settings, labels or clips differ); give another --output"
        )
    return True


def _describe_request(settings: FinetuneSettings, labelled: LabelledFrames, initial: Checkpoint) -> dict[str, Any]:
    """Settings, digests of the data and versions; the digest leaves out the settings of _NOT_IN_DIGEST."""
    asked = {name: value for name, value in asdict(settings).items() if name not in _NOT_IN_DIGEST}
    etags = {file: clip.etag for file, clip in labelled.clips.items()}
    data = {"labels_digest": labelled.digest, "clips_digest": digest(etags), "initial_digest": initial.digest}
    versions = versions_of(_PACKAGES)
    return {"digest": digest([asked, data, versions]), "settings": asdict(settings), **data, "versions": versions}


def _add_synthetic_clips(
    settings: FinetuneSettings, root: str, labelled: LabelledFrames, out: Console
) -> LabelledFrames:
    if not settings.synthetic:
        return labelled
    from artifactscan.training import synthetic

    out.print(f"{settings.synthetic:,} pairs of synthetic clips to learn from as well")
    folder = storage.join(root, "synthetic", f"{settings.synthetic}-{settings.seed}")
    return synthetic.append_synthetic(
        labelled, synthetic.write_synthetic_clips(folder, settings.synthetic, seed=settings.seed)
    )


def _start_ray(settings: FinetuneSettings, labelled: LabelledFrames, out: Console) -> tuple["PoolSizes", "WorkerPlan"]:
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
    from artifactscan.pipelines.ray_cluster.resources import Resources, uses_gpu
    from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster
    from artifactscan.pipelines.train import fit

    def sized(resources: Resources) -> PoolSizes:
        use_gpu = uses_gpu(settings.device, resources)
        decoders = settings.decode_actors or 1
        return size_pools(resources, use_gpu=use_gpu, decode_actors=decoders, classify_actors=settings.workers)

    clip = next(iter(labelled.clips.values()))
    paths = settings.output, clip.uri
    resources = start_cluster(settings, *paths, device=settings.device, sized=sized, out=out, gpus=settings.workers)
    worker_plan = fit.plan_workers(
        resources, workers=settings.workers, device=settings.device, precision=settings.precision
    )
    pools = size_pools(resources, use_gpu=False, decode_actors=settings.decode_actors, classify_actors=0)
    return pools, worker_plan


def _load_initial(settings: FinetuneSettings, backbone: str, labelled: LabelledFrames) -> Checkpoint:
    """The checkpoint to train from; UsageError where it was trained on clips that it would be tested on."""
    initial = initial_checkpoint(
        settings.init, backbone, height=settings.height, width=settings.width, seed=settings.seed
    )
    seen = [file for file, clip in labelled.clips.items() if clip.name in initial.card.trained_on]
    if seen and settings.protocols():
        raise UsageError(
            f"--init {settings.init} was trained on {printable(seen[0])}, which would be tested as if it were new; "
            "give --protocol none, or start from weights that have not seen it"
        )
    return initial


def _finetune_backbone(
    job: "FinetuneRun", backbone: str, initial: Checkpoint
) -> tuple[dict[str, Evaluation], Checkpoint]:
    import ray

    from artifactscan.pipelines.ingest import build_frame_table
    from artifactscan.pipelines.train import train_split

    settings = job.settings
    spec = initial.card.input
    job.out.print(Text(f"{backbone}, {spec.height}x{spec.width}, from {printable(initial.card.origin)}"))
    cache = settings.cache or storage.join(job.root, "frames")
    table = build_frame_table.build_frame_table(
        job.training_frames, spec, cache, pools=job.pools, limits=settings.limits()
    )
    model = train_split.BackboneRun(
        name=backbone,
        root=storage.join(job.root, backbone),
        initial=initial,
        initial_ref=ray.put(initial),
        frames=build_frame_table.load_frames(table),
    )
    evaluations: dict[str, Evaluation] = {}
    summaries: dict[str, FoldSummary] = {}
    histories: list[pa.Table] = []
    for protocol in settings.protocols():
        splits = _make_splits(settings, job.labelled, protocol)
        outcomes = [train_split.train_split(job, model, f"{protocol}-{split.fold}", split) for split in splits]
        histories += [outcome.history for outcome in outcomes]
        evaluations[protocol], summaries[protocol] = _evaluate_folds(job, model, protocol, splits, outcomes)
    checkpoint, history = _train_final(job, model, evaluations, summaries)
    write_history(pa.concat_tables([*histories, history]), model.root, title=backbone)
    return evaluations, checkpoint


def _make_splits(settings: FinetuneSettings, labelled: LabelledFrames, protocol: Protocol) -> Sequence[Split]:
    makers = labelled.makers(settings.generator_pattern)
    return make_splits(labelled.files, labelled.y, settings.splitting(protocol), makers)


def _evaluate_folds(
    job: "FinetuneRun",
    model: "BackboneRun",
    protocol: Protocol,
    splits: Sequence[Split],
    outcomes: Sequence["SplitResult"],
) -> tuple[Evaluation, FoldSummary]:
    """Evaluates the held-out frames, writes and prints the evaluation, and summarises the folds."""
    settings, aim = job.settings, job.settings.threshold_aim()
    tested = pa.concat_tables(
        [outcome.predictions.slice(len(split.tune)) for split, outcome in zip(splits, outcomes, strict=True)]
    )
    tuning_rows = outcomes[0].predictions.slice(0, len(splits[0].tune))
    if len(splits) > 1:
        tuning, final = cross_tune(tested, aim), tune(tested, aim)
        chosen_on = "the out-of-fold predictions of all frames; in the figures each fold has those of the other folds"
    elif tuning_rows.num_rows:
        tuning = final = tune(tuning_rows, aim)
        chosen_on = f"{tuning_rows.num_rows} frames kept from training and from the test"
    else:
        tuning = final = Tuning()
        chosen_on = NOT_TUNED
    evaluation = evaluate(
        tested,
        tuning,
        protocol=protocol,
        bootstrap=settings.bootstrap(),
        makers=job.labelled.maker_of_file(settings.generator_pattern),
    )
    ceiling = ceiling_of(job.labelled.annotators, settings.bootstrap())
    evaluation = replace(evaluation, ceiling=ceiling.estimates if ceiling else {})
    folder = storage.join(model.root, protocol)
    write_table(tested, storage.join(folder, "predictions.parquet"))
    write_evaluation(evaluation, folder)
    job.out.print(Text(f"\n{model.name}", style="bold"))
    print_evaluation(evaluation, job.out)
    epochs = max(1, round(float(np.mean([outcome.best_epoch for outcome in outcomes]))))
    points = evaluation.operating_point if final.aim else {}
    return evaluation, FoldSummary(tuning=final, chosen_on=chosen_on, operating_point=points, epochs=epochs)


def _train_final(
    job: "FinetuneRun", model: "BackboneRun", evaluations: dict[str, Evaluation], summaries: dict[str, FoldSummary]
) -> tuple[Checkpoint, pa.Table]:
    """Trains on all frames for the mean best epoch of the folds, and writes the checkpoint, its card last.

    Without a protocol some videos are held out for early stopping, calibration and thresholds.
    """
    from artifactscan.pipelines.train import train_split

    settings, labelled = job.settings, job.labelled
    split = _final_split(settings, labelled)
    summary = summaries.get("videos") or summaries.get("generators") or summaries.get("frames")
    last_epoch = summary.epochs if summary else 0
    outcome = train_split.train_split(job, model, FINAL, split, last_epoch=last_epoch, keep_weights=True)
    if summary:
        tuning, chosen_on = summary.tuning, summary.chosen_on
    elif len(split.tune):
        tuning = tune(outcome.predictions, settings.threshold_aim())
        chosen_on = f"{len(split.tune)} frames of videos kept out"
    else:
        tuning, chosen_on = Tuning(), NOT_TUNED
    card = replace(
        model.initial.card,
        thresholds=dict(tuning.thresholds),
        calibration=dict(tuning.calibration),
        operating_point=dict(summary.operating_point if summary else tuning.operating_point),
        trained=True,
        origin=f"{model.initial.card.origin}; fine-tuned on {len(split.fit):,} frames {_describe_synthetic(job)}"
        f"for {outcome.best_epoch} epochs",
        metrics={
            "protocols": {protocol: as_record(evaluation) for protocol, evaluation in evaluations.items()},
            "tuning": {"aim": tuning.aim, "chosen_on": chosen_on, "notes": list(tuning.notes)},
            "measured_on": "frames held out of trainings alike; this checkpoint was trained on all of them"
            if evaluations
            else "nothing: no protocol was asked for",
        },
        data_digest=labelled.digest,
        trained_on=tuple(sorted({*model.initial.card.trained_on, *(clip.name for clip in labelled.clips.values())})),
    )
    assert outcome.weights is not None
    checkpoint = Checkpoint(card=card, weights=outcome.weights)
    folder = storage.join(model.root, "checkpoint")
    job.lease.check()
    save_checkpoint(checkpoint, folder)
    job.out.print(Text(f"checkpoint  {printable(folder)}"), soft_wrap=True)
    return checkpoint, outcome.history


def _describe_synthetic(job: "FinetuneRun") -> str:
    synthetic = job.training_frames.table.num_rows - job.labelled.table.num_rows
    return f"and {synthetic:,} synthetic ones " if synthetic else ""


def _final_split(settings: FinetuneSettings, labelled: LabelledFrames) -> Split:
    """All frames for training; without a protocol, some videos for tuning.

    UsageError where that cannot be: a label without positives or negatives, or one video only.
    """
    if settings.protocols() or not settings.tune_share:
        none = np.empty(0, np.int64)
        split = Split(protocol="videos", fold=0, fit=np.arange(len(labelled.files)), tune=none, test=none)
        check_split(labelled.files, labelled.y, split)
        return split
    return hold_out(labelled.files, labelled.y, share=settings.tune_share, seed=settings.seed)


def _write_comparison(
    job: "FinetuneRun", evaluations: dict[str, dict[str, Evaluation]], checkpoints: dict[str, Checkpoint]
) -> None:
    costs = {name: measure_backbone_cost(checkpoint) for name, checkpoint in checkpoints.items()}
    sheet = comparison(
        [Candidate(name=name, evaluations=evaluations[name], **asdict(cost)) for name, cost in costs.items()]
    )
    storage.write_bytes(storage.join(job.root, COMPARISON_NAME), sheet.markdown().encode())
    sheet.print(job.out)


def _write_record(
    job: "FinetuneRun",
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
    }
    storage.write_bytes(storage.join(job.root, RECORD_NAME), json.dumps(record, indent=2).encode())
