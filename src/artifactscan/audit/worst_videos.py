"""Which videos of a night a person looks at first."""

from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night_tables import ALL
from artifactscan.labels import LABELS

BRIEF_CLIPS = 3
"""Clips to look at that a page, a mail and a message begin with."""


def worst_videos(arrivals: pa.Table, count: int, leading_cell: tuple[str, str] | None = None) -> pa.Table:
    """The videos with events to look at first: by the mean over labels of the share of frames over, then the peak.

    Among them are the first BRIEF_CLIPS with an event of ``leading_cell``, the label and group that failed the night.
    """
    flagged = arrivals.filter(pc.greater(_sum_over_labels(arrivals, "events"), 0))
    if not flagged.num_rows:
        return flagged
    shares = pc.divide(_sum_over_labels(flagged, "frames_over").cast(pa.float64()), flagged["frames"])
    peaks = pc.max_element_wise(*(flagged[f"peak_{label}"] for label in LABELS))
    ranked = pa.table({"share": shares, "peak": peaks, "uri": flagged["uri"]})
    order = pc.sort_indices(ranked, [("share", "descending"), ("peak", "descending"), ("uri", "ascending")])
    ordered = flagged.take(order)
    leading = np.flatnonzero(videos_of_cell(ordered, leading_cell))[:BRIEF_CLIPS] if leading_cell else []
    chosen = list(dict.fromkeys([*map(int, leading), *range(ordered.num_rows)]))[:count]
    return ordered.take(pa.array(sorted(chosen), pa.int64()))


def videos_of_cell(arrivals: pa.Table, cell: tuple[str, str]) -> np.ndarray:
    """bool (videos,): the arrivals with an event of the label in the group."""
    label, group = cell
    flagged = arrivals[f"events_{label}"].to_numpy() > 0
    if group == ALL:
        return flagged
    return flagged & np.array([group in groups for groups in arrivals["groups"].to_pylist()], bool)


def _sum_over_labels(arrivals: pa.Table, kind: str) -> pa.ChunkedArray:
    return reduce(pc.add, [arrivals[f"{kind}_{label}"] for label in LABELS])
