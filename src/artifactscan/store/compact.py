"""Compacts a store: the same rows in fewer files.

Parts. A run writes one for every 16 clips or so. Once they are settled into tables and the run is committed, no job
reads them again; they are kept to settle the run again, should its run.json be lost. They are merged into parts of
FRAMES_PER_PART frames. Settling takes a segment once even where several parts have it, so the merged part is written
first, with the names of its sources in its metadata, and the sources are removed after that. Sources that a kill has
left are removed by the next call, by those names.

Tables. A run has a file for each 200,000 frames. Its small files are merged, within the run. Readers of a table take
every file in its folders, so the folder of a run is rewritten elsewhere, and exchanged with the old one in one step
(renameat2): at any moment a listing shows either the old files or the new ones. A reader that listed the old files,
and opens one after the exchange, gets an error, never wrong rows. Object storages and some network file systems have
no such step: there the tables stay as they are.

Runs are not merged with each other. The name of the folder, `run=<id>`, is the column `run` for pandas, DuckDB, Spark
and Athena. Merged files that have the column themselves, in folders of other names, make DuckDB and pandas refuse the
table; in a folder `run=…` its name wins over the column. So a year of nights is 365 folders for each table, of one
file each as a rule; `artifactscan export` makes tables of few files of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifactscan import storage
from artifactscan.errors import LedgerError, UsageError
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.folder_exchange import ExchangeUnsupportedError, exchange_folders
from artifactscan.storage.groups import in_groups
from artifactscan.storage.object_storage import storage_of
from artifactscan.storage.parquet import (
    DamagedTableError,
    damaged_table,
    open_plain,
    parquet_bytes,
    parquet_files,
    read_batches,
    read_footer,
    read_schema,
)
from artifactscan.storage.write_errors import named_write_errors
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord
from artifactscan.store.table_files import TABLES, TableFile, check_files, read_table_files

FRAMES_PER_PART = 200_000
"""Frames after which a merged part is closed: as many as settling holds in memory for a file of frames."""
ROWS_PER_FILE = 1_000_000
"""Rows of a merged file at most: readers of this package hold a file at a time, 150 MB of frames."""
_MERGED_PREFIX = "merged-"
_SOURCES_KEY = b"artifactscan.merged"
_PART_COLUMNS = ("video_id", "segment", "attempt", "frames")
"""Without which a file among the parts is none; earlier versions did not write all of the others."""


@dataclass(frozen=True)
class Compaction:
    """Files of the committed runs of a store, before and after."""

    runs: int = 0
    files_before: int = 0
    files_after: int = 0
    tables_kept: bool = False
    """Whether some tables keep their small files, as the storage cannot exchange folders."""
    damaged: tuple[UsageError, ...] = ()
    """One for each run that has a damaged file, or not all its rows: what was not merged by then stays as it was."""

    def __add__(self, other: "Compaction") -> "Compaction":
        return Compaction(
            runs=self.runs + other.runs,
            files_before=self.files_before + other.files_before,
            files_after=self.files_after + other.files_after,
            tables_kept=self.tables_kept or other.tables_kept,
            damaged=self.damaged + other.damaged,
        )


def compact_store(store: Store, check: Callable[[], None]) -> Compaction:
    """Merges the parts and the small files of every committed run; the caller holds the store's lease.

    ``check`` is called before each step that others could see; it raises where the lease is lost. After a cut-off at
    any moment the tables have the same rows, and another call does the rest. A run whose tables are damaged, or do not
    hold all its rows, is left as it is, and the error is among those of the result.
    """
    done = Compaction()
    for record in store.committed():
        done += _compact_run(store, record, check)
    return done


def _compact_run(store: Store, record: RunRecord, check: Callable[[], None]) -> Compaction:
    run = record.run
    before, tables_kept, damaged = _count_files(store, run), False, ()
    check()
    if not storage.is_remote(store.root):
        storage.remove_tree(_staging(store, run))  # of a call that was cut off: unfinished, or the old files
    try:
        files = {table: read_table_files(store, run, table) for table in TABLES}
        for table in TABLES:
            check_files(store, record, table, files[table])
        _merge_parts(store, run)
        for table in TABLES:
            groups = [group for group in _group_files(files[table]) if len(group) > 1]
            if groups and storage.is_remote(store.root):
                tables_kept = True
            elif groups:
                tables_kept |= not _exchange_merged(store, run, table, groups, check)
    except UsageError as error:
        damaged = (error,)
    return Compaction(
        runs=1,
        files_before=before,
        files_after=_count_files(store, run),
        tables_kept=tables_kept,
        damaged=damaged,
    )


def _count_files(store: Store, run: str) -> int:
    folders = [store.parts(run), *(getattr(store, table)(run) for table in TABLES)]
    return sum(len(parquet_files(folder)) for folder in folders)


def _merge_parts(store: Store, run: str) -> None:
    """Merges the parts of a run; one that cannot be read, because writing it was cut off, stays as it is."""
    parts = _without_merged_sources(parquet_files(store.parts(run)))
    read = zip(parts, map_in_order(_read_unless_cut_off, parts), strict=True)
    whole = ((part, table) for part, table in read if table is not None)
    for group in in_groups(whole, lambda one: _count_frames(one[1]), FRAMES_PER_PART):
        _write_merged(store.parts(run), group)


def _count_frames(part: pa.Table) -> int:
    return pc.sum(pc.list_value_length(part["frames"])).as_py() or 0


def _without_merged_sources(parts: Sequence[str]) -> list[str]:
    """Removes the parts that a merged one has the rows of, which a kill has left; returns the others."""
    sources: set[str] = set()
    for part in parts:
        folder, _, name = part.rpartition("/")
        if name.startswith(_MERGED_PREFIX):
            names = json.loads((read_schema(part).metadata or {}).get(_SOURCES_KEY, b"[]"))
            sources.update(storage.join(folder, source) for source in names)
    _remove([part for part in parts if part in sources])
    return [part for part in parts if part not in sources]


def _read_unless_cut_off(part: str) -> pa.Table | None:
    """The rows of a part; None for one whose writing was cut off.

    OSError where the storage fails, DamagedTableError for a table that is no part.
    """
    data = storage.read_bytes(part)
    try:
        table = open_plain(pa.BufferReader(data)).read()
    except (pa.ArrowInvalid, OSError):
        return None
    if missing := [name for name in _PART_COLUMNS if name not in table.column_names]:
        way_out = "restore it from a copy, or remove it if it is not artifactscan's"
        raise damaged_table(part, f"it lacks {', '.join(missing)}", way_out)
    return table


def _write_merged(folder: str, parts: Sequence[tuple[str, pa.Table]]) -> None:
    """Writes the rows of several parts as one, then removes these."""
    if len(parts) < 2:
        return
    names = sorted(part.rsplit("/", 1)[-1] for part, _ in parts)
    tables = [table.replace_schema_metadata(None) for _, table in parts]
    merged = pa.concat_tables(tables, promote_options="permissive")
    merged = merged.replace_schema_metadata({_SOURCES_KEY: json.dumps(names).encode()})
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    storage.write_bytes(storage.join(folder, f"{_MERGED_PREFIX}{digest}.parquet"), parquet_bytes(merged))
    _remove([part for part, _ in parts])


def _remove(files: Sequence[str]) -> None:
    for _ in map_in_order(_remove_one, files):
        pass


def _remove_one(file: str) -> None:
    if storage.is_remote(file):
        storage_of(file).remove(file)
    else:
        Path(file).unlink(missing_ok=True)


def _staging(store: Store, run: str) -> str:
    """The folder in which that of a table is rewritten: on its file system, and where no reader looks."""
    return storage.join(store.run(run), "compacting")


def _group_files(files: Sequence[TableFile]) -> Iterator[list[str]]:
    """The files of a table in groups to merge: of one kind, one schema, and at most ROWS_PER_FILE rows."""
    for _, alike in groupby(files, lambda file: (_kind(file.uri), file.schema)):
        group: list[str] = []
        rows = 0
        for file in alike:
            if group and rows + file.rows > ROWS_PER_FILE:
                yield group
                group, rows = [], 0
            group.append(file.uri)
            rows += file.rows
        yield group


def _kind(file: str) -> str:
    """How the name begins: frames, events, videos, or unchanged, the ledger's rows that a plan does not read."""
    return file.rsplit("/", 1)[-1].partition("-")[0]


def _exchange_merged(
    store: Store, run: str, table: str, groups: Sequence[Sequence[str]], check: Callable[[], None]
) -> bool:
    """Rewrites the folder of a run's table with each group of files in one, and exchanges it with the old one.

    False, with nothing changed, where the file system cannot exchange folders.
    """
    old, new = Path(getattr(store, table)(run)), Path(_staging(store, run), table)
    try:
        _write_merged_folder(old, new, groups)
        if (rows := _count_rows(new)) != (wanted := _count_rows(old)):
            raise LedgerError(f"{new} has {rows:,} rows where {old} has {wanted:,}; nothing was exchanged")
    except (OSError, DamagedTableError):  # such as for a full disk, where it would take more room
        check()
        storage.remove_tree(_staging(store, run))
        raise
    check()
    try:
        exchange_folders(new, old)
        exchanged = True
    except ExchangeUnsupportedError:
        exchanged = False
    storage.remove_tree(_staging(store, run))
    return exchanged


def _write_merged_folder(old: Path, new: Path, groups: Sequence[Sequence[str]]) -> None:
    """Makes the folder ``new`` with the files of ``old``, those of each group merged."""
    new.mkdir(parents=True)
    merged = {file for group in groups for file in group}
    for file in old.iterdir():
        if str(file) not in merged:
            _link_or_copy(file, new / file.name)
    for group in groups:
        first, last = (file.rsplit("/", 1)[-1].removesuffix(".parquet") for file in (group[0], group[-1]))
        # A name that no old file has: a reader that listed those never takes the new rows for some of them.
        _merge_files(group, new / f"{first}-to-{last.partition('-')[2]}.parquet")


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError:  # a file system without hard links
        with named_write_errors(target), file.open("rb") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
            sink.flush()
            os.fsync(sink.fileno())


def _merge_files(files: Sequence[str], target: Path) -> None:
    """Writes the rows of several files as one file, batch by batch; it is on the disk on return."""
    with named_write_errors(target), target.open("wb") as sink:
        with pq.ParquetWriter(sink, read_schema(files[0]), compression="zstd") as writer:
            for file in files:
                for batch in read_batches(file):
                    writer.write_batch(batch)
        sink.flush()
        os.fsync(sink.fileno())


def _count_rows(folder: Path) -> int:
    return sum(read_footer(file).num_rows for file in parquet_files(str(folder)))
