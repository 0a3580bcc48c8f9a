"""Long videos in slices: cut before decoding, so that several processes share one, and put together afterwards.

A slice is done like a video, in an attempt of its own. A video counts as done when all its slices have frames to show;
where one has not, the video is decoded whole, and what became of that is its outcome.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.isolation import frames_lost
from artifactscan.outcomes import Outcome
from artifactscan.tables import VIDEO_FACTS

MOST_SLICES = 64

_COUNTED = ("frames_sampled", "frames_decoded", "packets_damaged")
_TIMED = ("fetch_s", "decode_s")


def cut(work: pa.Table, slice_bytes: int, *, whole: frozenset[str] = frozenset()) -> pa.Table:
    """``work`` with a row per slice, the largest first: columns ``slice``, ``slices`` and ``slice_bytes``.

    Objects of more than ``slice_bytes`` are cut into as many slices as make up their size, but not the videos in
    ``whole``, and none with 0.
    """
    counts = [
        1 if not slice_bytes or not size or video in whole else min(MOST_SLICES, -(-size // slice_bytes))
        for video, size in zip(work["video_id"].to_pylist(), work["size_bytes"].to_pylist(), strict=True)
    ]
    rows = pa.array([row for row, count in enumerate(counts) for _ in range(count)], pa.int64())
    slices = pa.array([count for count in counts for _ in range(count)], pa.int32())
    numbers = pa.array([number for count in counts for number in range(count)], pa.int32())
    table = work.take(rows).append_column("slice", numbers).append_column("slices", slices)
    weights = pc.divide(pc.fill_null(table["size_bytes"], 0), slices.cast(pa.int64()))
    return table.append_column("slice_bytes", weights).sort_by([("slice_bytes", "descending"), ("uri", "ascending")])


def join(segments: pa.Table) -> pa.Table:
    """``segments`` of whole videos, PARTS, in which each video has one verdict, on its last row."""
    sliced = pc.greater(pc.fill_null(segments["slices"], 1), 1)
    if not pc.any(sliced).as_py():
        return segments
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in segments.filter(sliced).to_pylist():
        rows.setdefault(row["video_id"], []).append(row)
    joined = [row for video in rows.values() for row in _joined(video)]
    return pa.concat_tables([segments.filter(pc.invert(sliced)), pa.Table.from_pylist(joined, schema=segments.schema)])


def _joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The segments of one video in order, the verdicts of its slices made one."""
    rows.sort(key=lambda row: (row["slice"], row["segment"]))
    verdicts = [row for row in rows if row["last"]]
    counts = {name: sum(row[name] or 0 for row in verdicts) for name in _COUNTED}
    seconds = {name: sum(row[name] or 0.0 for row in verdicts) for name in _TIMED}
    sampled, decoded = counts["frames_sampled"], counts["frames_decoded"]
    outcome = Outcome.SCORED if decoded == sampled else Outcome.PARTIAL if decoded else Outcome.UNDECODABLE
    reason = None if decoded == sampled else frames_lost(sampled, decoded, counts["packets_damaged"])
    facts = {field.name: verdicts[0][field.name] for field in VIDEO_FACTS} | counts | seconds
    for row in rows:
        row.update(last=False, outcome=None, reason=None)
    rows[-1].update(facts, last=True, outcome=str(outcome), reason=reason)
    return rows
