"""The settings of the labels job: one frozen dataclass per command."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from artifactscan.annotation.cvat import Untagged
from artifactscan.annotation.labelling_tools import Tool
from artifactscan.annotation.merge_rows import Rule


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Reads what a labelling tool exported into one labels table."""

    tool: Annotated[Tool, tyro.conf.arg(name="from", aliases=["--tool"])]
    """The tool it comes from."""
    file: str
    """What it exported, local or s3://: a sheet as .csv or .parquet, CVAT's XML or ZIP, Label Studio's JSON, FiftyOne's
    labels.json."""
    index: str
    """The index.parquet of the extraction that was labelled."""
    output: str
    """Labels table to write: .csv or .parquet, local or s3://."""
    annotator: str | None = None
    """Who labelled; takes the place of whomever the tool names."""
    on_conflict: Rule = "keep"
    """What becomes of a frame that several people labelled: a row for each (keep), or one row by a rule."""
    untagged: Untagged = "error"
    """What an image without any tag is in CVAT: a mistake, a clean frame, or one that nobody looked at (skip)."""


@dataclass(frozen=True, kw_only=True)
class AgreeSettings:
    """Compares annotators: Cohen's kappa per label, and how well one's grades predict the other's labels."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Labels tables, .csv or .parquet, local or s3://; each one an annotator, or several by the column `annotator`."""
    output: str | None = None
    """Parquet file to write the figures to as well."""
    resamples: int = 1000
    """Bootstrap resamples over clips behind each interval; 0: no intervals."""
