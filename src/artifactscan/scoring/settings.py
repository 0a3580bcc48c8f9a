"""The settings of the jobs that score."""

from dataclasses import dataclass
from typing import Literal

from artifactscan.errors import UsageError
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.settings.groups import (
    ClusterSettings,
    CorpusSettings,
    DeviceSettings,
    FilterSettings,
    SegmentSettings,
    check_settings,
)


@dataclass(frozen=True, kw_only=True)
class SharedScoringSettings(FilterSettings, SegmentSettings, DeviceSettings, ClusterSettings):
    """What the jobs that score a corpus have in common: what to list, how to decode and how to classify."""

    checkpoint: str = "builtin"
    """Checkpoint folder, s3:// folder, hf://org/name@revision on a model hub, or `builtin`."""
    decoder: Literal["auto", "pyav", "decord", "nvdec"] = "auto"
    """auto: pyav (the faster), and decord where pyav fails; nvdec: the GPU by torchcodec, and pyav for what that cannot
    decode. The ledger says which decoded each video."""

    executor: Literal["auto", "ray", "local"] = "auto"
    """Where decoding and classifying run: ray (the cluster in RAY_ADDRESS, or this machine's own), local (this process
    and one that decodes, which starts sooner), auto: local for a few clips, on two cores for up to 20 minutes, where
    no cluster is named."""
    batch_frames: int = 0
    """Frames per forward pass; 0: 128 on a GPU, 16 on a CPU."""
    compile: bool = False
    """Compile the model (minutes at the start, faster after)."""
    classify_actors: int = 0
    """Classifying processes; 0: one per GPU, or one on a machine without."""

    slice_bytes: int = 128 << 20
    """Videos of more bytes are cut into slices of about this size, which several processes decode; 0: none is."""

    quiet: bool = False
    """No progress line."""
    log_format: Literal["text", "json"] = "text"
    """Format of progress and errors on stderr; json: one object a line, with the run."""

    def __post_init__(self) -> None:
        check_settings(self)

    def classifying(self) -> ClassifySettings:
        """How frames become scores."""
        return ClassifySettings(
            batch_frames=self.batch_frames, device=self.device, precision=self.precision, compile=self.compile
        )


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(CorpusSettings, SharedScoringSettings):
    """Scores every video of a corpus for the four artifact labels and leaves Parquet tables."""

    output: str
    """Store to write to: a folder, or s3://, gs:// or az://bucket/prefix."""
    retry_failed: bool = False
    """Try again the videos that an earlier run found undecodable, timed out, crashed or too large."""
    plan: bool = False
    """Print what would be done, and stop."""
    price_per_hour: tuple[float, ...] = ()
    """With --plan: what an hour of a node costs, of one that decodes and one with a GPU, or of one that does both."""
    node_cpus: int = 16
    """With --plan: CPUs of a node that decodes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.price_per_hour) > 2 or not all(0 <= price < float("inf") for price in self.price_per_hour):
            given = " ".join(map(str, self.price_per_hour))
            raise UsageError(f"--price-per-hour is {given}; give one price or two, of 0 or more")
        self.listing()  # raises for a --since that cannot be read
