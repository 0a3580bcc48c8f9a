"""Long videos in slices: cut before decoding, so that several processes share one, and merged when settling.

A slice is decoded like a video, in an attempt of its own. A video is done when all its slices are and together they
have frames. Where a slice cannot be decoded, the video is decoded whole, and that gives its outcome.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.decode.sandbox.supervisor import frames_lost
from artifactscan.outcomes import Outcome
from artifactscan.schemas import VIDEO_FACTS

MOST_SLICES = 64
"""Slices of one video."""

_SUMMED_COUNTS = ("frames_sampled", "frames_decoded", "packets_damaged")
_SUMMED_SECONDS = ("fetch_s", "decode_s")


def cut_into_slices(
    work: pa.Table,
    slice_bytes: int,
    *,
    max_bytes: int | None = None,
    whole: frozenset[str] = frozenset(),
    done: Mapping[str, tuple[int, frozenset[int]]] | None = None,
) -> pa.Table:
    """``work`` with one row per slice, the largest first: adds columns ``slice``, ``slices`` and ``slice_bytes``.

    An object is cut into slices of at most ``slice_bytes`` (0: nothing is cut), except the videos in ``whole`` and
    objects over ``max_bytes``, which are not decoded. ``done``: video_id → number of slices and those to leave out,
    which counts only where the video is cut into as many again.
    """
    rows, numbers, counts = [], [], []
    for row, (video, size) in enumerate(zip(work["video_id"].to_pylist(), work["size_bytes"].to_pylist(), strict=True)):
        one_piece = not slice_bytes or not size or video in whole or (max_bytes is not None and size > max_bytes)
        count = 1 if one_piece else min(MOST_SLICES, -(-size // slice_bytes))
        done_count, done_numbers = (done or {}).get(video, (0, frozenset()))
        left = [number for number in range(count) if done_count != count or number not in done_numbers]
        rows += [row] * len(left)
        numbers += left
        counts += [count] * len(left)
    slices = pa.array(counts, pa.int32())
    table = work.take(pa.array(rows, pa.int64())).append_column("slice", pa.array(numbers, pa.int32()))
    table = table.append_column("slices", slices)
    sizes = pc.divide(pc.fill_null(table["size_bytes"], 0), slices.cast(pa.int64()))
    return table.append_column("slice_bytes", sizes).sort_by([("slice_bytes", "descending"), ("uri", "ascending")])


def merge_slices(segments: pa.Table) -> pa.Table:
    """PARTS rows of whole videos, the slices of each merged: one verdict per video, on its last row."""
    sliced = pc.greater(pc.fill_null(segments["slices"], 1), 1)
    if not pc.any(sliced).as_py():
        return segments
    videos: dict[str, list[dict[str, Any]]] = {}
    for row in segments.filter(sliced).to_pylist():
        videos.setdefault(row["video_id"], []).append(row)
    merged = [row for rows in videos.values() for row in _merge_slices_of_video(rows)]
    return pa.concat_tables([segments.filter(pc.invert(sliced)), pa.Table.from_pylist(merged, schema=segments.schema)])


def _merge_slices_of_video(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The segments of one video in order, with one verdict in place of one per slice."""
    rows.sort(key=lambda row: (row["slice"], row["segment"]))
    verdicts = [row for row in rows if row["last"]]
    counts = {name: sum(row[name] or 0 for row in verdicts) for name in _SUMMED_COUNTS}
    seconds = {name: sum(row[name] or 0.0 for row in verdicts) for name in _SUMMED_SECONDS}
    sampled, decoded = counts["frames_sampled"], counts["frames_decoded"]
    outcome = Outcome.SCORED if decoded == sampled else Outcome.PARTIAL if decoded else Outcome.UNDECODABLE
    lost = [] if decoded == sampled else [frames_lost(sampled, decoded, counts["packets_damaged"])]
    reason = "; ".join([*lost, *dict.fromkeys(filter(None, map(_note_on_decoders, verdicts)))]) or None
    facts = {field.name: verdicts[0][field.name] for field in VIDEO_FACTS} | counts | seconds
    for row in rows:
        row.update(last=False, outcome=None, reason=None)
    rows[-1].update(facts, last=True, outcome=str(outcome), reason=reason)
    return rows


def _note_on_decoders(verdict: dict[str, Any]) -> str | None:
    """What the reason of a slice says after the frames it has lost: that another decoder failed first."""
    reason = verdict["reason"] or ""
    return reason if verdict["outcome"] == Outcome.SCORED else reason.partition("; ")[2]
