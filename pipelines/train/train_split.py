"""The trainings of one fine-tuning: each result is stored, so that a restarted job does not repeat it."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray
import ray.data
from rich.console import Console

from artifactscan import storage
from artifactscan.evaluation.predictions import predictions_table
from artifactscan.evaluation.splits import Split
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.train import fit, training_log
from artifactscan.pipelines.train.results import BackboneResults
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import read_table, write_table
from artifactscan.training.epoch_history import history_table
from artifactscan.training.labelled_frames import LabelledFrames
from artifactscan.training.settings import FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """The stored results of one training."""

    best_epoch: int
    history: pa.Table
    predictions: pa.Table
    """PREDICTIONS of its tune rows, then of its test rows."""
    weights: bytes | None = None
    """None where they were not kept: those of folds are not needed after prediction."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRun:
    """The state that all trainings of one call of the job share."""

    settings: FinetuneSettings
    root: str
    request: str
    """Digest of the settings and labels; trainings under another digest are not touched."""
    labelled: LabelledFrames
    training_frames: LabelledFrames
    """All frames to decode: the labelled ones, then the synthetic ones, which are only trained on."""
    pools: PoolSizes
    worker_plan: fit.WorkerPlan
    lease: Lease
    out: Console

    def backbone_results(self, name: str, root: str) -> BackboneResults:
        """Where the results of one backbone go."""
        return BackboneResults(
            name=name, root=root, settings=self.settings, labelled=self.labelled, lease=self.lease, out=self.out
        )


@dataclass(frozen=True, kw_only=True)
class BackboneRun:
    """One backbone with its frames in Ray's object store."""

    name: str
    root: str
    initial: Checkpoint
    initial_ref: ray.ObjectRef
    """``initial`` in Ray's object store."""
    frames: ray.data.Dataset


def train_split(
    job: FinetuneRun, model: BackboneRun, run: str, split: Split, *, last_epoch: int = 0, keep_weights: bool = False
) -> SplitResult:
    """Trains one split, or reads the results that an earlier call of the job stored; weights with ``keep_weights``."""
    folder = storage.join(model.root, "runs", job.request, run)
    weights_uri = storage.join(model.root, "training", job.request, f"{run}.safetensors")
    predictions_uri, history_uri = storage.join(folder, "predictions.parquet"), storage.join(folder, "history.parquet")
    outcome_uri = storage.join(folder, "outcome.json")
    if storage.exists(outcome_uri):
        best_epoch = json.loads(storage.read_bytes(outcome_uri))["best_epoch"]
        return SplitResult(
            best_epoch=best_epoch,
            history=read_table(history_uri),
            predictions=read_table(predictions_uri),
            weights=storage.read_bytes(weights_uri) if keep_weights else None,
        )
    synthetic = np.arange(job.labelled.table.num_rows, job.training_frames.table.num_rows)
    log = training_log.start_log()
    with training_log.LogPrinter(log, prefix=f"{model.name} {run}", quiet=job.settings.quiet):
        trained = fit.train(
            model.frames,
            fit.TrainingRows(fit=np.concatenate([split.fit, synthetic]), tune=split.tune, test=split.test),
            model.initial_ref,
            job.settings.training(),
            worker_plan=job.worker_plan,
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
    if keep_weights:
        storage.write_bytes(weights_uri, trained.weights)
    storage.write_bytes(outcome_uri, json.dumps({"best_epoch": trained.best_epoch}).encode())
    return SplitResult(best_epoch=trained.best_epoch, history=history, predictions=predictions, weights=trained.weights)
