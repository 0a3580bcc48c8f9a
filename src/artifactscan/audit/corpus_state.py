"""The corpus as it stands: what all runs together say of the videos listed tonight, new or not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.labels import LABELS
from artifactscan.outcomes import HAS_FRAMES, TRANSIENT, Outcome
from artifactscan.schemas import LISTING, VIDEOS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import RunRecord, Store

_COLUMNS = [*LISTING.names, "outcome", "reason", *(f"max_{label}" for label in LABELS)]
_SCORED = pa.array([str(outcome) for outcome in HAS_FRAMES])
_TRANSIENT = pa.array([str(outcome) for outcome in TRANSIENT])
_FAILED = pa.array([str(outcome) for outcome in Outcome if outcome not in HAS_FRAMES | TRANSIENT | {Outcome.UNCHANGED}])


def standing(store: Store, runs: Sequence[RunRecord], listed_by: RunRecord | None) -> pa.Table:
    """One row per video that the run ``listed_by`` listed, as the last of ``runs`` to do it settled it.

    The ledger's columns, and ``run``, the one that settled it. ``runs`` are of one spec, oldest first.
    """
    columns = [VIDEOS.field(name) for name in _COLUMNS]
    if listed_by is None:
        return pa.schema([*columns, ("run", pa.string())]).empty_table()
    listed = pa.concat_tables(
        map_in_order(lambda file: read_table(file, ["video_id"]), parquet_files(store.videos(listed_by.run)))
    )
    files = [(record.run, file) for record in runs for file in store.ledger_files(record.run)]
    # One search in all ledgers together: the table of a million ids to search in takes seconds to build.
    rows = pa.concat_tables(map_in_order(lambda one: _ledger(*one), files))
    rows = rows.filter(pc.is_in(rows["video_id"], listed["video_id"].combine_chunks()))
    if pc.count_distinct(rows["video_id"]).as_py() == rows.num_rows:
        return rows
    row = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    return rows.take(row.group_by("video_id", use_threads=False).aggregate([("row", "max")])["row_max"])


def _ledger(run: str, file: str) -> pa.Table:
    rows = read_table(file, _COLUMNS)
    return rows.append_column("run", pa.repeat(pa.scalar(run), rows.num_rows))


def outcomes(videos: pa.Table) -> dict[str, int]:
    """How many videos each outcome has."""
    return {entry["values"].as_py(): entry["counts"].as_py() for entry in videos["outcome"].value_counts()}


def rates(videos: pa.Table, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Per label, the share of the scored videos that have a frame at or over its threshold; none without videos."""
    scored = videos.filter(pc.is_in(videos["outcome"], _SCORED))
    if not scored.num_rows:
        return {}
    return {
        label: pc.mean(pc.greater_equal(scored[f"max_{label}"], thresholds[label]).cast(pa.float64())).as_py()
        for label in LABELS
    }


def quarantined(videos: pa.Table) -> pa.Table:
    """The videos whose bytes could not be scored; they are not tried again with the others until they change."""
    return videos.filter(pc.is_in(videos["outcome"], _FAILED))


def due(quarantine: pa.Table, tried: pa.Array, *, after: timedelta, now: datetime) -> pa.Table:
    """Those to try once more: failed longer ago than ``after`` and not ``tried`` (video_ids) since."""
    old = [now - run_time(run) >= after for run in quarantine["run"].to_pylist()]
    waiting = quarantine.filter(pa.array(old, pa.bool_()))
    return waiting.filter(pc.invert(pc.is_in(waiting["video_id"], tried)))


def tried(store: Store) -> pa.Array:
    """The video_ids whose bytes a store's runs could judge; what could not even be read was not tried."""
    files = [file for record in store.committed() for file in store.ledger_files(record.run)]
    ids = [pa.array([], pa.string())]
    for rows in map_in_order(lambda file: read_table(file, ["video_id", "outcome"]), files):
        judged = rows.filter(pc.invert(pc.is_in(rows["outcome"], _TRANSIENT)))
        ids.append(judged["video_id"].combine_chunks())
    return pa.concat_arrays(ids)


def run_time(run: str) -> datetime:
    """When a run began, by its id."""
    return datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
