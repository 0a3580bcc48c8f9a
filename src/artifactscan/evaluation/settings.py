"""The settings of the job that evaluates a checkpoint on labelled frames."""

from dataclasses import dataclass
from typing import Literal

from artifactscan.decode.video import DecodeLimits
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.settings.groups import ClusterSettings, DeviceSettings, check_settings


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(DeviceSettings, ClusterSettings):
    """Evaluates a checkpoint on labelled frames that it was not trained on."""

    checkpoint: str
    """Checkpoint folder, s3:// folder, hf://org/name@revision on a model hub, or `builtin`."""
    labels: tuple[str, ...]
    """Tables of labelled frames, .csv or .parquet; on a model hub hf://datasets/org/name@revision."""
    clips: tuple[str, ...] = ()
    """Folders or s3:// prefixes that the labels' paths start from: one for each table or one for all; none: the folder
    of each table."""
    output: str
    """Folder or s3://bucket/prefix for predictions.parquet, metrics.parquet, report.md and evaluation.json."""

    protocol: Literal["videos", "frames", "generators"] = "videos"
    """How these frames were kept from training: videos (none of their clips was trained on) frames (others of the
    same clips were, so that they leak), or generators (no clip of their makers was trained on)."""
    generator_pattern: str = ""
    """Reads what made a clip from its path in the labels, such as {generator}/ or clips/{generator}_{name}.mp4, where
    the labels have no column generator; figures are then given by maker too."""
    label_rule: Literal["error", "any", "all", "majority"] = "error"
    """What becomes of a frame that is labelled differently: an error, or 1 where any, all or most say so. Grades are
    averaged; under error a label is 1 from a mean of 1.5 on."""
    resamples: int = 1000
    """Bootstrap resamples over videos behind each interval; 0: no intervals."""
    seed: int = 0
    """Of the bootstrap."""

    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    cache: str = ""
    """Folder or s3:// prefix that keeps decoded frames; empty: OUTPUT/frames."""
    video_timeout_s: float = 600.0
    """Seconds one clip may take to decode; every frame of it is."""

    def __post_init__(self) -> None:
        check_settings(self)

    def bootstrap(self) -> BootstrapSettings:
        """How intervals are made."""
        return BootstrapSettings(resamples=self.resamples, seed=self.seed)

    def limits(self) -> DecodeLimits:
        """What one clip may cost to decode."""
        return DecodeLimits(video_timeout_s=self.video_timeout_s)

    def classifying(self) -> ClassifySettings:
        """How frames become scores: as the scoring job does it."""
        return ClassifySettings(batch_frames=self.batch_frames, device=self.device, precision=self.precision)
