"""Evaluation: labelled frames through the scoring job's own decoder and classifier, then the metrics."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.agreement import ceiling_of
from artifactscan.cli.exit_codes import EXIT_OK
from artifactscan.corpus.output_place import check_not_an_input
from artifactscan.errors import UsageError
from artifactscan.evaluation.evaluation_report import print_evaluation, write_evaluation
from artifactscan.evaluation.metric_table import evaluate
from artifactscan.evaluation.predictions import logits_of, predictions_table
from artifactscan.evaluation.settings import EvaluateSettings
from artifactscan.evaluation.tuning import Tuning
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint, load_checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.pipelines.ray_cluster.submission import check_paths
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.parquet import write_table
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.training.labelled_frames import LabelledFrames, label_inputs, load_labelled_frames

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes

FRAMES_PER_CALL = 64
"""Frames per call of a classifier, which batches them as the scoring job does."""

SCORED = pa.schema([pa.field("row", pa.int32()), *(pa.field(column, pa.float32()) for column in SCORE_COLUMNS)])
"""Rows of the frame table with their probabilities."""


class ClassifyRows:
    """CPU or GPU actor: rows of the frame table in, their probabilities out."""

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings, threads: int):
        from artifactscan.model.classifier import Classifier  # loads torch

        self.spec = checkpoint.card.input
        self.classifier = Classifier(checkpoint, settings, threads=threads)

    def __call__(self, frames: pa.Table) -> Iterator[pa.Table]:
        shape = (self.spec.height, self.spec.width, 3)
        pixels = [np.frombuffer(blob.as_buffer(), np.uint8).reshape(shape) for blob in frames["pixels"]]
        scores = self.classifier.scores([np.stack(pixels)] if pixels else [])
        yield pa.table([frames["row"], *(pa.array(column) for column in scores.T)], schema=SCORED)


def evaluate_checkpoint(settings: EvaluateSettings) -> int:
    """Evaluates a checkpoint, writes and prints the results; returns the exit code; errors go to the caller."""
    check_paths(settings, "labels", "clips", "output", "cache")
    out, root = console(), storage.normalise(settings.output)
    settings = pin_revisions(settings, "checkpoint", "labels", out=out)
    inputs = label_inputs(settings.labels, settings.clips)
    check_not_an_input(settings.output, *inputs, ("--checkpoint", settings.checkpoint))
    storage.check_writable(root)
    checkpoint = load_checkpoint(settings.checkpoint)
    labelled = load_labelled_frames(settings.labels, settings.clips, rule=settings.label_rule)
    if settings.protocol == "generators" and not labelled.makers(settings.generator_pattern):
        raise UsageError(
            "protocol generators needs the makers of the clips; fill in column `generator` of the labels, or give "
            "--generator-pattern"
        )
    card = checkpoint.card
    if not card.trained:
        out.print(f"checkpoint {settings.checkpoint}: not trained, its figures mean nothing", style="yellow")
    with as_cut_off_errors(), Lease(storage.join(root, LEASE_NAME), what="evaluation") as lease:
        logits = _logits(settings, checkpoint, labelled, root, out)
        predictions = predictions_table(
            files=labelled.files,
            frame_index=labelled.table["frame_index"].to_numpy(),
            y=labelled.y,
            logits=logits,
            fold=0,
        )
        tuning = Tuning(calibration=card.calibration, thresholds=card.thresholds)
        evaluation = evaluate(
            predictions,
            tuning,
            protocol=settings.protocol,
            bootstrap=settings.bootstrap(),
            makers=labelled.maker_of_file(settings.generator_pattern),
        )
        ceiling = ceiling_of(labelled.annotators, settings.bootstrap())
        notes = (*_note_on_seen_clips(checkpoint, labelled), *evaluation.notes)
        evaluation = replace(
            evaluation,
            ceiling=ceiling.estimates if ceiling else {},
            notes=notes,
            trained_on=_count_seen_clips(checkpoint, labelled),
        )
        lease.check()
        write_table(predictions, storage.join(root, "predictions.parquet"))
        write_evaluation(evaluation, root)
    print_evaluation(evaluation, out)
    out.print(Text(f"evaluation  {printable(root)}"), soft_wrap=True)
    return EXIT_OK


def _count_seen_clips(checkpoint: Checkpoint, labelled: LabelledFrames) -> int:
    """The number of clips that the checkpoint was trained on."""
    return sum(clip.name in checkpoint.card.trained_on for clip in labelled.clips.values())


def _note_on_seen_clips(checkpoint: Checkpoint, labelled: LabelledFrames) -> tuple[str, ...]:
    """A note where the checkpoint was trained on some of the clips."""
    seen = _count_seen_clips(checkpoint, labelled)
    if not seen:
        return ()
    return (
        f"the checkpoint was trained on {seen:,} of these {len(labelled.clips):,} clips: the figures say how well it "
        "remembers them, not what it does on clips it has not seen",
    )


def _logits(
    settings: EvaluateSettings, checkpoint: Checkpoint, labelled: LabelledFrames, root: str, out: Console
) -> np.ndarray:
    """float64 (frames, labels), in the order of the labels and before calibration."""
    from ray.data import ActorPoolStrategy

    from artifactscan.model.backbone import check_weights
    from artifactscan.pipelines.ingest import build_frame_table
    from artifactscan.pipelines.ray_cluster import ray_data
    from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
    from artifactscan.pipelines.ray_cluster.resources import Resources, uses_gpu
    from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster

    check_weights(checkpoint)
    # Raises where int8 is asked for and is not there.
    device = "cpu" if settings.classifying().uses_graph(checkpoint) else settings.device

    def sized(resources: Resources) -> PoolSizes:
        use_gpu = uses_gpu(device, resources)
        return size_pools(resources, use_gpu=use_gpu, decode_actors=settings.decode_actors, classify_actors=0)

    if settings.precision == "int8" and checkpoint.card.context_frames:
        raise UsageError(
            "--precision int8: a checkpoint that looks at neighbouring frames is evaluated by torch only; "
            "evaluate it without --precision"
        )

    def start() -> PoolSizes:
        clip = next(iter(labelled.clips.values()))
        return sized(start_cluster(settings, settings.output, clip.uri, device=device, sized=sized, out=out))

    if checkpoint.card.context_frames:
        return _logits_of_windows(settings, checkpoint, labelled, root, start)
    pools = start()
    spec = checkpoint.card.input
    cache = settings.cache or storage.join(root, "frames")
    table = build_frame_table.build_frame_table(labelled, spec, cache, pools=pools, limits=settings.limits())
    with ray_data.ray_errors_as_cut_off(), LossWatch():
        scored = (
            build_frame_table.load_frames(table)
            .map_batches(
                ClassifyRows,
                batch_size=FRAMES_PER_CALL,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(size=pools.classifiers),
                fn_constructor_args=(
                    checkpoint,
                    settings.classifying().on(pools.device),
                    pools.classifier_threads,
                ),
                num_cpus=pools.classifier_cpus,
                num_gpus=pools.classifier_gpus,
                label_selector=pools.classifier_label,
            )
            .to_pandas()
            .sort_values("row")
        )
    # Scored with the calibration, so that the bf16 check and the rounding are those of the scoring job.
    return logits_of(scored[list(SCORE_COLUMNS)].to_numpy(), checkpoint.card.calibration)


def _logits_of_windows(
    settings: EvaluateSettings,
    checkpoint: Checkpoint,
    labelled: LabelledFrames,
    root: str,
    start: Callable[[], "PoolSizes"],
) -> np.ndarray:
    """Logits of a checkpoint that looks at the sampled frames around a frame, in the order of the labels."""
    import safetensors.numpy

    from artifactscan.pipelines.ingest.embed_frames import embed_labelled_frames
    from artifactscan.training.probe_fit import ProbeWeights, probe_logits

    assert checkpoint.card.probe is not None
    windows = embed_labelled_frames(
        labelled,
        checkpoint,
        storage.join(settings.cache or root, "embeddings"),
        limits=settings.limits(),
        device=settings.device,
        precision=settings.precision,
        start=start,
    )
    weights = ProbeWeights.of_tensors(safetensors.numpy.load(checkpoint.weights))
    return probe_logits(windows, weights, checkpoint.card.probe).astype(np.float64)
