"""The current state of the corpus: the last outcome of every video listed tonight, quarantine and retries."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.labels import LABELS
from artifactscan.outcomes import HAS_FRAMES, TRANSIENT, Outcome
from artifactscan.schemas import LISTING, VIDEOS, outcomes_with_frames
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

_COLUMNS = [*LISTING.names, "outcome", "reason", *(f"max_{label}" for label in LABELS)]
_FAILED = frozenset(Outcome) - HAS_FRAMES - TRANSIENT - {Outcome.UNCHANGED}


def current_ledger(store: Store, runs: Sequence[RunRecord], listed_by: RunRecord | None) -> pa.Table:
    """One row per video that the run ``listed_by`` listed, from the last of ``runs`` that settled it.

    Ledger columns, and ``run``, the run that settled the video. ``runs`` are of one spec, oldest first.
    """
    if listed_by is None:
        return pa.schema([*(VIDEOS.field(name) for name in _COLUMNS), ("run", pa.string())]).empty_table()
    listed = pa.concat_tables(
        map_in_order(lambda file: read_table(file, ["video_id"]), parquet_files(store.videos(listed_by.run)))
    )
    files = [(record.run, file) for record in runs for file in store.ledger_files(record.run)]
    # One lookup in all ledgers together: building the lookup table of a million ids takes seconds.
    rows = pa.concat_tables(map_in_order(lambda one: _ledger(*one), files))
    return last_per_video(rows.filter(pc.is_in(rows["video_id"], listed["video_id"].combine_chunks())))


def last_per_video(rows: pa.Table, by: str = "video_id") -> pa.Table:
    """The last row of each video_id: a video that failed in one run may be scored in a later one.

    ``by`` uri, the last row of all versions of a video.
    """
    if pc.count_distinct(rows[by]).as_py() == rows.num_rows:
        return rows
    numbered = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    return rows.take(numbered.group_by(by, use_threads=False).aggregate([("row", "max")])["row_max"])


def count_outcomes(videos: pa.Table) -> dict[str, int]:
    """Outcome → number of videos."""
    return {entry["values"].as_py(): entry["counts"].as_py() for entry in videos["outcome"].value_counts()}


def flagged_shares(videos: pa.Table, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Label → share of the scored videos with a frame at or above its threshold; empty without scored videos."""
    scored = videos.filter(outcomes_with_frames(videos["outcome"]))
    if not scored.num_rows:
        return {}
    return {
        label: pc.mean(pc.greater_equal(scored[f"max_{label}"], thresholds[label]).cast(pa.float64())).as_py()
        for label in LABELS
    }


def quarantined(videos: pa.Table) -> pa.Table:
    """The videos whose bytes could not be scored; they are not scored again with the others until they change."""
    return videos.filter(has_outcome(videos, _FAILED))


def due_for_retry(quarantine: pa.Table, tried: pa.Array, *, after: timedelta, now: datetime) -> pa.Table:
    """Those that failed at least ``after`` ago and are not among ``tried`` (video_ids)."""
    old = [now - run_time(run) >= after for run in quarantine["run"].to_pylist()]
    waiting = quarantine.filter(pa.array(old, pa.bool_()))
    return waiting.filter(pc.invert(pc.is_in(waiting["video_id"], tried)))


def tried_video_ids(store: Store) -> pa.Array:
    """The video_ids with a final outcome in any run of a store; what could not be read was not tried."""
    files = [file for record in store.committed() for file in store.ledger_files(record.run)]
    ids = [pa.array([], pa.string())]
    for rows in map_in_order(lambda file: read_table(file, ["video_id", "outcome"]), files):
        ids.append(rows.filter(pc.invert(has_outcome(rows, TRANSIENT)))["video_id"].combine_chunks())
    return pa.concat_arrays(ids)


def has_outcome(videos: pa.Table, outcomes: frozenset[Outcome]) -> pa.ChunkedArray:
    """bool (videos,): whether the outcome is one of ``outcomes``."""
    return pc.is_in(videos["outcome"], pa.array(map(str, outcomes), pa.string()))


def run_time(run: str) -> datetime:
    """When a run began, from its id."""
    return datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _ledger(run: str, file: str) -> pa.Table:
    rows = read_table(file, _COLUMNS)
    return rows.append_column("run", pa.repeat(pa.scalar(run), rows.num_rows))
