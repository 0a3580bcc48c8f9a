"""One training on Ray Train: each worker holds its share of the frames; lost workers are replaced and resume."""

import re
import signal
import threading
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
from artifactscan.cli.interruption import interrupted
from artifactscan.errors import CutOffError, UsageError
from artifactscan.model.device import missing_gpu
from artifactscan.model.malloc import KEEP_FREED_MEMORY_ENV
from artifactscan.pipelines.ray_cluster.pool_sizes import check_count
from artifactscan.pipelines.ray_cluster.resources import Resources, uses_gpu
from artifactscan.pipelines.train.training_log import TrainingLog
from artifactscan.training.recipe import TrainSettings

_OUT_OF_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator", "MemoryError")
_DISK_FULL = ("No space left on device", "Disk quota exceeded")
_NO_GPU = "no GPUs found"
"""Said by torch.distributed, which Ray Train sets up for workers with a GPU before they run."""
_NODE_ADDRESS = re.compile(r"\bip=([^\s,)]+)")
_MESSAGE_CHARACTERS = 300
"""Length of a failure's text in messages: its end, as it starts with a traceback."""

DATA_READER_CPUS = 1.0
"""CPUs left to Ray Data, which reads the frames for the workers."""


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """The resources of each training worker, and its precision."""

    workers: int
    use_gpu: bool
    asked: str
    """The device setting from which this was chosen."""
    worker_cpus: float
    """CPUs that each worker books."""
    threads: int
    """CPU threads of each; 0 leaves torch's own choice."""
    bf16: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """The rows of the frame table that train, tune and test; each int64, increasing."""

    fit: np.ndarray
    tune: np.ndarray
    """Decide when to stop early; may be empty."""
    test: np.ndarray
    """Predicted after training; may be empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """The outcome of one training."""

    best_epoch: int
    history: list[dict[str, Any]]
    """Columns of HISTORY, but for ``run``."""
    logits: np.ndarray
    """float32 (frames, labels): of the tune rows, then of the test rows."""
    weights: bytes
    """safetensors, timm's names."""


def plan_workers(resources: Resources, *, workers: int, device: str, precision: str) -> WorkerPlan:
    """Divides a cluster among workers; UsageError for GPUs that it does not have."""
    use_gpu = uses_gpu(device, resources)
    if use_gpu and workers > resources.gpus:
        raise UsageError(
            f"--workers {workers} need a GPU each, and the Ray cluster has {resources.gpus}; "
            "give fewer, add GPUs, or use --device cpu"
        )
    check_count("--workers", workers, cpus=resources.cpus)
    return WorkerPlan(
        workers=workers,
        use_gpu=use_gpu,
        asked=device,
        worker_cpus=min(1.0, (resources.cpus - DATA_READER_CPUS) / workers),
        threads=0 if use_gpu else max(1, resources.cpus // max(workers, len(resources.nodes))),
        bf16=precision == "bf16" or (precision == "auto" and use_gpu),
    )


def train(
    frames: ray.data.Dataset,
    rows: TrainingRows,
    initial: ray.ObjectRef,
    settings: TrainSettings,
    *,
    worker_plan: WorkerPlan,
    storage_uri: str,
    name: str,
    last_epoch: int = 0,
    max_failures: int,
    log: ActorProxy[TrainingLog],
) -> TrainingResult:
    """Fits the initial checkpoint to the fit rows, and predicts the tune and test rows with the best weights.

    ``frames``: the frame table; ``initial``: a Checkpoint. State is kept below ``storage_uri``/``name`` after every
    epoch, and a training that finds state there goes on from it. ``last_epoch``: to stop after, on a schedule that is
    made for all of the settings' epochs; 0: all of them. UsageError for a loss that is not a number;
    CutOffError where workers were lost more often than ``max_failures``.
    """
    shares = split_fit_rows(rows.fit, worker_plan.workers)
    held_out = np.concatenate([rows.tune, rows.test])
    datasets = {}
    for rank, share in enumerate(shares):
        datasets[f"fit-{rank}"] = select_rows(frames, share)
        if len(held_out):
            datasets[f"held-out-{rank}"] = select_rows(frames, held_out[rank :: worker_plan.workers])
    config = {
        "initial": initial,
        "settings": settings,
        "worker_plan": worker_plan,
        "shares": shares,
        "held_out": held_out,
        "tune_frames": len(rows.tune),
        "last_epoch": last_epoch or settings.epochs,
        "log": log,
    }
    filesystem, path = storage.filesystem(storage_uri)
    cpus = {"CPU": worker_plan.worker_cpus}
    trainer = TorchTrainer(
        run_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=worker_plan.workers,
            use_gpu=worker_plan.use_gpu,
            resources_per_worker={**cpus, "GPU": 1} if worker_plan.use_gpu else cpus,
            placement_strategy="SPREAD",  # so that workers do not compete for one node's threads
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            # An announced loss of a spot node does not count as a failure.
            failure_config=FailureConfig(max_failures=max_failures, max_preemption_failures=-1),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="CRITICAL"),
            worker_runtime_env={} if worker_plan.use_gpu else {"env_vars": KEEP_FREED_MEMORY_ENV},
        ),
        datasets=datasets,
        # One dataset per worker, so that its frames do not depend on which worker reads faster.
        dataset_config=DataConfig(datasets_to_split=[]),
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise _explain_failure(error, settings, max_failures, worker_plan.asked) from error
    except SystemExit:  # Ray Train's handler of Ctrl-C exits after it has stopped the workers
        raise interrupted() from None
    finally:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)
    from artifactscan.pipelines.train.worker import BEST_NAME

    returned = cast(dict[str, Any], result.return_value)
    if "refused" in returned:
        raise UsageError(returned["refused"])
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as folder:
        weights = Path(folder, BEST_NAME).read_bytes()
    return TrainingResult(weights=weights, **returned)


def _explain_failure(error: TrainingFailedError, settings: TrainSettings, max_failures: int, asked: str) -> Exception:
    """UsageError for lack of memory and a GPU that torch does not find, CutOffError for lost workers and full disks,
    else ``error`` itself. ``asked``: the device setting.
    """
    failures = list(getattr(error, "worker_failures", {}).values())
    text = " ".join(str(failures[0] if failures else error).split())
    if any(words in text for words in _OUT_OF_MEMORY):
        return UsageError(
            f"training does not fit into memory with --batch-frames {settings.batch_frames}; "
            "give fewer, a smaller --height and --width, or more --workers on other machines"
        )
    if _NO_GPU in text:
        node = _NODE_ADDRESS.search(text)
        return missing_gpu(asked, node[1] if node else "of the cluster")
    lost = any(hasattr(failure, "health_check_failure") for failure in failures)
    if lost or any(words in text for words in _DISK_FULL):
        return CutOffError(
            f"a training failed {max_failures + 1} times, the last time with: {text[-_MESSAGE_CHARACTERS:]}; "
            "the same command continues it"
        )
    return error


def split_fit_rows(fit: np.ndarray, workers: int) -> list[np.ndarray]:
    """The rows each worker trains on: equally many, as updates are synchronised; some rows are repeated to that end."""
    padded = np.resize(fit, -(-len(fit) // workers) * workers)
    return [padded[rank::workers] for rank in range(workers)]


def select_rows(frames: ray.data.Dataset, rows: np.ndarray) -> ray.data.Dataset:
    """The rows of the frame table with these numbers."""
    wanted = pa.array(np.unique(rows), pa.int32())

    def keep(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table["row"], value_set=wanted))

    return frames.map_batches(keep, batch_format="pyarrow", batch_size=None, num_cpus=0.1)


def run_worker(config: dict[str, Any]) -> dict[str, Any]:
    """Runs in each worker; Ray Train returns the result of rank 0."""
    from artifactscan.pipelines.train.worker import Worker  # loads torch and timm, which the driver does not need

    try:
        return Worker(config).run()
    except UsageError as error:  # Ray Train would retry a raised error as a lost worker
        return {"refused": str(error)}
    except Exception as error:  # Ray Train retries without a message
        text = " ".join(str(error).split())[-_MESSAGE_CHARACTERS:]
        config["log"].add_line.remote(f"a worker failed: {type(error).__name__}: {text}")
        raise
