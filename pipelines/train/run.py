"""Fine-tuning: load labels, decode, evaluate on held-out frames, train on all of them, write the checkpoint.

OUTPUT/<backbone>/checkpoint/                 the checkpoint that scoring reads; card.json is written last
OUTPUT/<backbone>/<protocol>/                 out-of-fold predictions.parquet and the evaluation of them
OUTPUT/<backbone>/history.parquet, losses.png losses and scores by epoch
OUTPUT/<backbone>/runs/<request>/<run>/       results of each finished training, which a restarted job reads
OUTPUT/<backbone>/training/                   Ray Train's state of the running training; removed at the end
OUTPUT/frames/                                decoded frames, unless --cache keeps them elsewhere
OUTPUT/embeddings/                            of --train head: what the backbone gives for the frames, likewise
OUTPUT/synthetic/                             the clips that --synthetic drew
OUTPUT/comparison.md                          the backbones side by side, where there are several
OUTPUT/finetune.json                          settings and results; written last
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.cli.exit_codes import EXIT_OK
from artifactscan.corpus.output_place import check_not_an_input
from artifactscan.errors import UsageError
from artifactscan.evaluation.comparison import Candidate, comparison
from artifactscan.evaluation.evaluation_report import as_record
from artifactscan.evaluation.metric_table import Evaluation
from artifactscan.evaluation.splits import Protocol, Split, check_split, hold_out, make_splits
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.pipelines.ray_cluster.submission import check_paths
from artifactscan.pipelines.train.results import (
    NO_SUMMARY,
    BackboneResults,
    FoldSummary,
    evaluate_folds,
    log_to_mlflow,
    summary_of_rows,
    write_checkpoint,
)
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage.digest import digest
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.versions import versions_of
from artifactscan.telemetry.mlflow_runs import check_mlflow
from artifactscan.training.backbone_cost import measure_backbone_cost
from artifactscan.training.epoch_history import write_history
from artifactscan.training.initial_weights import initial_checkpoint
from artifactscan.training.labelled_frames import LabelledFrames, label_inputs, load_labelled_frames
from artifactscan.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
    from artifactscan.pipelines.train.fit import WorkerPlan
    from artifactscan.pipelines.train.train_split import BackboneRun, FinetuneRun, SplitResult

TrainBackbone = Callable[[str, Checkpoint], tuple[dict[str, Evaluation], Checkpoint]]
"""Trains a backbone by name from its initial weights; returns evaluations by protocol and the checkpoint."""
RECORD_NAME, COMPARISON_NAME = "finetune.json", "comparison.md"
FINAL = "final"
_NOT_IN_DIGEST = (
    "quiet",
    "cache",
    "decode_actors",
    "max_failures",
    "mlflow",
    "node_wait_s",
    "output",
    "resamples",
    "shared_filesystem",
    "video_timeout_s",
)
"""Settings that do not change the trained weights."""
_PACKAGES = ("artifactscan", "ray", "torch", "timm", "av")


def finetune(settings: FinetuneSettings) -> int:
    """Trains and evaluates backbones and writes checkpoints; returns the exit code; errors go to the caller."""
    check_paths(settings, "labels", "clips", "output", "cache")
    check_mlflow(settings.mlflow)
    out, root = console(), storage.normalise(settings.output)
    asked, settings = settings, pin_revisions(settings, "labels", "init", out=out)
    check_not_an_input(settings.output, *label_inputs(settings.labels, settings.clips), ("--init", settings.init))
    storage.check_writable(root)
    labelled = load_labelled_frames(settings.labels, settings.clips, rule=settings.label_rule)
    for protocol in settings.protocols():
        _make_splits(settings, labelled, protocol)  # fails before anything is decoded
    _final_split(settings, labelled)
    first, *others = settings.backbones()
    initial = _load_initial(settings, first, labelled)  # fails early for an unknown backbone or a missing file
    request = _describe_request(asked, settings, labelled, initial)
    with as_cut_off_errors(), Lease(storage.join(root, LEASE_NAME), what="fine-tuning") as lease:
        if _already_finished(root, request):
            out.print(f"nothing to do: {root} holds this fine-tuning, finished")
            log_to_mlflow(settings.mlflow, root, storage.join(root, RECORD_NAME), out)
            return EXIT_OK
        out.print(f"{labelled.table.num_rows:,} labelled frames of {len(labelled.clips):,} clips")
        train_one = _probe_trainer if settings.train == "head" else _weights_trainer
        train_backbone = train_one(settings, root, request["digest"], labelled, lease, out)
        evaluations, checkpoints = {}, {}
        evaluations[first], checkpoints[first] = train_backbone(first, initial)
        for backbone in others:
            initial = _load_initial(settings, backbone, labelled)
            evaluations[backbone], checkpoints[backbone] = train_backbone(backbone, initial)
        if len(checkpoints) > 1:
            _write_comparison(root, out, evaluations, checkpoints)
        lease.check()
        _write_record(root, labelled, request, evaluations, checkpoints)
        for backbone in checkpoints:
            storage.remove_tree(storage.join(root, backbone, "training"))
        log_to_mlflow(settings.mlflow, root, storage.join(root, RECORD_NAME), out)
    return EXIT_OK


def _weights_trainer(
    settings: FinetuneSettings, root: str, request: str, labelled: LabelledFrames, lease: Lease, out: Console
) -> TrainBackbone:
    """Trains all weights of a backbone on Ray Train."""
    training_frames = _add_synthetic_clips(settings, root, labelled, out)
    from artifactscan.pipelines.train import train_split  # Ray takes seconds to import and to start

    pools, worker_plan = _start_ray(settings, labelled, out)
    job = train_split.FinetuneRun(
        settings=settings,
        root=root,
        request=request,
        labelled=labelled,
        training_frames=training_frames,
        pools=pools,
        worker_plan=worker_plan,
        lease=lease,
        out=out,
    )
    return partial(_finetune_backbone, job)


def _probe_trainer(
    settings: FinetuneSettings, root: str, _request: str, labelled: LabelledFrames, lease: Lease, out: Console
) -> TrainBackbone:
    """Fits a head to a backbone's frozen features; Ray is started only where frames are not embedded yet."""
    from artifactscan.pipelines.train.fit_probes import embeddings_folder, fit_probe_of

    def train_backbone(backbone: str, initial: Checkpoint) -> tuple[dict[str, Evaluation], Checkpoint]:
        return fit_probe_of(
            BackboneResults(
                name=backbone,
                root=storage.join(root, backbone),
                settings=settings,
                labelled=labelled,
                lease=lease,
                out=out,
            ),
            initial,
            partial(_make_splits, settings, labelled),
            lambda: _start_ray_to_embed(settings, labelled, out),
            embeddings=embeddings_folder(settings.cache, root),
        )

    return train_backbone


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


def _describe_request(
    asked: FinetuneSettings, settings: FinetuneSettings, labelled: LabelledFrames, initial: Checkpoint
) -> dict[str, Any]:
    """Settings, digests of the data and versions; the digest leaves out the settings of _NOT_IN_DIGEST.

    It is of the settings as ``asked``, before revisions on a hub were pinned: the digests of the data tell whether a
    commit since then changed anything that is read.
    """
    kept = {name: value for name, value in asdict(asked).items() if name not in _NOT_IN_DIGEST}
    etags = {file: clip.etag for file, clip in labelled.clips.items()}
    data = {"labels_digest": labelled.digest, "clips_digest": digest(etags), "initial_digest": initial.digest}
    versions = versions_of(_PACKAGES)
    return {"digest": digest([kept, data, versions]), "settings": asdict(settings), **data, "versions": versions}


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
    resources = start_cluster(
        settings, *paths, device=settings.device, sized=sized, out=out, gpus=settings.workers, quiet=settings.quiet
    )
    worker_plan = fit.plan_workers(
        resources, workers=settings.workers, device=settings.device, precision=settings.precision
    )
    pools = size_pools(resources, use_gpu=False, decode_actors=settings.decode_actors, classify_actors=0)
    return pools, worker_plan


def _start_ray_to_embed(settings: FinetuneSettings, labelled: LabelledFrames, out: Console) -> "PoolSizes":
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
    from artifactscan.pipelines.ray_cluster.resources import Resources, uses_gpu
    from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster

    def sized(resources: Resources) -> PoolSizes:
        use_gpu = uses_gpu(settings.device, resources)
        return size_pools(resources, use_gpu=use_gpu, decode_actors=settings.decode_actors, classify_actors=0)

    clip = next(iter(labelled.clips.values()))
    return sized(
        start_cluster(
            settings, settings.output, clip.uri, device=settings.device, sized=sized, out=out, quiet=settings.quiet
        )
    )


def _load_initial(settings: FinetuneSettings, backbone: str, labelled: LabelledFrames) -> Checkpoint:
    """The checkpoint to train from; UsageError where it was trained on clips that it would be tested on."""
    initial = initial_checkpoint(
        settings.init,
        backbone,
        height=settings.height,
        width=settings.width,
        seed=settings.seed,
        keep_probe=settings.train == "head",
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
    results = job.backbone_results(model.name, model.root)
    evaluations: dict[str, Evaluation] = {}
    summaries: dict[str, FoldSummary] = {}
    histories: list[pa.Table] = []
    for protocol in settings.protocols():
        splits = _make_splits(settings, job.labelled, protocol)
        outcomes = [train_split.train_split(job, model, f"{protocol}-{split.fold}", split) for split in splits]
        histories += [outcome.history for outcome in outcomes]
        tested = pa.concat_tables(
            [outcome.predictions.slice(len(split.tune)) for split, outcome in zip(splits, outcomes, strict=True)]
        )
        tuning_rows = outcomes[0].predictions.slice(0, len(splits[0].tune))
        evaluations[protocol], summaries[protocol] = evaluate_folds(
            results, protocol, tested, tuning_rows, _mean_best_epoch(outcomes)
        )
    checkpoint, history = _train_final(job, model, results, evaluations, summaries)
    write_history(pa.concat_tables([*histories, history]), model.root, title=backbone)
    return evaluations, checkpoint


def _make_splits(settings: FinetuneSettings, labelled: LabelledFrames, protocol: Protocol) -> Sequence[Split]:
    makers = labelled.makers(settings.generator_pattern)
    return make_splits(labelled.files, labelled.y, settings.splitting(protocol), makers)


def _mean_best_epoch(outcomes: Sequence["SplitResult"]) -> int:
    return max(1, round(float(np.mean([outcome.best_epoch for outcome in outcomes]))))


def _train_final(
    job: "FinetuneRun",
    model: "BackboneRun",
    results: BackboneResults,
    evaluations: dict[str, Evaluation],
    summaries: dict[str, FoldSummary],
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
    if summary is None:
        kept_out = f"{len(split.tune)} frames of videos kept out"
        summary = summary_of_rows(outcome.predictions, settings, kept_out) if len(split.tune) else NO_SUMMARY
    assert outcome.weights is not None
    checkpoint = write_checkpoint(
        results,
        replace(model.initial, weights=outcome.weights),
        evaluations,
        summary,
        how=f"fine-tuned on {len(split.fit):,} frames {_describe_synthetic(job)}for {outcome.best_epoch} epochs",
    )
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
    root: str, out: Console, evaluations: dict[str, dict[str, Evaluation]], checkpoints: dict[str, Checkpoint]
) -> None:
    costs = {name: measure_backbone_cost(checkpoint) for name, checkpoint in checkpoints.items()}
    sheet = comparison(
        [Candidate(name=name, evaluations=evaluations[name], **asdict(cost)) for name, cost in costs.items()]
    )
    storage.write_bytes(storage.join(root, COMPARISON_NAME), sheet.markdown().encode())
    sheet.print(out)


def _write_record(
    root: str,
    labelled: LabelledFrames,
    request: dict[str, Any],
    evaluations: dict[str, dict[str, Evaluation]],
    checkpoints: dict[str, Checkpoint],
) -> None:
    record = {
        **request,
        "frames": labelled.table.num_rows,
        "clips": len(labelled.clips),
        "checkpoints": {name: checkpoint.digest for name, checkpoint in checkpoints.items()},
        "evaluations": {
            name: {protocol: as_record(evaluation) for protocol, evaluation in found.items()}
            for name, found in evaluations.items()
        },
    }
    storage.write_bytes(storage.join(root, RECORD_NAME), json.dumps(record, indent=2).encode())
