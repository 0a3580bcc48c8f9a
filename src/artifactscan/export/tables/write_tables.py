"""Brings the tables of a store into Iceberg, Delta Lake or DuckDB: every committed run once, whatever was cut off."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.audit.given_store import find_scoring_store
from artifactscan.corpus.output_place import check_outside
from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.settings import ExportSettings
from artifactscan.export.tables.delta_target import DeltaTarget
from artifactscan.export.tables.duckdb_target import DuckDBTarget
from artifactscan.export.tables.iceberg_target import IcebergTarget
from artifactscan.export.tables.stored_run import EXPORTED, RunChangedError, StoredRun, read_stored_runs
from artifactscan.export.tables.table_target import TableTarget, opening
from artifactscan.export.tables.write_views import write_views
from artifactscan.messages.activity import activity
from artifactscan.messages.text import printable
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.layout import Store

ROWS_PER_COMMIT = 500_000
"""Rows after which runs are committed: a commit takes a tenth of a second, however small it is."""
TRIES = 3
"""Of reading a store that another job changes meanwhile."""
_WAY_OUT = "the same command continues the export"


def write_tables(settings: ExportSettings, console: Console) -> None:
    """Writes what the target lacks of a store's committed runs, and what has changed of those that it has.

    UsageError for a store or a target that cannot be used; CutOffError where reading or writing failed, or where a run
    is left out because its flags are being computed anew.
    """
    with opening(f"store {settings.store}", (), "give the same command again when it can be read"):
        store = find_scoring_store(storage.normalise(settings.store), flag="STORE").scores
    check_outside(settings.output, settings.store)
    if settings.to == "views":
        storage.check_writable(settings.output)
        with as_cut_off_errors(_WAY_OUT):
            for written in write_views(store.root, read_stored_runs(store), storage.normalise(settings.output)):
                console.print(Text(printable(f"views written to {written}")), soft_wrap=True)
        return
    unopened = _make_target(settings)
    if settings.to != "duckdb":  # which writes a file, and says itself that it cannot
        storage.check_writable(settings.output)
    with unopened as target, as_cut_off_errors(_WAY_OUT):
        for attempt in range(1, TRIES + 1):
            try:
                _bring_up_to_date(store, target, console)
                return
            except RunChangedError as error:
                if attempt == TRIES:
                    raise CutOffError(f"another job changes the store meanwhile ({error}); {_WAY_OUT}") from error


def _make_target(settings: ExportSettings) -> AbstractContextManager[TableTarget]:
    if settings.to == "duckdb":
        return DuckDBTarget(settings.output)
    if settings.to == "delta":
        return DeltaTarget(settings.output)
    return IcebergTarget(settings.output, settings.catalog, settings.namespace)


def _bring_up_to_date(store: Store, target: TableTarget, console: Console) -> None:
    stored = read_stored_runs(store)
    foreign = target.runs() - {run.run for run in stored}
    if foreign and foreign == target.runs():
        raise UsageError(
            f"the target holds {len(foreign)} runs of another store (such as {min(foreign)}); give another --output"
        )
    waiting = [run for run in stored if run.record.is_being_flagged]
    ready = [run for run in stored if not run.record.is_being_flagged]
    outdated = {table: [run for run in ready if not target.holds(table, run)] for table in EXPORTED}
    written = {run.run for runs in outdated.values() for run in runs}
    with activity(f"exporting {len(written)} runs"):
        for group in _groups([run for run in ready if run.run in written]):
            names = {run.run for run in group}
            changes = {table: [run for run in runs if run.run in names] for table, runs in outdated.items()}
            target.write({table: runs for table, runs in changes.items() if runs})
    kept = f", {len(foreign)} are there that the store does not have" if foreign else ""
    there = len(ready) - len(written)
    console.print(
        Text(printable(f"{len(written)} runs written to {target.describe()}; {there} were there already{kept}")),
        soft_wrap=True,
    )
    if waiting:
        raise CutOffError(
            f"run {waiting[0].run} is left out: its flags are being computed anew by `artifactscan score`, or that was "
            "cut off; let it end, and give the same command again"
        )


def _groups(runs: Sequence[StoredRun]) -> Iterator[list[StoredRun]]:
    """Runs to commit together: about ROWS_PER_COMMIT rows, and at least one run."""
    group: list[StoredRun] = []
    rows = 0
    for run in runs:
        group.append(run)
        rows += sum(run.expected_rows(table) or 0 for table in EXPORTED)
        if rows >= ROWS_PER_COMMIT:
            yield group
            group, rows = [], 0
    if group:
        yield group
