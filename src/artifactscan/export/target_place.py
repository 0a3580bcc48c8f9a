"""Where an export may be written: into a folder that is empty, or that holds an earlier export for the same tool.

One rule for Delta, Iceberg and event exports, which have their folder for themselves. Views and databases are files,
which may lie beside anything but such an export. What lies in a store, or in a table of Delta Lake or Iceberg, is
refused as well: readers of a store take every file in its folders, and the clean-up of such a table removes files that
none of its versions has.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from json import loads
from pathlib import PurePosixPath

from artifactscan import storage
from artifactscan.audit.given_store import describe_store
from artifactscan.errors import UsageError
from artifactscan.messages.text import first_few, printable
from artifactscan.storage.lease import LEASE_NAME
from artifactscan.storage.storage_errors import describe

RECORD_NAME = "export.json"
"""Says what an export of events is of."""
CATALOG_NAME = "catalog.sqlite"
"""The catalogue of Iceberg tables in the folder of the tables, where no other is named."""
DELTA_LOG, ICEBERG_METADATA = "_delta_log", "metadata"
"""In the folder of a table of these: its versions."""
_ICEBERG_METADATA_NAME = re.compile(
    r"(?:\d+-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|v\d+)(?:(?:\.gz)?\.metadata\.json|\.metadata\.json\.gz)",
    re.IGNORECASE,
)
"""Of a version, by the specification's commit of metastore tables and of file system tables, compressed or not; the
last ending is that of early versions. Other files may be named x.metadata.json, too."""
DUCKDB_SQL, ATHENA_SQL = "duckdb.sql", "athena.sql"
"""The views over a store."""
DELTA, ICEBERG, VIEWS_OVER_A_STORE = "Delta tables", "Iceberg tables", "views over a store"
"""What an earlier export has left in a folder."""
_TABLES = ("frames", "videos", "events")


def check_not_in_store(path: str, *, flag: str = "--output") -> None:
    """UsageError for a file or folder that is a store or a Delta or Iceberg table, or lies in one, links followed.

    Also for a bucket that does not exist, or an object storage that does not answer. Nothing is written. OSError where
    an object storage cannot be read further on.
    """
    if storage.is_remote(path):
        _check_listable(storage.normalise(path))
    for folder in _upwards(path):
        if what := _closed_to_others(folder):
            place = f"is {what}" if folder == _real(path) else f"lies in {folder}, which is {what}"
            raise UsageError(f"{flag} {path} {place}; give a place outside it")


def check_folder(folder: str, own: str, *, begun: Collection[str] = ()) -> None:
    """UsageError for a folder that holds anything, but no earlier export that is ``own``.

    ``own``: DELTA or ICEBERG. ``begun``: names that an export which was cut off at its beginning
    may have left. OSError of the storage.
    """
    names = names_in(folder)
    found = _earlier_exports(folder, names)
    if own not in found and (found or set(names) - set(begun)):
        raise holds_something_else(folder, names)


def check_beside(folder: str, *, output: str) -> None:
    """UsageError for a folder that a Delta, Iceberg or event export has for itself; ``output`` is to be a file in it.

    Views and databases may lie beside anything else, such as a person's own files. OSError of the storage.
    """
    try:
        found = _exports_but_views(folder, names_in(folder))
    except NotADirectoryError:  # writing will say it
        return
    if found:
        place = "" if folder == storage.normalise(output) else f" lies in {folder}, which"
        raise UsageError(f"--output {output}{place} holds {' and '.join(found)}; give a folder of its own")


def check_free_for_store(folder: str, *, flag: str = "--output") -> None:
    """UsageError for a folder that holds an export and no store yet: the files of both would lie in the same folders.

    OSError of the storage.
    """
    try:
        names = names_in(folder)
    except NotADirectoryError:  # writing will say it
        return
    found = _exports_but_views(folder, names)
    if found and not {"runs", "nights"}.intersection(names):
        raise UsageError(f"{flag} {folder} holds {' and '.join(found)}; give the store a folder of its own")


def names_in(folder: str) -> list[str]:
    """The names in a folder, without the lease of a job that writes now, and what a kill leaves of a file."""
    return [name for name in storage.list_names(folder) if name != LEASE_NAME and not name.startswith(".")]


def holds_something_else(folder: str, names: Sequence[str]) -> UsageError:
    """The error for a folder that holds ``names``, which are not of this export."""
    found = " and ".join(_earlier_exports(folder, names))
    if not found:
        found = f"something else ({first_few(names)})"
    return UsageError(f"--output {folder} holds {found}; give a folder of its own")


def is_iceberg_metadata(name: str) -> bool:
    """Whether a file of this name in an Iceberg table's metadata folder is a version of the table."""
    return _ICEBERG_METADATA_NAME.fullmatch(name) is not None


def _check_listable(uri: str) -> None:
    """UsageError where nothing can be listed below ``uri``, unless for want of the right: one to write may be there."""
    try:
        storage.check_listable(uri)
    except PermissionError:
        pass
    except OSError as error:
        raise UsageError(f"output {uri} cannot be written: {describe(error, uri)}") from None


def _upwards(path: str) -> Iterator[str]:
    """The place itself, and the folders that it lies in; of an object storage up to the bucket."""
    place = _real(path)
    if not storage.is_remote(place):
        yield from map(str, (PurePosixPath(place), *PurePosixPath(place).parents))
        return
    bucket = place[: len(place) - len(storage.split_bucket(place)[1])].rstrip("/")
    while len(place) > len(bucket):
        yield place
        place = place.rpartition("/")[0]
    yield bucket


def _real(path: str) -> str:
    """The uri, or the local path with its links followed."""
    place = storage.normalise(path)
    return place if storage.is_remote(place) else os.path.realpath(place)


def _closed_to_others(folder: str) -> str | None:
    """What a folder is in which nothing of others may lie; None for other folders, and for one that may not be read."""
    try:
        if store := describe_store(folder):
            return store
        if _is_delta_table(folder):
            return "a Delta table"
        if _is_iceberg_table(folder):
            return "an Iceberg table"
    except PermissionError:
        return None
    except OSError:  # of a local path: it is a file, or longer than paths may be
        if storage.is_remote(folder):
            raise
    return None


def _is_delta_table(folder: str) -> bool:
    return any(name.endswith(".json") for name in storage.list_names(storage.join(folder, DELTA_LOG)))


def _is_iceberg_table(folder: str) -> bool:
    return any(map(is_iceberg_metadata, storage.list_names(storage.join(folder, ICEBERG_METADATA))))


def _earlier_exports(folder: str, names: Collection[str]) -> list[str]:
    """The exports that a folder with these ``names`` holds: an export of events, DELTA, ICEBERG, VIEWS_OVER_A_STORE."""
    tables = [storage.join(folder, table) for table in _TABLES if table in names]
    found = []
    if RECORD_NAME in names and (tool := _tool_of_events(folder)):
        found.append(f"an export to {printable(tool, 40)}")
    if any(map(_is_delta_table, tables)):
        found.append(DELTA)
    if CATALOG_NAME in names or any(map(_is_iceberg_table, tables)):
        found.append(ICEBERG)
    if DUCKDB_SQL in names or ATHENA_SQL in names:
        found.append(VIEWS_OVER_A_STORE)
    return found


def _exports_but_views(folder: str, names: Collection[str]) -> list[str]:
    """The Delta, Iceberg and event exports that a folder with these ``names`` holds, which have it for themselves."""
    return [export for export in _earlier_exports(folder, names) if export != VIEWS_OVER_A_STORE]


def _tool_of_events(folder: str) -> str | None:
    try:
        return str(loads(storage.read_bytes(storage.join(folder, RECORD_NAME)))["to"])
    except (ValueError, TypeError, KeyError, OSError):
        return None
