"""The views as SQL: over the tables of an exported database, or over the Parquet files of a store as they lie."""

import glob
import re
from collections.abc import Sequence
from importlib.resources import files

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import StoredRun
from artifactscan.export.target_place import ATHENA_SQL, DUCKDB_SQL, check_beside

VIEWS = ("latest_scores", "open_events", "ledger_by_night")
_BEGIN = "-- Views\n"
"""Line before the views; what stands above it says where the tables are."""


def duckdb_views() -> str:
    """The views over the tables frames, videos, events and runs of a database."""
    return _BEGIN + _shipped("duckdb").partition(_BEGIN)[2]


def duckdb_over(store: str) -> str:
    """The views over the Parquet files and run.json files of a store, for DuckDB."""
    if "\n" in store:
        raise UsageError(f"{store!r} has a newline in its name, which no line of SQL can have; rename it")
    place = _literal(glob.escape(store))[1:-1]
    return _shipped("duckdb").replace("'./", f"'{place}/").replace("cd STORE && ", "")


def athena_over(store: str, runs: Sequence[StoredRun]) -> str:
    """External tables with the partitions of the committed ``runs`` of a store on S3, and the views, for Athena."""
    records = [run.record for run in runs]
    rows = [
        (one.run, one.spec_digest, one.scope_digest, one.checkpoint_name, one.started, one.finished) for one in records
    ]
    filled = {
        "'{store}/": _literal(f"{store}/")[:-1],
        "{partitions}": "".join(f"\n  PARTITION (run = {_literal(run.run)})" for run in runs),
        "{runs}": ",\n  ".join("(" + ", ".join(map(_literal, row)) + ")" for row in rows),
    }
    return re.sub(r"'\{store\}/|\{partitions\}|\{runs\}", lambda found: filled[found[0]], _shipped("athena"))


def write_views(store: str, runs: Sequence[StoredRun], output: str) -> list[str]:
    """Writes duckdb.sql, and for a store on S3 athena.sql, into the folder ``output``; returns their uris.

    UsageError where a file of such a name is there that is not of this store, or the folder is another export's.
    """
    texts = {DUCKDB_SQL: duckdb_over(store)}
    if store.startswith("s3://"):
        texts[ATHENA_SQL] = athena_over(store, runs)
    for name, text in texts.items():
        _check_own(storage.join(output, name), text)
    check_beside(output, output=output)
    written = []
    for name, text in texts.items():
        written.append(storage.join(output, name))
        storage.write_bytes(written[-1], text.encode())
    return written


def _check_own(uri: str, text: str) -> None:
    try:
        there = storage.read_bytes(uri).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    if there.splitlines()[:1] != text.splitlines()[:1] or _places(there) != _places(text):
        raise UsageError(f"{uri} is there and holds no views over this store; give another folder, or move it away")


def _places(text: str) -> set[str]:
    """The tables' places in the SQL of a store."""
    return set(re.findall(r"(?:read_parquet\(\s*|LOCATION\s+)'((?:[^']|'')*)'", text))


def _shipped(dialect: str) -> str:
    return (files(__package__ or "") / "views" / f"{dialect}.sql").read_text()


def _literal(value: str | None) -> str:
    """A value as an SQL string, or NULL."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
