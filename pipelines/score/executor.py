"""Where the stages of a scoring run are executed: on Ray, or for little work in this process."""

import os
import sys
from typing import Protocol

import pyarrow as pa

from artifactscan.messages.activity import activity
from artifactscan.model.gpu_devices import has_gpu
from artifactscan.pipelines.score.request import ScoringJob
from artifactscan.scoring.stopwatch import Stopwatch

MOST_LOCAL_S = 45.0
"""Seconds of decoding and classifying, one after the other, up to which a run stays in this process. On two cores Ray
takes half of that to start; with more cores it makes up for its start later."""
FEW_CORES = 2
"""Cores that one classifier and one decoding process keep busy: more processes would find none."""
MOST_LOCAL_FEW_CORES_S = 1200.0
"""Seconds of classifying up to which a run stays in this process on FEW_CORES without a GPU, where it is faster than on
Ray at any length (docs/experiments.md). Longer runs are for Ray, which replaces a classifier that dies."""


class Executor(Protocol):
    """Runs the scoring stages over the open videos of a run."""

    @property
    def device(self) -> str:
        """What the classifiers are put on: cuda or cpu."""
        ...

    def is_complete(self) -> bool:
        """Whether all is still there that it was sized for."""
        ...

    def execute(self, job: ScoringJob, run: str, work: pa.Table, watch: Stopwatch) -> set[str]:
        """Scores ``work``, one row per slice, into the run's parts; returns the classifiers' notes, and
        others on what went differently than asked or usual.

        CutOffError where the machine or the cluster gives out, NodesLostError where another executor could go on.
        """
        ...


def prepare_executor(job: ScoringJob, *, frames: int, local_uri: str | None, device: str | None = None) -> Executor:
    """An executor for about ``frames`` sampled frames; UsageError where the cluster cannot be used.

    ``local_uri``: a video that all nodes must reach; ``device``: in place of the settings'.
    """
    if is_local(job, frames):
        from artifactscan.pipelines.score.local_executor import LocalExecutor

        device = device or _device_here(job)
        return LocalExecutor(device, _notes_on_nvdec(job, device))
    with activity("loading Ray", job.settings.quiet):
        from artifactscan.pipelines.score.ray_executor import prepare_cluster
    return prepare_cluster(job, frames=frames, local_uri=local_uri, device=device)


def _notes_on_nvdec(job: ScoringJob, device: str) -> frozenset[str]:
    """What NVDEC does to the scores, where it is asked for; UsageError where it does not work in this machine."""
    if not job.decodes_on_gpu:
        return frozenset()
    from artifactscan.scoring.nvdec_probe import measure_nvdec

    with activity("trying NVDEC on a clip", job.settings.quiet):
        return frozenset({measure_nvdec(job.checkpoint, job.decoding(), job.classifying(device))})


def _device_here(job: ScoringJob) -> str:
    """As on Ray, cuda where this machine has a GPU; UsageError, before there is a run, where torch does not find it."""
    if _is_on_cpu(job):
        return "cpu"
    from artifactscan.model.device import check_gpu  # imports torch

    check_gpu("auto" if job.device == "auto" else None)
    return "cuda"


def _is_on_cpu(job: ScoringJob) -> bool:
    """Whether the classifier runs on the CPU, on this machine."""
    return job.device == "cpu" or (job.device == "auto" and not has_gpu())


def is_local(job: ScoringJob, frames: int) -> bool:
    """Whether ``frames`` sampled frames are scored in this process: as ``--executor`` says, or where there are few, or
    not many and few cores, no cluster is named, no Ray runs here already, and no number of processes is asked for."""
    settings = job.settings
    if settings.executor != "auto":
        return settings.executor == "local"
    ray = sys.modules.get("ray")
    if "RAY_ADDRESS" in os.environ or (ray is not None and ray.is_initialized()):
        return False
    if settings.decode_actors or settings.classify_actors:
        return False
    costs = job.frame_costs("cpu")
    if frames * (costs.decode_s + costs.classify_s) <= MOST_LOCAL_S:
        return True
    # One decoding process must keep up with the classifier, which it does not with one in int8.
    decoding_keeps_up = costs.decode_s <= costs.classify_s and settings.precision != "int8" and _is_on_cpu(job)
    has_few_cores = _usable_cores() <= FEW_CORES
    return has_few_cores and decoding_keeps_up and frames * costs.classify_s <= MOST_LOCAL_FEW_CORES_S


def _usable_cores() -> int:
    """Cores that this process may run on; macOS, which cannot restrict a process to some, counts all."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
