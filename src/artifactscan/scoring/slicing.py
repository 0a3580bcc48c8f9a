"""Long videos in slices: cut before decoding, so that several processes share one, and put together afterwards.

A slice is done like a video, in an attempt of its own. A video counts as done when all its slices are, and there are
frames to show. Where one cannot be decoded the video is decoded whole, by either decoder, and what became of that is
its outcome; a slice that could not be had or took too long speaks for the whole.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.decode.sandbox.supervisor import frames_lost
from artifactscan.outcomes import Outcome
from artifactscan.schemas import VIDEO_FACTS

MOST_SLICES = 64

_COUNTED = ("frames_sampled", "frames_decoded", "packets_damaged")
_TIMED = ("fetch_s", "decode_s")


def cut(
    work: pa.Table,
    slice_bytes: int,
    *,
    max_bytes: int | None = None,
    whole: frozenset[str] = frozenset(),
    landed: Mapping[str, tuple[int, frozenset[int]]] | None = None,
) -> pa.Table:
    """``work`` with a row per slice, the largest first: columns ``slice``, ``slices`` and ``slice_bytes``.

    Objects of more than ``slice_bytes`` are cut into as many slices as make up their size; but not the videos in
    ``whole``, not those over ``max_bytes``, which nobody decodes, and none with 0. Slices in ``landed``, of so many,
    are left out.
    """
    rows, numbers, counts = [], [], []
    for row, (video, size) in enumerate(zip(work["video_id"].to_pylist(), work["size_bytes"].to_pylist(), strict=True)):
        one_piece = not slice_bytes or not size or video in whole or (max_bytes is not None and size > max_bytes)
        count = 1 if one_piece else min(MOST_SLICES, -(-size // slice_bytes))
        of, done = (landed or {}).get(video, (0, frozenset()))
        left = [number for number in range(count) if of != count or number not in done]
        rows += [row] * len(left)
        numbers += left
        counts += [count] * len(left)
    slices = pa.array(counts, pa.int32())
    table = work.take(pa.array(rows, pa.int64())).append_column("slice", pa.array(numbers, pa.int32()))
    table = table.append_column("slices", slices)
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
