"""Prints what an extraction wrote."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.messages.text import printable
from artifactscan.scoring.summary import short_uri


def print_extraction(
    index: pa.Table, ledger: pa.Table, outputs: Sequence[tuple[str, str]], out: Console, *, choose: str, lost: int
) -> None:
    """Prints the outcomes of a ledger and what was written.

    ``outputs``: what was written, and its uri; ``choose``: the setting; ``lost``: chosen frames that did not decode
    when they were to be written.
    """
    table = Table(title="Extraction", title_justify="left")
    for heading in ("outcome", "videos", "frames written", "such as"):
        table.add_column(heading, justify="right" if heading in ("videos", "frames written") else "left")
    rows = ledger.to_pylist()
    for outcome, videos in Counter(row["outcome"] for row in rows).most_common():
        alike = [row for row in rows if row["outcome"] == outcome]
        example = next(
            (f"{short_uri(row['uri'])}: {printable(row['reason'], 80)}" for row in alike if row["reason"]), ""
        )
        frames = sum(row["frames_written"] for row in alike)
        table.add_row(outcome, f"{videos:,}", f"{frames:,}", Text(example))
    out.print(table)
    videos = sum(row["frames_written"] > 0 for row in rows)
    out.print(f"{index.num_rows:,} frames of {videos:,} videos, chosen: {choose}")
    if lost:
        out.print(f"{lost:,} chosen frames could not be decoded when they were to be written", style="yellow")
    for what, uri in outputs:
        out.print(Text(f"{what:12} {printable(uri)}"), soft_wrap=True)


def print_reviewed(labels_file: str, index: pa.Table, labels: pa.Table, out: Console) -> None:
    """Prints how many frames of the index are labelled already; ``labels``: LABELLED rows of ``labels_file``."""
    frames, labelled = (
        set(zip(table["file"].to_pylist(), table["frame_index"].to_pylist(), strict=True)) for table in (index, labels)
    )
    out.print(f"{len(frames & labelled):,} of them are labelled in {printable(labels_file)}")
