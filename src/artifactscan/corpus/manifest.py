"""Reads a corpus that is given as a table of uris: a .csv or .parquet file."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.csv as pa_csv

from artifactscan import storage
from artifactscan.corpus.listed_object import ListedObject, look_up
from artifactscan.errors import UsageError
from artifactscan.storage.csv_text import other_separator
from artifactscan.storage.object_storage import plain_etag
from artifactscan.storage.parquet import open_plain

BATCH_ROWS = 10_000
LOOKUP_THREADS = 32
"""Manifest entries looked up at a time: most of a HEAD request is waiting."""

_MANIFEST_SUFFIXES = (".parquet", ".csv")
_MANIFEST_TYPES = {"uri": pa.string(), "size_bytes": pa.int64(), "etag": pa.string()}


def is_manifest(uri: str) -> bool:
    """Whether an input is a list of uris, which its ending .parquet or .csv shows."""
    return uri.lower().endswith(_MANIFEST_SUFFIXES)


def check_manifest(uri: str) -> None:
    """UsageError for a manifest that cannot be read to its end or has an entry that is no uri; looks up none."""
    rows = 0
    for batch in _manifest_batches(uri):
        _check_entries(uri, batch["uri"].to_pylist(), rows)
        rows += batch.num_rows


def manifest_entries(uri: str, *, need_time: bool) -> Iterator[ListedObject]:
    """The entries of a manifest, in its order; missing etags are looked up, many at a time."""
    folder = uri.rpartition("/")[0]
    rows_before = 0
    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        for batch in _manifest_batches(uri):
            columns = [
                batch[name].to_pylist() if name in batch.schema.names else [None] * batch.num_rows
                for name in _MANIFEST_TYPES
            ]
            entries = list(zip(*columns, strict=True))
            _check_entries(uri, batch["uri"].to_pylist(), rows_before)
            rows_before += len(entries)
            yield from pool.map(lambda columns: _manifest_entry(folder, *columns, need_time=need_time), entries)


def _check_entries(uri: str, entries: Sequence[str | None], rows_before: int) -> None:
    for number, entry in enumerate(entries, rows_before + 1):
        if not entry:
            raise UsageError(f"manifest {uri}: row {number} has no uri; remove it or fill it in")
        if entry.isdecimal():
            raise UsageError(
                f"manifest {uri}: row {number} has uri {entry}, which is a number; give a uri or path, or ./{entry} "
                "for a file of that name"
            )


def _manifest_entry(folder: str, entry: str, size: int | None, etag: str | None, *, need_time: bool) -> ListedObject:
    try:
        uri = storage.normalise(entry if "://" in entry or entry.startswith("/") else f"{folder}/{entry}")
    except UsageError:
        return ListedObject(entry, entry)
    etag = plain_etag(etag) if etag and storage.is_remote(uri) else None  # the etag of a local file is always looked up
    if etag and not need_time:
        return ListedObject(entry, uri, size, etag)
    try:
        found = look_up(entry, uri)
    except OSError:
        return ListedObject(entry, uri, size)
    return found if etag is None else found._replace(etag=etag)


def _manifest_batches(uri: str) -> Iterator[pa.RecordBatch]:
    """Batches of a manifest with those of the columns uri, size_bytes and etag that it has."""
    try:
        files, path = storage.filesystem(uri)
        if uri.lower().endswith(".csv"):
            with files.open_input_stream(path) as stream:
                names = pa_csv.open_csv(stream, parse_options=_CSV).schema.names
            columns = _manifest_columns(uri, names)
            convert = pa_csv.ConvertOptions(column_types=_MANIFEST_TYPES, include_columns=columns)
            with files.open_input_stream(path) as stream:
                yield from pa_csv.open_csv(stream, parse_options=_CSV, convert_options=convert)
        else:
            with files.open_input_file(path) as file:
                parquet = open_plain(file)
                columns = _manifest_columns(uri, parquet.schema_arrow.names)
                uri_type = parquet.schema_arrow.field("uri").type
                if pa.types.is_dictionary(uri_type):
                    uri_type = uri_type.value_type
                if not (pa.types.is_string(uri_type) or pa.types.is_large_string(uri_type)):
                    raise UsageError(f"manifest {uri}: column `uri` holds {uri_type}, not text; write uris or paths")
                schema = pa.schema([(name, _MANIFEST_TYPES[name]) for name in columns])
                for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                    yield batch.select(columns).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if "Empty CSV file" in str(error):
            raise UsageError(f"manifest {uri} is empty; write a heading `uri` and a row for each video") from None
        raise UsageError(f"manifest {uri} cannot be read: {' '.join(str(error).split())}") from None


_CSV = pa_csv.ParseOptions(newlines_in_values=True)


def _manifest_columns(uri: str, names: list[str]) -> list[str]:
    if "uri" not in names:
        if said := other_separator(names, ["uri"]):
            raise UsageError(f"manifest {uri} cannot be read: {said}")
        raise UsageError(f"manifest {uri} has no column `uri`; its columns are {', '.join(names) or 'none'}")
    if twice := [name for name in _MANIFEST_TYPES if names.count(name) > 1]:
        raise UsageError(f"manifest {uri} has more than one column `{twice[0]}`; remove all but one")
    return [name for name in _MANIFEST_TYPES if name in names]
