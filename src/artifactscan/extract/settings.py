"""The settings of the job that extracts frames to label."""

from dataclasses import dataclass, fields
from typing import Literal

from artifactscan.annotation.labelling_tools import Tool
from artifactscan.annotation.selection import Measure, SelectionLimits
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.settings.groups import (
    ClusterSettings,
    CorpusSettings,
    DeviceSettings,
    SegmentSettings,
    check_settings,
)

ImageFormat = Literal["png", "jpeg"]


@dataclass(frozen=True, kw_only=True)
class ExtractSettings(CorpusSettings, SegmentSettings, DeviceSettings, ClusterSettings):
    """Writes the frames of a corpus that are worth labelling as images, with an index and files for labelling tools."""

    output: str
    """Folder or s3://bucket/prefix for frames/, index.parquet, ledger.parquet and export/."""

    choose: Literal["all", "uncertain", "disagree"] = "all"
    """all: every sampled frame, or spread out under the limits below; uncertain: those that one --checkpoint is least
    sure of; disagree: those that several disagree on most."""
    checkpoint: tuple[str, ...] = ()
    """Checkpoints to ask: folders, s3:// folders, hf://org/name@revision, or `builtin`; their scores go into the index
    too."""
    count: int | None = None
    """Frames to choose at most."""
    per_video: int | None = None
    """Frames to choose at most of one video."""
    min_gap_s: float = 0.0
    """Seconds between two chosen frames of one video, at least."""
    measure: Measure = "variance"
    """What counts as disagreement."""
    scores: str = ""
    """Store of scores to reuse and to add to, as `artifactscan score` writes it; empty: OUTPUT/scores."""

    export: tuple[Tool, ...] = ()
    """Tools to write files for, below OUTPUT/export."""
    labels: str = ""
    """Labels table, .csv or .parquet, whose labels go into the exports to be reviewed there."""
    image_format: ImageFormat = "png"
    """png keeps every pixel; jpeg is smaller and adds blocks and ringing of its own."""
    jpeg_quality: int = 95
    """1 to 100."""
    height: int = 0
    """Pixels of the images, together with --width; 0: the video's own, at most 4096 a side."""
    width: int = 0
    """Pixels of the images, together with --height; 0: the video's own, at most 4096 a side."""
    replace: bool = False
    """Replace the frames, index and exports that an earlier extraction left in OUTPUT."""

    quiet: bool = False
    """No progress line."""

    def __post_init__(self) -> None:
        check_settings(self)
        self.listing()  # raises for a --since that cannot be read
        for name in ("count", "per_video"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; give 1 or more")
        if not self.min_gap_s >= 0:
            raise UsageError(f"--min-gap-s is {self.min_gap_s}; give 0 or more")
        if not 1 <= self.jpeg_quality <= 100:
            raise UsageError(f"--jpeg-quality is {self.jpeg_quality}; give a number from 1 to 100")
        self._check_choice()
        self._check_size()

    def _check_choice(self) -> None:
        given = len(self.checkpoint)
        if self.choose == "uncertain" and given != 1:
            raise UsageError(f"--choose uncertain asks one --checkpoint, {given} are given; for several use disagree")
        if self.choose == "disagree" and given < 2:
            raise UsageError(f"--choose disagree compares checkpoints, {given} is given; give two or more --checkpoint")
        if self.choose != "all" and self.count is None and self.per_video is None:
            raise UsageError(f"--choose {self.choose} takes the best first; say how many with --count or --per-video")

    def _check_size(self) -> None:
        if bool(self.height) != bool(self.width):
            raise UsageError(
                f"--height is {self.height} and --width is {self.width}; give both, or neither for the video's own size"
            )
        try:
            self.image_decoding()
        except ValueError as error:
            raise UsageError(f"--height and --width cannot be used: {error}") from None

    def selection(self) -> SelectionLimits:
        """How many frames to choose, and how far apart."""
        return SelectionLimits(count=self.count, per_video=self.per_video, min_gap_s=self.min_gap_s)

    def image_decoding(self) -> DecodeSettings:
        """How videos become images; the input is a placeholder where they keep their own size."""
        return self.decoding(InputSpec(height=self.height or 16, width=self.width or 16))

    def scoring(self, checkpoint: str) -> ScoreSettings:
        """How the scoring job is asked for the scores to choose by."""
        shared = {field.name for field in fields(ScoreSettings)} & {field.name for field in fields(self)}
        values = {name: getattr(self, name) for name in shared - {"output", "checkpoint", "max_failed"}}
        store = self.scores or f"{self.output.rstrip('/')}/scores"
        # Videos that fail end in the extraction's ledger, whose --max-failed counts.
        return ScoreSettings(**values, output=store, checkpoint=checkpoint, max_failed=1.0)
