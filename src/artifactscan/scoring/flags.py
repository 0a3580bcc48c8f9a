"""Counts the frames at or over each label's threshold; computes flags and events of a run by other thresholds."""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES, STORED_EVENTS
from artifactscan.scoring.events import find_events
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord


def count_flags(frames: pa.Table, thresholds: Mapping[str, float]) -> pa.Table:
    """video_id and ``frames_over_<label>`` (int64), one row per video of ``frames`` (FRAMES)."""
    over = {label: pc.greater_equal(frames[f"p_{label}"], thresholds[label]).cast(pa.int32()) for label in LABELS}
    flags = pa.table({"video_id": frames["video_id"], **over})
    counts = flags.group_by("video_id", use_threads=False).aggregate([(label, "sum") for label in LABELS])
    return counts.rename_columns({f"{label}_sum": f"frames_over_{label}" for label in LABELS})


def flag_anew(store: Store, record: RunRecord, thresholds: Mapping[str, float]) -> RunRecord:
    """Computes events/ and the counts in videos/ of a committed run by ``thresholds``, from its scores in frames/.

    Returns the record, which run.json has then. run.json first says that the flags are by no thresholds, so that a
    call which is cut off is done again.
    """
    store.commit(record.with_flags_by(None))
    durations_s, ledger_files = {}, store.ledger_files(record.run)
    for file in ledger_files:
        ledger = read_table(file, ["video_id", "duration_s"])
        durations_s |= dict(zip(ledger["video_id"].to_pylist(), ledger["duration_s"].to_pylist(), strict=True))
    counts, found = [], 0
    written: set[str] = set()
    for file in parquet_files(store.frames(record.run)):
        stored = read_table(file)
        frames = stored.select(FRAMES.names).cast(FRAMES)
        counts.append(count_flags(frames, thresholds))
        events = find_events(frames, thresholds, sample_fps=record.spec["sample_fps"], durations_s=durations_s)
        found += events.num_rows
        name = file.rsplit("/", 1)[-1].replace("frames-", "events-")
        target = storage.join(store.events(record.run), name)
        write_table(_like(events, stored), target)
        written.add(target)
    for file in set(parquet_files(store.events(record.run))) - written:  # frames and events may be merged apart
        storage.remove_tree(file)
    by_video = pa.concat_tables(counts)
    for file in ledger_files:
        ledger = read_table(file)
        rows = pc.index_in(ledger["video_id"], by_video["video_id"])
        for label in LABELS:
            column = ledger.schema.get_field_index(f"frames_over_{label}")
            values = by_video[f"frames_over_{label}"].take(rows).cast(pa.int32())
            ledger = ledger.set_column(column, ledger.schema.field(column), values)
        write_table(ledger, file)
    anew = replace(record, counts={**record.counts, "events": found}).with_flags_by(thresholds)
    store.commit(anew)
    return anew


def _like(events: pa.Table, frames: pa.Table) -> pa.Table:
    """``events`` with the columns SCORED_BY of the ``frames`` that they were found in, as far as these have them."""
    for column in list(STORED_EVENTS)[events.num_columns :]:
        if column.name in frames.column_names:
            value = frames[column.name][0].as_py() if frames.num_rows else None
            events = events.append_column(column, pa.array([value] * events.num_rows, column.type))
    return events
