"""Finds the complete attempts at videos, from the key columns of a run's parts.

A video may be in the parts several times: a retried task, a continued run, a second decoder. An *attempt* is one try at
one video or slice. It is complete when its segments 0 … n are all there and the last one carries the verdict.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.outcomes import HAS_FRAMES, Outcome
from artifactscan.schemas import PARTS, outcomes_with_frames
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import open_plain, parquet_files
from artifactscan.store.layout import Store

_log = logging.getLogger(__name__)
_KEY_COLUMNS = ["video_id", "slices", "slice", "attempt", "segment", "last", "outcome", "frames_decoded"]
_WHOLE_VIDEO_OUTCOMES = frozenset({Outcome.UNREADABLE, Outcome.CHANGED, Outcome.TOO_LARGE, Outcome.TIMED_OUT})
"""Outcomes of a slice that count for the whole video: decoding it in one piece would end the same way."""


@dataclass(frozen=True)
class CompleteAttempts:
    """The attempts to keep: one per video, or one per slice of a video that was cut."""

    whole: dict[str, str] = field(default_factory=dict)
    """video_id → the decisive attempt: at the whole video, or at a slice whose outcome is that of the whole video."""
    sliced: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """video_id → attempts at its slices, in order, for videos whose slices together have frames."""
    failed_slices: frozenset[str] = frozenset()
    """video_id of the videos to decode whole, because a slice could not be decoded."""
    done_slices: dict[str, tuple[int, frozenset[int]]] = field(default_factory=dict)
    """video_id → number of slices and those that are done, for videos with some slices done."""
    parts: tuple[str, ...] = ()
    """The parts that were read; later steps read the same ones."""
    damaged_parts: int = 0
    """Parts that could not be read, because writing them was cut off."""

    def __contains__(self, video: str) -> bool:
        return video in self.whole or video in self.sliced

    def keeps(self, video: str, slice: int, slices: int, attempt: str) -> bool:
        """Whether settling keeps the segments of this attempt."""
        if video in self.whole:
            return self.whole[video] == attempt
        attempts = self.sliced.get(video, ())
        return len(attempts) == slices and attempts[slice] == attempt


def read_complete_attempts(store: Store, run: str) -> CompleteAttempts:
    """Reads the keys of all parts of a run and picks one complete attempt per video or slice.

    The videos of a part that cannot be read have no complete attempt there, and are done again.
    """
    parts = parquet_files(store.parts(run))
    read = zip(parts, map_in_order(_read_keys, parts), strict=True)
    keys_of_parts = {part: keys for part, keys in read if keys is not None}
    damaged = len(parts) - len(keys_of_parts)
    if not keys_of_parts:
        return CompleteAttempts(damaged_parts=damaged)
    complete = _pick_complete(pa.concat_tables(keys_of_parts.values()))
    is_whole = pc.equal(complete["slices"], 1)
    wholes = complete.filter(is_whole)
    whole = dict(zip(wholes["video_id"].to_pylist(), wholes["attempt"].to_pylist(), strict=True))
    return _add_slices(whole, complete.filter(pc.invert(is_whole)), tuple(keys_of_parts), damaged)


def _pick_complete(keys: pa.Table) -> pa.Table:
    """Complete attempts, one row each: columns video_id, slices, slice, attempt, outcome and frames.

    Sorted so that of several attempts at one video or slice the last is kept: attempts with frames come last.
    """
    attempt = ["video_id", "slices", "slice", "attempt"]
    # A retried task writes a segment twice: the first grouping counts each segment once.
    keys = keys.group_by([*attempt, "segment"], use_threads=False).aggregate(
        [("last", "max"), ("outcome", "max"), ("frames_decoded", "max"), ("frames", "max")]
    )
    keys = keys.rename_columns([*attempt, "segment", "last", "outcome", "frames_decoded", "frames"])
    keys = keys.group_by(attempt, use_threads=False).aggregate(
        [
            ("segment", "count"),
            ("segment", "max"),
            ("last", "max"),
            ("outcome", "max"),
            ("frames_decoded", "max"),
            ("frames", "sum"),
        ]
    )
    keys = keys.rename_columns(
        [*attempt, "segments", "last_segment", "has_verdict", "outcome", "frames_decoded", "frames"]
    )
    all_segments = pc.and_(keys["has_verdict"], pc.equal(keys["segments"], pc.add(keys["last_segment"], 1)))
    scored = outcomes_with_frames(keys["outcome"])
    all_frames = pc.fill_null(pc.equal(keys["frames"], keys["frames_decoded"]), False)
    complete = keys.append_column("scored", scored).filter(pc.and_(all_segments, pc.or_(pc.invert(scored), all_frames)))
    order = [("video_id", "ascending"), ("scored", "ascending"), ("attempt", "descending")]
    return complete.sort_by(order).select([*attempt, "outcome", "frames"])


def _add_slices(
    whole: dict[str, str], slices_done: pa.Table, parts: tuple[str, ...], damaged_parts: int
) -> CompleteAttempts:
    """``whole``, the attempts at whole videos, together with ``slices_done``, the complete attempts at slices."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    frames: Counter[tuple[str, int]] = Counter()
    failed: set[str] = set()
    decisive: dict[str, str] = {}
    for row in slices_done.to_pylist():
        video, slices = row["video_id"], row["slices"]
        if row["outcome"] in HAS_FRAMES:
            found.setdefault((video, slices), {})[row["slice"]] = row["attempt"]
            frames[video, slices] += row["frames"]
        elif row["outcome"] in _WHOLE_VIDEO_OUTCOMES:
            decisive[video] = row["attempt"]
        else:
            failed.add(video)
    sliced, done_slices = {}, {}
    for (video, slices), attempts in found.items():
        if len(attempts) < slices:
            done_slices[video] = (slices, frozenset(attempts))
        elif frames[video, slices]:
            sliced[video] = tuple(attempts[number] for number in range(slices))
        else:  # decoded whole, the other decoder may get some frames
            failed.add(video)
    decisive = {video: attempt for video, attempt in decisive.items() if video not in sliced}
    return CompleteAttempts(
        whole=decisive | whole,
        sliced=sliced,
        failed_slices=frozenset(failed - sliced.keys()),
        done_slices=done_slices,
        parts=parts,
        damaged_parts=damaged_parts,
    )


def _read_keys(part: str) -> pa.Table | None:
    """The keys of a part's segments and how many frames each has; None for a part whose writing was cut off."""
    data = storage.read_bytes(part)
    try:
        rows = open_plain(pa.BufferReader(data)).read([*_KEY_COLUMNS, "frames.list.element.frame_index"])
    except (pa.ArrowInvalid, OSError) as error:
        _log.warning("part %s cannot be read (%s); its videos are done again", part, error)
        return None
    rows = with_slice_columns(rows)
    frames = pc.fill_null(pc.list_value_length(rows["frames"]), 0)
    return rows.select(_KEY_COLUMNS).append_column("frames", frames)


def with_slice_columns(part: pa.Table) -> pa.Table:
    """``part`` with ``slice`` and ``slices`` filled in: 0 of 1 where an earlier version did not write them."""
    for name, value in (("slice", 0), ("slices", 1)):
        known = part.column_names.index(name) if name in part.column_names else None
        column = pa.nulls(part.num_rows, PARTS.field(name).type) if known is None else part[name]
        filled = pc.fill_null(column, value)
        part = part.append_column(name, filled) if known is None else part.set_column(known, name, filled)
    return part
