"""Stores of several nights, and the rows of their tables as a store and as a target of an export have them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from parts import THRESHOLDS
from scored_runs import FPS, motion, write_run

from artifactscan.export.settings import ExportSettings
from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.export.tables.write_tables import write_tables
from artifactscan.labels import LABELS
from artifactscan.messages.console import console
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

HOSTILE = ("/clips/'); DROP TABLE frames; --.mp4", '/clips/=HYPERLINK("http:x";"y").mp4', "/clips/<b>\x1b[1m\t😀.mp4")
LOWER = dict.fromkeys(LABELS, 0.25)
_ORDER = {
    "frames": ["run", "uri", "spec", "frame_index"],
    "videos": ["run", "uri"],
    "events": ["run", "uri", "label", "start_s"],
}
Tables = dict[str, list[dict[str, Any]]]


def night(number: int) -> str:
    """The id of a night's run; nights sort by number."""
    return f"2026{number // 28 + 1:02d}{number % 28 + 1:02d}T030000Z-{number:08x}"


def write_nights(store: Store, nights: int, *, first: int = 0) -> list[RunRecord]:
    """Runs that each score a new clip with an event, find one that fails, and what the nights before settled.

    The names of the first night's clips are hostile; night 5 finds another version of the clip of night 1, without an
    event.
    """
    records, settled, etags = [], {}, {}
    for number in range(first + nights):
        videos = {f"/clips/{number}.mp4": motion(0.9, 0.8, 0.3, 0.1), f"/clips/broken-{number}.mp4": "undecodable"}
        if number == 0:
            videos |= dict.fromkeys(HOSTILE, motion(0.4, 0.9))
        if number == 5:
            videos["/clips/1.mp4"], etags = motion(0.1, 0.2), {"/clips/1.mp4": "2"}
        others = {uri: by for uri, by in settled.items() if uri not in videos}
        if number >= first:
            written = write_run(store, night(number), videos, etags=etags, settled=others)
            records.append(as_the_job_writes(store, written, number))
        settled |= {uri: night(number) for uri, scores in videos.items() if not isinstance(scores, str)}
    return records


def as_the_job_writes(store: Store, record: RunRecord, number: int) -> RunRecord:
    """Commits the record again with all that the job writes into it."""
    events = sum(read_table(file).num_rows for file in parquet_files(store.events(record.run)))
    day = f"{record.run[:4]}-{record.run[4:6]}-{record.run[6:8]}"
    record = replace(
        record,
        started=f"{day}T03:00:00+00:00",
        finished=f"{day}T03:10:{number % 60:02d}+00:00",
        spec={"sample_fps": FPS},
        checkpoint={"backbone": "resnet50", "digest": "00000000ffffffff", "thresholds": dict(THRESHOLDS)},
        counts={**record.counts, "events": events},
    )
    store.commit(record)
    return record


def export(store: Store, to: str, output: Path | str, **settings: Any) -> None:
    write_tables(ExportSettings(store=store.root, to=to, output=str(output), **settings), console())  # type: ignore[arg-type]


def stored(store: Store) -> Tables:
    """The rows of a local store as pyarrow reads its folders, without code of the export."""
    return {
        table: _rows(ds.dataset(f"{store.root}/{table}", partitioning="hive").to_table(), table) for table in EXPORTED
    }


def in_duckdb(output: Path) -> Tables:
    import duckdb

    with duckdb.connect(str(output), read_only=True) as database:
        return {table: _rows(database.table(table).to_arrow_table(), table) for table in EXPORTED}


def in_delta(output: Path) -> Tables:
    from deltalake import DeltaTable

    return {table: _rows(DeltaTable(output / table).to_pyarrow_table(), table) for table in EXPORTED}


def in_iceberg(output: Path) -> Tables:
    return {table: _rows(iceberg_table(output, table).scan().to_arrow(), table) for table in EXPORTED}


def iceberg_table(output: Path, table: str, **properties: str) -> Any:
    """A table as another tool opens it."""
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog("default", uri=f"sqlite:///{output}/catalog.sqlite", **properties).load_table(
        ("artifactscan", table)
    )


READERS: Mapping[str, Callable[[Path], Tables]] = {"duckdb": in_duckdb, "delta": in_delta, "iceberg": in_iceberg}


def _rows(table: pa.Table, name: str) -> list[dict[str, Any]]:
    """All rows in one order, as values."""
    assert set(table.column_names) == set(EXPORTED[name].names)
    in_order = table.select(EXPORTED[name].names).cast(pa.schema(list(EXPORTED[name])))
    return in_order.sort_by([(column, "ascending") for column in _ORDER[name]]).to_pylist()
