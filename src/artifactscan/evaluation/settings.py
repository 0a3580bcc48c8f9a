"""The settings of the evaluation job: one frozen dataclass, filled by flags and by a YAML file alike."""

from dataclasses import dataclass
from typing import Literal

from artifactscan.decode.video import DecodeLimits
from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.model.classify_settings import ClassifySettings


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Evaluates a checkpoint on labelled frames that it was not trained on."""

    checkpoint: str
    """Checkpoint folder, s3:// folder, or `builtin`."""
    labels: tuple[str, ...]
    """Tables of labelled frames, .csv or .parquet."""
    clips: tuple[str, ...] = ()
    """Folders or s3:// prefixes that the labels' paths start from: one for each table or one for all; none: the folder
    of each table."""
    output: str
    """Folder or s3://bucket/prefix for predictions.parquet, metrics.parquet, report.md and evaluation.json."""

    protocol: Literal["videos", "frames"] = "videos"
    """How these frames were kept from training: videos (none of their clips was trained on) or frames (others of the
    same clips were, so that they leak)."""
    label_rule: Literal["error", "any", "all", "majority"] = "error"
    """What becomes of a frame that is labelled differently: an error, or 1 where any, all or most say so."""
    resamples: int = 1000
    """Bootstrap resamples over videos behind each interval; 0: no intervals."""
    seed: int = 0
    """Of the bootstrap."""

    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """auto: cuda where the cluster has a GPU."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 where the hardware has it and no score moves by 0.01 or more."""
    cache: str = ""
    """Folder or s3:// prefix that keeps decoded frames; empty: OUTPUT/frames."""
    shared_filesystem: bool = False
    """On a cluster of several nodes: local paths lead to one file system that all of them mount."""
    node_wait_s: float = 0.0
    """Seconds to wait for the first nodes of an autoscaler; 0: 15 minutes for that of `ray up`, else none."""
    decode_actors: int = 0
    """Decoding processes; 0: as many as the CPUs allow."""
    video_timeout_s: float = 600.0
    """Seconds one clip may take to decode; every frame of it is."""

    def __post_init__(self) -> None:
        for name in ("resamples", "seed", "batch_frames", "decode_actors", "node_wait_s"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give 0 or more")
        if not self.video_timeout_s > 0:
            raise UsageError(f"--video-timeout-s is {self.video_timeout_s}; give a number above 0")

    def bootstrap(self) -> BootstrapSettings:
        """How intervals are made."""
        return BootstrapSettings(resamples=self.resamples, seed=self.seed)

    def limits(self) -> DecodeLimits:
        """What one clip may cost to decode."""
        return DecodeLimits(video_timeout_s=self.video_timeout_s)

    def classifying(self) -> ClassifySettings:
        """How frames become scores: as the scoring job does it."""
        return ClassifySettings(batch_frames=self.batch_frames, device=self.device, precision=self.precision)
