"""Which attempts at videos are complete: read from the keys of a run's parts."""

import logging
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.outcomes import HAS_FRAMES, Outcome
from artifactscan.schemas import PARTS
from artifactscan.storage.concurrent import run_ahead
from artifactscan.storage.parquet import open_plain, parquet_files
from artifactscan.store.layout import Store

_log = logging.getLogger(__name__)
_KEY_COLUMNS = ["video_id", "slices", "slice", "attempt", "segment", "last", "outcome", "frames_decoded"]
_OF_THE_WHOLE = frozenset({Outcome.UNREADABLE, Outcome.CHANGED, Outcome.TOO_LARGE, Outcome.TIMED_OUT})
"""Outcomes of one slice that are the whole video's: it would fare no better in one piece."""
_WITH_FRAMES = pa.array([str(outcome) for outcome in HAS_FRAMES])


@dataclass(frozen=True)
class Complete:
    """The attempts to keep: one complete one per video, or one per slice of a video that was cut."""

    attempts: dict[str, str]
    """video_id → attempt at the whole, or at the slice that speaks for it."""
    sliced: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """video_id → attempts at its slices, in order, where together they have frames to show."""
    failed_slices: frozenset[str] = frozenset()
    """video_id of those that have to be done whole, as a slice could not be decoded."""
    landed: dict[str, tuple[int, frozenset[int]]] = field(default_factory=dict)
    """video_id → into how many slices it is cut, and which of them are done, where some are."""
    damaged_parts: tuple[str, ...] = ()
    """Parts that could not be read: cut off in the middle of writing."""

    def __contains__(self, video: str) -> bool:
        return video in self.attempts or video in self.sliced

    def keeps(self, video: str, slice: int, slices: int, attempt: str) -> bool:
        """Whether a segment of this attempt stays."""
        if video in self.attempts:
            return self.attempts[video] == attempt
        attempts = self.sliced.get(video, ())
        return len(attempts) == slices and attempts[slice] == attempt


def complete_attempts(store: Store, run: str) -> Complete:
    """Reads the keys of all parts of a run and picks one complete attempt per video or slice.

    A part cut off by a kill cannot be read; its videos are simply not complete and are done again.
    """
    parts = parquet_files(store.parts(run))
    keys_of_parts = list(run_ahead(_keys, parts))
    damaged = [part for part, keys in zip(parts, keys_of_parts, strict=True) if keys is None]
    tables = [keys for keys in keys_of_parts if keys is not None]
    if not tables:
        return Complete({}, damaged_parts=tuple(damaged))
    # A retried task may land the same segment twice; count each once.
    keys = (
        pa.concat_tables(tables)
        .group_by(["video_id", "slices", "slice", "attempt", "segment"], use_threads=False)
        .aggregate([("last", "max"), ("outcome", "max"), ("frames_decoded", "max"), ("frames", "max")])
        .group_by(["video_id", "slices", "slice", "attempt"], use_threads=False)
        .aggregate(
            [
                ("segment", "count"),
                ("segment", "max"),
                ("last_max", "max"),
                ("outcome_max", "max"),
                ("frames_decoded_max", "max"),
                ("frames_max", "sum"),
            ]
        )
    )
    whole = pc.and_(keys["last_max_max"], pc.equal(keys["segment_count"], pc.add(keys["segment_max"], 1)))
    scored = pc.is_in(keys["outcome_max_max"], _WITH_FRAMES)
    counted = pc.fill_null(pc.equal(keys["frames_max_sum"], keys["frames_decoded_max_max"]), False)
    keys = keys.append_column("scored", scored)
    # The last one of a video or slice is taken: one with frames, where a repeated block left others too.
    kept = keys.filter(pc.and_(whole, pc.or_(pc.invert(scored), counted))).sort_by(
        [("video_id", "ascending"), ("scored", "ascending"), ("attempt", "descending")]
    )
    is_whole = pc.equal(kept["slices"], 1)
    whole_ones = kept.filter(is_whole)
    attempts = dict(zip(whole_ones["video_id"].to_pylist(), whole_ones["attempt"].to_pylist(), strict=True))
    return _with_slices(attempts, kept.filter(pc.invert(is_whole)), tuple(damaged))


def _with_slices(attempts: dict[str, str], kept: pa.Table, damaged: tuple[str, ...]) -> Complete:
    """``attempts`` at whole videos and what complete attempts at slices add to them."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    frames: Counter[tuple[str, int]] = Counter()
    failed: set[str] = set()
    speaking: dict[str, str] = {}
    columns = ("video_id", "slices", "slice", "attempt", "outcome_max_max", "frames_max_sum")
    for video, slices, number, attempt, outcome, count in zip(
        *(kept[name].to_pylist() for name in columns), strict=True
    ):
        if outcome in HAS_FRAMES:
            found.setdefault((video, slices), {})[number] = attempt
            frames[video, slices] += count
        elif outcome in _OF_THE_WHOLE:
            speaking[video] = attempt
        else:
            failed.add(video)
    sliced, landed = {}, {}
    for (video, slices), done in found.items():
        if len(done) < slices:
            landed[video] = (slices, frozenset(done))
        elif frames[video, slices]:
            sliced[video] = tuple(done[number] for number in range(slices))
        else:  # the other decoder may get some
            failed.add(video)
    speaking = {video: attempt for video, attempt in speaking.items() if video not in sliced}
    return Complete(speaking | attempts, sliced, frozenset(failed - sliced.keys()), landed, damaged)


def _keys(part: str) -> pa.Table | None:
    """The keys of a part's segments and how many frames each has; None for a part that was cut off."""
    data = storage.read_bytes(part)
    try:
        key = _of_any_version(
            open_plain(pa.BufferReader(data)).read([*_KEY_COLUMNS, "frames.list.element.frame_index"])
        )
    except (pa.ArrowInvalid, OSError) as error:
        _log.warning("part %s cannot be read (%s); its videos are done again", part, error)
        return None
    frames = pc.fill_null(pc.list_value_length(key["frames"]), 0)
    return key.select(_KEY_COLUMNS).append_column("frames", frames)


def _of_any_version(part: pa.Table) -> pa.Table:
    """A part, or columns of one, that says it is of whole videos where an earlier version did not say."""
    for name, value in (("slice", 0), ("slices", 1)):
        told = part[name] if name in part.column_names else pa.nulls(part.num_rows, PARTS.field(name).type)
        part = part.drop_columns([name]) if name in part.column_names else part
        part = part.append_column(name, pc.fill_null(told, value))
    return part
