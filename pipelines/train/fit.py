"""One training on Ray Train: workers that each hold their share of the frames, and go on where a lost one stopped."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.train
from ray.actor import ActorProxy
from ray.train import (
    CheckpointConfig,
    DataConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
)
from ray.train.torch import TorchTrainer

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.model.malloc import KEEP_FREED_MEMORY_ENV
from artifactscan.pipelines.ray_cluster.join import uses_gpu
from artifactscan.pipelines.ray_cluster.resources import Resources
from artifactscan.pipelines.train.training_log import TrainingLog
from artifactscan.training.recipe import TrainSettings

_OUT_OF_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator", "MemoryError")
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
_SAID_CHARACTERS = 300
"""Of a failure, its end: the beginning is a traceback."""

READERS_CPUS = 1.0
"""Left to Ray Data, which hands the frames to the workers."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The resources of each training worker, and its precision."""

    workers: int
    use_gpu: bool
    worker_cpus: float
    """CPUs that each worker books."""
    threads: int
    """CPU threads of each; 0 leaves torch's own choice."""
    bf16: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The rows of the frame table that train, tune and test; each int64, increasing."""

    fit: np.ndarray
    tune: np.ndarray
    """Decide when to stop early; may be empty."""
    test: np.ndarray
    """Predicted after training; may be empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What one training gave."""

    best_epoch: int
    history: list[dict[str, Any]]
    """Columns of HISTORY, but for ``run``."""
    logits: np.ndarray
    """float32 (frames, labels): of the tune rows, then of the test rows."""
    weights: bytes
    """safetensors, timm's names."""


def place(resources: Resources, *, workers: int, device: str, precision: str) -> Placement:
    """How workers share a cluster; UsageError for GPUs that it does not have."""
    use_gpu = uses_gpu(device, resources)
    if use_gpu and workers > resources.gpus:
        raise UsageError(
            f"--workers {workers} need a GPU each, and the Ray cluster has {resources.gpus}; "
            "give fewer, add GPUs, or use --device cpu"
        )
    return Placement(
        workers=workers,
        use_gpu=use_gpu,
        worker_cpus=min(1.0, (resources.cpus - READERS_CPUS) / workers),
        threads=0 if use_gpu else max(1, resources.cpus // max(workers, len(resources.nodes))),
        bf16=precision == "bf16" or (precision == "auto" and use_gpu),
    )


def train(
    frames: ray.data.Dataset,
    rows: Rows,
    initial: ray.ObjectRef,
    settings: TrainSettings,
    *,
    placement: Placement,
    storage_uri: str,
    name: str,
    last_epoch: int = 0,
    max_failures: int,
    log: ActorProxy[TrainingLog],
) -> Trained:
    """Fits the initial checkpoint to the fit rows, and predicts the tune and test rows with the best weights.

    ``frames``: the frame table; ``initial``: a Checkpoint. State is kept below ``storage_uri``/``name`` after every
    epoch, and a training that finds state there goes on from it. ``last_epoch``: to stop after, on a schedule that is
    made for all of the settings' epochs; 0: all of them. UsageError for a loss that is not a number;
    CutOffError where workers were lost more often than ``max_failures``.
    """
    shares = fit_shares(rows.fit, placement.workers)
    held = np.concatenate([rows.tune, rows.test])
    datasets = {}
    for rank, share in enumerate(shares):
        datasets[f"fit-{rank}"] = take(frames, share)
        if len(held):
            datasets[f"held-{rank}"] = take(frames, held[rank :: placement.workers])
    config = {
        "initial": initial,
        "settings": settings,
        "placement": placement,
        "shares": shares,
        "held": held,
        "tune_frames": len(rows.tune),
        "last_epoch": last_epoch or settings.epochs,
        "log": log,
    }
    filesystem, path = storage.filesystem(storage_uri)
    cpus = {"CPU": placement.worker_cpus}
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=placement.workers,
            use_gpu=placement.use_gpu,
            resources_per_worker={**cpus, "GPU": 1} if placement.use_gpu else cpus,
            placement_strategy="SPREAD",  # each takes its share of one node's threads
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            # A spot node that is taken away announces it, and is no failure of ours to count.
            failure_config=FailureConfig(max_failures=max_failures, max_preemption_failures=-1),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="CRITICAL"),
            worker_runtime_env={} if placement.use_gpu else {"env_vars": KEEP_FREED_MEMORY_ENV},
        ),
        datasets=datasets,
        # Each worker reads a dataset of its own, so that which frames it trains on does not depend on who is faster.
        dataset_config=DataConfig(datasets_to_split=[]),
    )
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise _in_words(error, settings, max_failures) from error
    except SystemExit:  # Ray Train's own answer to Ctrl-C, after it has stopped the workers
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from artifactscan.pipelines.train.worker import BEST_NAME

    returned = cast(dict[str, Any], result.return_value)
    if "refused" in returned:
        raise UsageError(returned["refused"])
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as folder:
        weights = Path(folder, BEST_NAME).read_bytes()
    return Trained(weights=weights, **returned)


def _in_words(error: TrainingFailedError, settings: TrainSettings, max_failures: int) -> Exception:
    """Tells what is the machine's fault from what is ours, whose traceback is wanted."""
    failures = list(getattr(error, "worker_failures", {}).values())
    said = " ".join(str(failures[0] if failures else error).split())
    if any(words in said for words in _OUT_OF_MEMORY):
        return UsageError(
            f"training does not fit into memory with --batch-frames {settings.batch_frames}; "
            "give fewer, a smaller --height and --width, or more --workers on other machines"
        )
    lost = any(hasattr(failure, "health_check_failure") for failure in failures)
    if lost or any(words in said for words in _NO_ROOM):
        return CutOffError(
            f"a training failed {max_failures + 1} times, the last time with: {said[-_SAID_CHARACTERS:]}; "
            "the same command continues it"
        )
    return error


def fit_shares(fit: np.ndarray, workers: int) -> list[np.ndarray]:
    """The rows each worker trains on: equally many, as updates are made together; some rows come twice for that."""
    padded = np.resize(fit, -(-len(fit) // workers) * workers)
    return [padded[rank::workers] for rank in range(workers)]


def take(frames: ray.data.Dataset, rows: np.ndarray) -> ray.data.Dataset:
    """The rows of the frame table with these numbers."""
    wanted = pa.array(np.unique(rows), pa.int32())

    def keep(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table["row"], value_set=wanted))

    return frames.map_batches(keep, batch_format="pyarrow", batch_size=None, num_cpus=0.1)


def train_worker(config: dict[str, Any]) -> dict[str, Any]:
    """What runs in each worker; the first one's answer becomes the training's."""
    from artifactscan.pipelines.train.worker import Worker  # loads torch and timm, which the driver may do without

    try:
        return Worker(config).run()
    except Exception as error:  # Ray Train tries again without a word
        said = " ".join(str(error).split())[-_SAID_CHARACTERS:]
        config["log"].say.remote(f"a worker failed: {type(error).__name__}: {said}")
        raise
