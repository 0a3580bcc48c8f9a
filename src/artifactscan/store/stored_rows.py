"""Reads back what committed runs stored of given videos."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.outcomes import Outcome
from artifactscan.schemas import EVENTS, FRAMES, VIDEO_FACTS, VIDEOS
from artifactscan.storage.parquet import parquet_files, read_batches, read_table
from artifactscan.store.layout import Store


def stored_frames(store: Store, runs: Iterable[str], video_ids: pa.Array) -> pa.Table:
    """FRAMES rows of these videos from ``runs``."""
    if not len(video_ids):
        return FRAMES.empty_table()
    return _rows([file for run in runs for file in parquet_files(store.frames(run))], FRAMES, video_ids)


def iterate_frames(store: Store, run: str, video_ids: pa.Array) -> Iterator[pa.Table]:
    """FRAMES rows of these videos from one run, as it stored them, in tables that never split a video.

    A table has about as many rows as a row group's batch, tens of thousands, unless one video has more.
    """
    unfinished: list[pa.Table] = []
    for file in parquet_files(store.frames(run)):
        for batch in read_batches(file, FRAMES.names):
            rows = pa.Table.from_batches([batch.filter(pc.is_in(batch["video_id"], video_ids))]).cast(FRAMES)
            if not rows.num_rows:
                continue
            start = pc.index(rows["video_id"], rows["video_id"][-1]).as_py()
            if start or (unfinished and unfinished[0]["video_id"][0] != rows["video_id"][0]):
                yield pa.concat_tables([*unfinished, rows.slice(0, start)])
                unfinished = []
            unfinished.append(rows.slice(start))
    if unfinished:
        yield pa.concat_tables(unfinished)


def stored_listing(store: Store, run: str) -> pa.Table:
    """VIDEOS rows of what a run listed, each with the outcome of the run that settled it: never `unchanged`."""
    ledger = pa.concat_tables(
        [VIDEOS.empty_table(), *(read_table(file, VIDEOS.names) for file in parquet_files(store.videos(run)))]
    )
    rows = [ledger.filter(pc.not_equal(ledger["outcome"], Outcome.UNCHANGED))]
    unchanged = ledger.filter(pc.equal(ledger["outcome"], Outcome.UNCHANGED))
    for settled_by in pc.unique(unchanged["settled_run"]).to_pylist():
        ids = unchanged.filter(pc.equal(unchanged["settled_run"], settled_by))["video_id"].combine_chunks()
        rows.append(_rows(store.ledger_files(settled_by), VIDEOS, ids))
    return pa.concat_tables([table.cast(VIDEOS) for table in rows]).sort_by("uri")


def stored_events(store: Store, runs: Iterable[str], video_ids: pa.Array) -> pa.Table:
    """EVENTS rows of these videos from ``runs``."""
    return _rows([file for run in runs for file in parquet_files(store.events(run))], EVENTS, video_ids)


def stored_verdicts(store: Store, spec_digest: str, video_ids: pa.Array) -> dict[str, dict]:
    """video_id → its latest outcome, reason and facts, from the committed runs of one spec."""
    schema = pa.schema([*(VIDEOS.field(name) for name in ("video_id", "outcome", "reason")), *VIDEO_FACTS])
    verdicts: dict[str, dict] = {}
    for record in store.committed():
        if record.spec_digest == spec_digest:
            rows = _rows(store.ledger_files(record.run), schema, video_ids)
            verdicts |= {row["video_id"]: row for row in rows.to_pylist()}
    return verdicts


def _rows(files: list[str], schema: pa.Schema, video_ids: pa.Array) -> pa.Table:
    batches = [
        batch.filter(pc.is_in(batch["video_id"], video_ids))
        for file in files
        for batch in read_batches(file, schema.names)
    ]
    return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()
