"""The commands of `artifactscan labels`: each takes its settings and prints its result."""

from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.labelling_tools import import_labels
from artifactscan.annotation.labels_table import read_labels, split_by_annotator, write_labels
from artifactscan.annotation.settings import AgreeSettings, ImportSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, MAX_SEVERITY, SEVERITY_COLUMNS
from artifactscan.messages.text import printable
from artifactscan.storage import storage_errors
from artifactscan.storage.parquet import write_table


def import_table(settings: ImportSettings, out: Console) -> None:
    """Writes a tool's results as one labels table and prints counts; UsageError before anything is written."""
    table, unlabelled = import_labels(
        settings.tool,
        settings.file,
        settings.index,
        annotator=settings.annotator,
        untagged=settings.untagged,
        rule=settings.on_conflict,
    )
    write_labels(table, settings.output)
    grid = Table(title=f"{table.num_rows:,} labelled frames", title_justify="left")
    grid.add_column("annotator")
    for heading in ("frames", *LABELS, "none of them"):
        grid.add_column(heading, justify="right")
    for annotator, frames in Counter(table["annotator"].to_pylist()).most_common():
        rows = table.filter(
            pc.is_null(table["annotator"]) if annotator is None else pc.equal(table["annotator"], annotator)
        )
        votes = np.stack([rows[label].to_numpy() for label in LABELS])
        counts = [frames, *votes.sum(axis=1).tolist(), int((~votes.any(axis=0)).sum())]
        name = "not named" if annotator is None else printable(annotator, 40)
        grid.add_row(Text(name), *(f"{count:,}" for count in counts))
    out.print(grid)
    if graded := table.num_rows - table[SEVERITY_COLUMNS[0]].null_count:
        out.print(f"graded from 0 to {MAX_SEVERITY}: {graded:,}")
    if unlabelled:
        out.print(f"left out, as nobody labelled them yet: {unlabelled:,}")
    out.print(Text(f"labels  {printable(settings.output)}"), soft_wrap=True)


def agree(settings: AgreeSettings, out: Console) -> None:
    """Prints the agreement of each pair of annotators; UsageError as ``read_labels`` and ``compare_annotators``."""
    from artifactscan.annotation.agreement import ceiling_of, compare_annotators, print_agreement, print_ceiling
    from artifactscan.evaluation.bootstrap import BootstrapSettings  # loads torch, which an import does not need

    annotations: dict[str, pa.Table] = {}
    for file, name in zip(settings.files, _names(settings.files), strict=True):
        for annotator, table in split_by_annotator(read_labels(file, rule="keep"), name).items():
            if annotator in annotations:
                raise UsageError(f"{file} has labels of {annotator}, as a file before it; give each annotator once")
            annotations[annotator] = table
    bootstrap = BootstrapSettings(resamples=settings.resamples)
    figures = compare_annotators(annotations, bootstrap)
    print_agreement(figures, out)
    if len(annotations) > 2 and (ceiling := ceiling_of(annotations, bootstrap)):
        print_ceiling(ceiling, out)
    if settings.output is not None:
        try:
            write_table(figures, storage.normalise(settings.output))
        except OSError as error:
            reason = storage_errors.describe(error, settings.output)
            raise UsageError(f"output {settings.output} cannot be written: {reason}") from None


def _names(files: tuple[str, ...]) -> list[str]:
    """The stems of the files, or their whole paths where two stems are the same."""
    stems = [PurePosixPath(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else list(files)
