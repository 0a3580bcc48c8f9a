"""The settings of the labels job: one frozen dataclass per command."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from artifactscan.annotation.cvat import Untagged
from artifactscan.annotation.labelling_tools import Tool
from artifactscan.annotation.merge_rows import Rule
from artifactscan.errors import UsageError
from artifactscan.settings.groups import MAX_SAMPLE_FPS


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Reads what a labelling tool exported into one labels table."""

    tool: Annotated[Tool, tyro.conf.arg(name="from", aliases=["--tool"])]
    """The tool it comes from."""
    file: str
    """What it exported, local or s3://: a sheet as .csv or .parquet, CVAT's XML or ZIP, Label Studio's JSON, FiftyOne's
    labels.json, or of videos its samples.json."""
    index: str
    """The index.parquet of the extraction, or of the export of events, that was labelled."""
    output: str
    """Labels table to write: .csv or .parquet, local or s3://."""
    annotator: str | None = None
    """Who labelled; takes the place of whomever the tool names."""
    on_conflict: Rule = "keep"
    """What becomes of a frame that several people labelled: a row for each (keep), or one row by a rule."""
    untagged: Untagged = "error"
    """What an image without any tag is in CVAT, or a clip without a track `reviewed`: a mistake, one that was looked at
    and whose tags or tracks are all it shows (clean), or one that nobody looked at (skip)."""


@dataclass(frozen=True, kw_only=True)
class AgreeSettings:
    """Compares annotators: Cohen's kappa per label, and how well one's grades predict the other's labels."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Labels tables, .csv or .parquet, local or s3://; each one an annotator, or several by the column `annotator`."""
    output: str | None = None
    """Parquet file to write the figures to as well."""
    resamples: int = 1000
    """Bootstrap resamples over clips behind each interval; 0: no intervals."""


@dataclass(frozen=True, kw_only=True)
class CleanSettings:
    """Labels clips that have no defects, such as camera footage: negatives for training and evaluation."""

    input: str
    """Folder or s3:// prefix of the clips, or a manifest."""
    output: str
    """Labels table to write: .csv or .parquet, local or s3://."""
    generator: str = "camera"
    """What made them, for figures by maker."""
    frames_per_clip: int = 6
    """Frames of each clip at most, from its beginning."""
    sample_fps: float = 2.0
    """Frames per second."""

    def __post_init__(self) -> None:
        if self.frames_per_clip < 1:
            raise UsageError(f"--frames-per-clip is {self.frames_per_clip}; give 1 or more")
        if not 0 < self.sample_fps <= MAX_SAMPLE_FPS:
            raise UsageError(f"--sample-fps is {self.sample_fps}; give a number above 0, at most {MAX_SAMPLE_FPS:g}")


@dataclass(frozen=True, kw_only=True)
class LabelsPushSettings:
    """Shares a labels table, not the clips, on a model hub: in one commit, as Parquet with a card for `datasets`."""

    labels: str
    """Labels table, .csv or .parquet, local or s3://."""
    to: str
    """hf://datasets/org/name, or hf://datasets/org/name@branch; the repository is made where there is none. Or a
    folder, local or s3://, for the same files."""
    annotators: Literal["numbered", "named"] = "numbered"
    """Whether people's names go along, or annotator 1, annotator 2, …; a judge keeps its own."""
    private: bool = False
    """Make the repository private; refused where it is there and public."""
    license: str | None = None
    """Of the labels, as the hub names it, such as cc-by-4.0: it stands in the card."""
    message: str = ""
    """Of the commit; empty: the number of frames."""
