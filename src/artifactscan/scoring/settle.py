"""Settles a run: its parts, which may repeat segments, become tables that hold every frame and every video once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.errors import LedgerError, UsageError
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.outcomes import Outcome
from artifactscan.schemas import EVENTS, FRAMES, PARTS, SCORED_BY, TO_DO, VIDEO_FACTS, VIDEOS, outcomes_with_frames
from artifactscan.scoring import slicing
from artifactscan.scoring.complete_attempts import CompleteAttempts, with_slice_columns
from artifactscan.scoring.events import find_events
from artifactscan.scoring.flags import count_flags
from artifactscan.scoring.plan import without_frames
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import arrow_reason, open_plain, read_table, says_damage, write_table
from artifactscan.store.layout import UNCHANGED_PREFIX, Store

FRAMES_PER_FILE = 200_000
"""Rows after which a frames file is closed: some megabytes on disk, about 200 MB of memory while it is made."""


@dataclass
class RunTotals:
    """What settling wrote."""

    outcomes: dict[str, int] = field(default_factory=dict)
    listed: int = 0
    removed: int = 0
    without_frames: int = 0
    """Videos with no frame scored, by this run or by the one that settled them."""
    frames: int = 0
    events: int = 0
    precisions: list[str] = field(default_factory=list)
    damaged_parts: int = 0
    rates: dict[str, Any] = field(default_factory=dict)
    """Totals over the scored frames: ``frames``; seconds ``decode_s``, ``fetch_s``, ``classify_s``; ``device``."""


@dataclass(frozen=True, kw_only=True)
class ScoredBy:
    """What made the scores, for the columns SCORED_BY, and what flags and events are found by."""

    spec: str
    """Digest of the spec."""
    checkpoint: str
    """Name of the checkpoint."""
    thresholds: Mapping[str, float]
    sample_fps: float


def settle(store: Store, run: str, attempts: CompleteAttempts, by: ScoredBy) -> RunTotals:
    """Writes frames/, events/ and videos/ of a run from its manifest and parts; the caller then writes run.json.

    ``attempts``: the complete ones in the parts of the run. LedgerError, with no ledger in videos/, where a listed
    object has none, and where the run is committed; UsageError for a damaged part. After a cut-off it may be called
    again: it removes what it wrote.
    """
    if storage.exists(store.run_json(run)):
        raise LedgerError(f"run {run} is settled already, by another process; give the same command again")
    for folder in (store.frames(run), store.events(run), store.videos(run)):
        storage.remove_tree(folder)
    totals = RunTotals(damaged_parts=attempts.damaged_parts)
    verdicts = []
    for number, segments in enumerate(_read_whole_videos(attempts)):
        frames = _extract_frames(segments)
        last = segments.filter(segments["last"])
        _add_rates(totals.rates, segments, last)
        durations = dict(zip(last["video_id"].to_pylist(), last["duration_s"].to_pylist(), strict=True))
        events = find_events(frames, by.thresholds, sample_fps=by.sample_fps, durations_s=durations)
        if frames.num_rows:
            _write(frames, by, storage.join(store.frames(run), f"frames-{number:05d}.parquet"))
        if events.num_rows:
            _write(events, by, storage.join(store.events(run), f"events-{number:05d}.parquet"))
        totals.frames += frames.num_rows
        totals.events += events.num_rows
        precisions = pc.unique(segments["precision"]).drop_null().to_pylist()
        totals.precisions = sorted({*totals.precisions, *precisions})
        verdicts.append(_summarise_videos(last, frames, by.thresholds))
    _write_ledger(store, run, verdicts, totals, by)
    _write_empty_tables(store, run, totals, by)
    return totals


def _write(table: pa.Table, by: ScoredBy, uri: str) -> None:
    """Writes one file of a table, with the columns SCORED_BY."""
    for column, value in zip(SCORED_BY, (by.spec, by.checkpoint), strict=True):
        table = table.append_column(column, pa.array([value] * table.num_rows, column.type))
    write_table(table, uri)


def _add_rates(rates: dict[str, Any], segments: pa.Table, last: pa.Table) -> None:
    """Adds the seconds and frames of scored videos to ``rates``; parts of an earlier version have no seconds."""
    timed = segments.filter(pc.is_valid(segments["classify_s"]))
    done = last.filter(pc.and_(outcomes_with_frames(last["outcome"]), pc.is_valid(last["classify_s"])))
    for device in pc.unique(timed["device"]).drop_null().to_pylist():
        rates["device"] = device if rates.get("device", device) == device else "mixed"
    columns = {"classify_s": timed["classify_s"], "decode_s": done["decode_s"], "fetch_s": done["fetch_s"]}
    for name, column in columns.items():
        rates[name] = rates.get(name, 0.0) + (pc.sum(column).as_py() or 0.0)
    rates["frames"] = rates.get("frames", 0) + (pc.sum(pc.list_value_length(timed["frames"])).as_py() or 0)


@dataclass
class _UnfinishedVideo:
    """The segments of a video that have been read so far; each row is copied once, however many there are."""

    tables: list[pa.Table] = field(default_factory=list)
    segments: int = 0
    slices_ended: int = 0
    expected: int = 0
    """Segments of the slices that have ended."""

    def count(self, segment: int, *, last: bool) -> None:
        """Notes another segment; ``last``: of its slice."""
        self.segments += 1
        self.slices_ended += last
        self.expected += segment + 1 if last else 0

    def is_whole(self, slices: int) -> bool:
        """Whether these are all segments of the video."""
        return self.slices_ended == slices and self.segments == self.expected


def _read_whole_videos(attempts: CompleteAttempts) -> Iterator[pa.Table]:
    """The segments to keep, each once, in tables of about FRAMES_PER_FILE frames that never split a video.

    Each part is read once. Only the segments of videos that are not complete yet are held beyond a table.
    """
    seen: set[tuple[str, int, int]] = set()
    waiting: dict[str, _UnfinishedVideo] = {}
    ready: list[pa.Table] = []
    frames = 0
    for table in map_in_order(_read_part, attempts.parts):
        single: list[int] = []  # rows that are a whole video each
        rows: dict[str, list[int]] = {}  # of the other videos
        whole: list[str] = []
        names = ("video_id", "slice", "slices", "attempt", "segment", "last")
        for row, (video, slice, slices, attempt, segment, last) in enumerate(
            zip(*(table[name].to_pylist() for name in names), strict=True)
        ):
            if not attempts.keeps(video, slice, slices, attempt) or (video, slice, segment) in seen:
                continue
            seen.add((video, slice, segment))
            if segment == 0 and last and video in attempts.whole:
                single.append(row)
                continue
            rows.setdefault(video, []).append(row)
            unfinished = waiting.setdefault(video, _UnfinishedVideo())
            unfinished.count(segment, last=last)
            if unfinished.is_whole(slices):
                whole.append(video)
        for video, numbers in rows.items():
            waiting[video].tables.append(table.take(pa.array(numbers, pa.int64())))
        for video in whole:
            ready.append(slicing.merge_slices(pa.concat_tables(waiting.pop(video).tables)))
            frames += _count_frames(ready[-1])
        ready.append(table.take(pa.array(single, pa.int64())))
        frames += _count_frames(ready[-1])
        if frames >= FRAMES_PER_FILE:
            yield pa.concat_tables(ready)
            ready, frames = [], 0
    if ready:
        yield pa.concat_tables(ready)


def _count_frames(segments: pa.Table) -> int:
    return pc.sum(pc.list_value_length(segments["frames"])).as_py() or 0


def _read_part(part: str) -> pa.Table:
    """The PARTS rows of a part; UsageError where scores in it are damaged: its keys could be read before."""
    data = storage.read_bytes(part)
    try:
        table = open_plain(pa.BufferReader(data)).read(PARTS.names)
    except (pa.ArrowException, OSError) as error:
        if not says_damage(error, part):
            raise
        raise UsageError(
            f"part {part} is damaged ({arrow_reason(error)}); restore it from a copy, or remove it to have its videos "
            "done again by the same command"
        ) from error
    table = with_slice_columns(table)
    for column in PARTS:
        if column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, column.type))
    return table.select(PARTS.names).cast(PARTS)


def _extract_frames(segments: pa.Table) -> pa.Table:
    """FRAMES rows of the videos whose outcome has frames, sorted by uri and frame_index."""
    scored = segments.filter(pc.and_(segments["last"], outcomes_with_frames(segments["outcome"])))["video_id"]
    kept = segments.filter(pc.is_in(segments["video_id"], scored.combine_chunks())).combine_chunks()
    parents = pc.list_parent_indices(kept["frames"])
    flat = pa.Table.from_struct_array(pc.list_flatten(kept["frames"])) if kept.num_rows else None
    if flat is None or not flat.num_rows:
        return FRAMES.empty_table()
    table = kept.select(["video_id", "uri"]).take(parents)
    for name in flat.column_names:
        table = table.append_column(name, flat[name])
    return table.select(FRAMES.names).cast(FRAMES).sort_by([("uri", "ascending"), ("frame_index", "ascending")])


def _summarise_videos(last: pa.Table, frames: pa.Table, thresholds: Mapping[str, float]) -> pa.Table:
    """One row per video: the verdict and facts of its ``last`` segment, and the summary of its scores."""
    verdicts = last.select(["video_id", "outcome", "reason", *(field.name for field in VIDEO_FACTS)])
    summary = frames.select(["video_id", *SCORE_COLUMNS])
    aggregates = [(column, how) for column in SCORE_COLUMNS for how in ("mean", "max")]
    summary = summary.group_by("video_id", use_threads=False).aggregate(aggregates)
    names = {f"p_{label}_{how}": f"{how}_{label}" for label in LABELS for how in ("mean", "max")}
    summary = summary.rename_columns([names.get(name, name) for name in summary.column_names])
    summary = summary.join(count_flags(frames, thresholds), "video_id", use_threads=False)
    return verdicts.join(summary, "video_id", use_threads=False)


def _write_ledger(store: Store, run: str, verdicts: list[pa.Table], totals: RunTotals, by: ScoredBy) -> None:
    """Writes the ledger: one outcome for every listed object; LedgerError where one is missing."""
    manifest = read_table(store.manifest(run)).replace_schema_metadata(None)
    totals.removed = pc.sum(pc.equal(manifest["status"], "removed")).as_py() or 0
    totals.listed = manifest.num_rows - totals.removed
    settled = manifest.filter(pc.equal(manifest["status"], "settled")).drop_columns(["status"])
    to_do = manifest.filter(pc.is_in(manifest["status"], pa.array(TO_DO)))
    done = to_do.drop_columns(["status", "settled_run", "settled_outcome"])
    if verdicts:
        done = done.join(pa.concat_tables(verdicts), "video_id", use_threads=False)
    ledger = _as_videos(done)
    if missing := ledger["outcome"].null_count:
        uris = ledger.filter(pc.is_null(ledger["outcome"]))["uri"].slice(0, 3).to_pylist()
        raise LedgerError(
            f"the ledger did not close: {missing} of {totals.listed} listed objects have no outcome "
            f"(such as {', '.join(uris)}); give the same command again to do them"
        )
    unchanged = _as_videos(
        settled.append_column("outcome", pa.array([str(Outcome.UNCHANGED)] * settled.num_rows, pa.string()))
    )
    for prefix, table in (("videos-", ledger), (UNCHANGED_PREFIX, unchanged)):
        if table.num_rows:
            table = table.sort_by("uri")
            _write(table, by, storage.join(store.videos(run), f"{prefix}00000.parquet"))
    totals.outcomes = _counts(ledger["outcome"]) | _counts(unchanged["outcome"])
    totals.without_frames = without_frames(_counts(ledger["outcome"]))
    totals.without_frames += without_frames(_counts(unchanged["settled_outcome"]))
    if (rows := sum(totals.outcomes.values())) != totals.listed:
        raise LedgerError(
            f"the ledger did not close: {rows} rows for {totals.listed} listed objects; give the same command again"
        )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"].as_py(): entry["counts"].as_py() for entry in column.value_counts()}


def _as_videos(table: pa.Table) -> pa.Table:
    """``table`` with the columns of VIDEOS, null where it lacks one; a missing outcome stays null."""
    nullable = pa.schema([column.with_nullable(True) for column in VIDEOS])
    columns = [
        table[column.name].cast(column.type)
        if column.name in table.column_names
        else pa.nulls(table.num_rows, column.type)
        for column in nullable
    ]
    filled = pa.Table.from_arrays(columns, schema=nullable)
    return filled if filled["outcome"].null_count else filled.cast(VIDEOS)


def _write_empty_tables(store: Store, run: str, totals: RunTotals, by: ScoredBy) -> None:
    """Writes a file without rows for a table that has none, so that readers find its columns."""
    if not totals.frames:
        _write(FRAMES.empty_table(), by, storage.join(store.frames(run), "frames-00000.parquet"))
    if not totals.events:
        _write(EVENTS.empty_table(), by, storage.join(store.events(run), "events-00000.parquet"))
