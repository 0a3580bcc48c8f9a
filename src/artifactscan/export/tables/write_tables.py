"""Brings the tables of a store into Iceberg, Delta Lake or DuckDB: every committed run once, whatever was cut off."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.audit.formatting import counted
from artifactscan.audit.given_store import GivenStore
from artifactscan.corpus.output_place import check_outside
from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.given_store import read_given_store
from artifactscan.export.settings import ExportSettings
from artifactscan.export.tables.delta_target import DeltaTarget
from artifactscan.export.tables.duckdb_target import DuckDBTarget
from artifactscan.export.tables.iceberg_target import IcebergTarget
from artifactscan.export.tables.library_errors import CONTINUES
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, read_stored_runs
from artifactscan.export.tables.table_target import TableTarget
from artifactscan.export.tables.write_views import write_views
from artifactscan.export.target_place import check_not_in_store
from artifactscan.messages.activity import activity
from artifactscan.messages.text import printable
from artifactscan.scoring.events import EventSettings
from artifactscan.storage.groups import in_groups
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.table_files import RunChangedError

ROWS_PER_COMMIT = 500_000
"""Rows after which runs are committed: a commit takes a tenth of a second, however small it is."""
TRIES = 3
"""Of reading a store that another job changes meanwhile."""


def write_tables(settings: ExportSettings, console: Console) -> None:
    """Writes what the target lacks of a store's committed runs, and what has changed of those that it has.

    UsageError for a store or a target that cannot be used; CutOffError where reading or writing failed, or where a run
    is left out because its flags are being computed anew.
    """
    given = read_given_store(settings.store)
    output = storage.normalise(settings.output)
    check_outside(settings.output, settings.store)
    with as_cut_off_errors(CONTINUES):
        target_or_none = None if settings.to == "views" else _make_target(settings)
        check_not_in_store(settings.output)  # first: to see whether it can be written a file is written
        if settings.to != "duckdb":  # which writes a file, and says itself that it cannot
            storage.check_writable(settings.output)
        stored = read_stored_runs(given.scores)
        if target_or_none is None:
            said = [f"views written to {at}" for at in write_views(given.scores.root, stored, output)]
            said[-1] += _describe_other_events(given, stored)
            for line in said:
                console.print(Text(printable(line)), soft_wrap=True)
            return
        with target_or_none as target:
            for attempt in range(1, TRIES + 1):
                try:
                    said = _bring_up_to_date(target, stored) + _describe_other_events(given, stored)
                    console.print(Text(printable(said)), soft_wrap=True)
                    _check_none_waits(stored)
                    return
                except RunChangedError as error:
                    if attempt == TRIES:
                        raise CutOffError(f"another job changes the store meanwhile ({error}); {CONTINUES}") from error
                    stored = read_stored_runs(given.scores)


def _make_target(settings: ExportSettings) -> AbstractContextManager[TableTarget]:
    if settings.to == "duckdb":
        return DuckDBTarget(settings.output)
    if settings.to == "delta":
        return DeltaTarget(settings.output)
    return IcebergTarget(settings.output, settings.catalog, settings.namespace)


def _bring_up_to_date(target: TableTarget, stored: Sequence[StoredRun]) -> str:
    """Writes what the target lacks, and returns what is to be said of it."""
    present = {table: target.count_rows(table) for table in EXPORTED}
    known = set().union(*present.values())
    foreign = known - {run.run for run in stored}
    if foreign and foreign == known:
        raise UsageError(
            f"the target holds {counted(len(foreign), 'run')} of another store (such as {min(foreign)}); give another "
            "--output"
        )
    ready = [run for run in stored if not run.record.is_being_flagged]

    def is_there(table: str, run: StoredRun) -> bool:
        # The rows are counted, too: somebody may have removed some, or restored a table to an earlier version.
        expected = run.expected_rows(table)
        has_rows = expected is None or present[table].get(run.run, 0) == expected
        return has_rows and target.is_marked(table, run)

    outdated = {table: [run for run in ready if not is_there(table, run)] for table in EXPORTED}
    to_write = {run.run for runs in outdated.values() for run in runs}
    renewed = {run.run for table, runs in outdated.items() for run in runs if run.run in present[table]}
    with activity(f"exporting {counted(len(to_write), 'run')}"):
        for group in _groups([run for run in ready if run.run in to_write]):
            names = {run.run for run in group}
            changes = {table: [run for run in runs if run.run in names] for table, runs in outdated.items()}
            target.write({table: runs for table, runs in changes.items() if runs})
        fewer_files = target.merge_small_files()
    said = _describe_written(
        target.describe(),
        new=len(to_write - renewed),
        renewed=len(renewed),
        there=len(ready) - len(to_write),
        foreign=len(foreign),
    )
    if fewer_files:
        said += f"; small files were merged, {counted(fewer_files, 'file')} fewer"
    return said


def _check_none_waits(stored: Sequence[StoredRun]) -> None:
    """CutOffError where a run was left out."""
    if waiting := next((run for run in stored if run.record.is_being_flagged), None):
        raise CutOffError(
            f"run {waiting.run} is left out: its flags are being computed anew by `artifactscan score`, or that was "
            "cut off; let it end, and give the same command again"
        )


def _describe_written(target: str, *, new: int, renewed: int, there: int, foreign: int) -> str:
    """1 run written to TARGET, 2 renewed; 3 were there already.

    Renewed are the runs whose rows were computed anew since they were exported.
    """
    if renewed and not new:
        said = f"{counted(renewed, 'run')} renewed in {target}"
    else:
        said = f"{counted(new, 'run')} written to {target}" + (f", {renewed:,} renewed" if renewed else "")
    said += f"; {there:,} {'was' if there == 1 else 'were'} there already"
    if foreign:
        said += f", {foreign:,} {'is' if foreign == 1 else 'are'} there that the store does not have"
    return said


def _describe_other_events(given: GivenStore, stored: Sequence[StoredRun]) -> str:
    """A clause where the events of an audit's pages are others than those in the tables; else empty."""
    differences: dict[str, None] = {}
    for run in stored:
        night, flags_by = given.last_night(run.record.spec_digest), run.record.flags_by
        if night is None or flags_by is None:
            continue
        for label, threshold in night.thresholds.items():
            if label in flags_by and flags_by[label] != threshold:
                differences[f"{label} {flags_by[label]:g} and not {threshold:g}"] = None
        if EventSettings(**night.events) != EventSettings():
            differences["other settings of events"] = None
    if not differences:
        return ""
    return f"; events and frames_over are by the scoring's thresholds, not by the audit's ({', '.join(differences)})"


def _groups(runs: Sequence[StoredRun]) -> Iterator[list[StoredRun]]:
    """Runs to commit together: about ROWS_PER_COMMIT rows, and at least one run."""
    return in_groups(runs, lambda run: sum(run.expected_rows(table) or 0 for table in EXPORTED), ROWS_PER_COMMIT)
