"""Lists the objects of a corpus: a folder, a single file, a prefix of an object storage or a manifest of uris.

The listing is a stream: in memory are a page of a bucket's keys, or the entries of one local folder and of those above
it, which are sorted, and a digest per manifest entry to find duplicates.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.schemas import LISTING
from artifactscan.storage import storage_errors
from artifactscan.storage.csv_text import other_separator
from artifactscan.storage.object_storage import microseconds, plain_etag
from artifactscan.storage.parquet import open_plain

VIDEO_PATTERNS: tuple[str, ...] = tuple(
    f"*.{ending}"
    for ending in (
        *("mp4", "mov", "m4v", "mkv", "webm", "gif", "avi", "mpg", "mpeg", "ts", "mts", "m2ts"),
        *("flv", "wmv", "asf", "ogv", "3gp", "3g2"),
    )
)
"""Endings of the containers that decoding accepts."""

BATCH_ROWS = 10_000
LOOKUP_THREADS = 32
"""Manifest entries looked up at a time: most of a HEAD request is waiting."""

_MANIFEST_SUFFIXES = (".parquet", ".csv")
_MANIFEST_TYPES = {"uri": pa.string(), "size_bytes": pa.int64(), "etag": pa.string()}


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """Which objects of an input to list."""

    include: tuple[str, ...] = VIDEO_PATTERNS
    """Globs, case-insensitive: matched with the path below the input if they contain a slash, else with the name.
    ``*`` and ``?`` stop at a slash, ``**`` does not; ``folder/`` matches everything in it."""
    exclude: tuple[str, ...] = ()
    """Globs of the same kind, which override ``include``."""
    limit: int | None = None
    """Most files to list."""
    since: datetime | None = None
    """Only files modified at or after this time, and files whose time is unknown."""


class ListedObject(NamedTuple):
    """One object of the input; size, etag and time are None where they could not be read."""

    path: str
    """Below the input; matched with the patterns."""
    uri: str
    size_bytes: int | None = None
    etag: str | None = None
    modified_us: int | None = None


def video_id(uri: str, etag: str | None) -> str:
    """Id of one version of one object, 32 hex digits: blake2b of the uri, a NUL and the etag."""
    return blake2b(f"{uri}\0{etag or ''}".encode(), digest_size=16).hexdigest()


def is_manifest(uri: str) -> bool:
    """Whether an input is a list of uris, which its ending .parquet or .csv shows."""
    return uri.lower().endswith(_MANIFEST_SUFFIXES)


def check_input(input: str, settings: ListSettings) -> None:
    """UsageError for an input that cannot be listed or whose first BATCH_ROWS objects show that it has no videos.

    A manifest is read to its end, and no entry of it is looked up.
    """
    listing = list_corpus(input, settings)
    if not listing.of_manifest:
        next(iter(listing), None)
        return
    uri, rows = storage.normalise(input), 0
    for batch in _manifest_batches(uri):
        _check_entries(uri, batch["uri"].to_pylist(), rows)
        rows += batch.num_rows


def check_apart(output: str, input: str, *, output_flag: str = "output", input_flag: str = "input") -> None:
    """UsageError for an output that is its input, lies in it, or holds it; a single file or manifest may lie in it."""
    given, place = storage.normalise(input), storage.normalise(output)
    if not storage.is_remote(given):
        given, place = (os.path.realpath(path) if path.startswith("/") else path for path in (given, place))
    given, place = given.rstrip("/"), place.rstrip("/")
    if given == place:
        raise UsageError(f"--{input_flag} and --{output_flag} are both {input}; give the output a place of its own")
    if place.startswith(f"{given}/"):
        raise UsageError(
            f"--{output_flag} {output} lies in --{input_flag} {input}, whose clips what is written would join; "
            "give the output a place of its own"
        )
    single = is_manifest(given) or (Path(given).is_file() if not storage.is_remote(given) else False)
    if given.startswith(f"{place}/") and not single:
        raise UsageError(
            f"--{input_flag} {input} lies in --{output_flag} {output}, where files are written and removed; "
            "give the output a place of its own"
        )


def check_not_an_input(output: str, *inputs: tuple[str, str]) -> None:
    """UsageError for an output that is one of the ``inputs``: flags, each with what was given with it."""
    place = _real(output)
    for flag, given in inputs:
        if given and _real(given) == place:
            raise UsageError(f"{flag} {given} and --output {output} are one place; give the output a place of its own")


def _real(uri: str) -> str:
    place = storage.normalise(uri)
    return place if storage.is_remote(place) else os.path.realpath(place)


def list_corpus(input: str, settings: ListSettings) -> "Listing":
    """Lists an input; iterating the listing gives record batches of the LISTING schema.

    A name ending in .parquet or .csv is a manifest: a column ``uri`` and optionally size_bytes and etag. A single file
    and the entries of a manifest are listed whatever their ending, unless ``include`` is set. Raises UsageError, here
    or while iterating, for an input that does not exist, cannot be read, or has no videos.
    """
    uri = storage.normalise(input)
    try:
        single = _single(uri, is_folder=input.endswith("/"))
    except OSError as error:
        raise UsageError(f"input {uri} cannot be read: {storage_errors.describe(error, uri)}") from None
    if single is None:
        found = (
            _remote_objects(uri) if storage.is_remote(uri) else _local_files(uri, _Globs(settings.exclude, "--exclude"))
        )
        return Listing(uri, found, settings, include=settings.include)
    include = () if settings.include == VIDEO_PATTERNS else settings.include
    if is_manifest(uri):
        found = _manifest_entries(uri, need_time=settings.since is not None)
        return Listing(uri, found, settings, include=include, may_repeat=True)
    return Listing(uri, iter([single]), settings, include=include)


class Listing:
    """The objects of an input that match its settings, in batches of at most BATCH_ROWS rows; can be iterated once."""

    def __init__(
        self,
        uri: str,
        found: Iterator[ListedObject],
        settings: ListSettings,
        *,
        include: tuple[str, ...],
        may_repeat: bool = False,
    ):
        self.looked_at = 0
        """Objects found so far, listed or not."""
        self.available = 0
        """Objects listed so far."""
        self.skipped_by_pattern = 0
        self.skipped_older = 0
        self.duplicates = 0
        self._uri, self._found, self._settings = uri, found, settings
        self._include = _Globs(include or ("**",), "--include")
        self._exclude = _Globs(settings.exclude, "--exclude")
        self._seen: set[bytes] | None = set() if may_repeat else None

    @property
    def of_manifest(self) -> bool:
        return self._seen is not None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        left = self._settings.limit
        while left != 0 and (rows := list(islice(self._found, BATCH_ROWS))):
            self.looked_at += len(rows)
            batch = self._filter(_to_batch(self._without_repeats(rows)))
            if left is not None:
                batch = batch.slice(0, left)
                left -= batch.num_rows
            if batch.num_rows:
                self.available += batch.num_rows
                yield _with_ids(batch)
        if left != 0 and not self.available and not self.skipped_older:
            raise UsageError(self._no_videos())

    def _without_repeats(self, rows: list[ListedObject]) -> list[ListedObject]:
        if self._seen is None:
            return rows
        kept = []
        for row in rows:
            digest = blake2b(row.uri.encode(), digest_size=16).digest()
            if digest not in self._seen:
                self._seen.add(digest)
                kept.append(row)
        self.duplicates += len(rows) - len(kept)
        return kept

    def _filter(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        wanted = pc.and_not(self._include.match(batch["path"]), self._exclude.match(batch["path"]))
        matching = batch.filter(wanted)
        self.skipped_by_pattern += batch.num_rows - matching.num_rows
        if self._settings.since is None:
            return matching
        since = pa.scalar(microseconds(self._settings.since), pa.int64())
        recent = matching.filter(pc.fill_null(pc.greater_equal(matching["modified_us"], since), True))
        self.skipped_older += matching.num_rows - recent.num_rows
        return recent

    def _no_videos(self) -> str:
        if not self.looked_at:
            return f"input {self._uri} holds no videos: it is empty"
        files = "1 file was" if self.looked_at == 1 else f"{self.looked_at:,} files were"
        exclude = f" without --exclude {' '.join(self._exclude.globs)}" if self._exclude.globs else ""
        return (
            f"input {self._uri} holds no videos: {files} looked at and none matches "
            f"--include {' '.join(self._include.globs)}{exclude}"
        )


def _to_batch(rows: Sequence[ListedObject]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([],) * 5
    types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.int64())
    arrays = [pa.array(column, type) for column, type in zip(columns, types, strict=True)]
    return pa.record_batch(arrays, names=list(ListedObject._fields))


def _with_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    pairs = zip(batch["uri"].to_pylist(), batch["etag"].to_pylist(), strict=True)
    columns = {
        "video_id": pa.array([video_id(uri, etag) for uri, etag in pairs], pa.string()),
        "uri": batch["uri"],
        "size_bytes": batch["size_bytes"],
        "etag": batch["etag"],
        "modified": batch["modified_us"].cast(LISTING.field("modified").type),
    }
    return pa.record_batch([columns[name] for name in LISTING.names], schema=LISTING)


class _Globs:
    """Globs as one regular expression for Arrow's engine, which takes linear time for any pattern."""

    _TOKEN = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?[^\]/]+\])")
    _REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}  # noqa: RUF012

    def __init__(self, globs: tuple[str, ...], flag: str):
        self.globs = globs
        self.regex = rf"(?s)\A(?:{'|'.join(map(self._translate, globs))})\z"
        try:
            self.match(pa.array([""]))
        except pa.ArrowInvalid:
            raise UsageError(f"{flag} {' '.join(globs)} is not a glob; only *, **, ? and [a-z] are special") from None

    def match(self, paths: pa.Array) -> pa.BooleanArray:
        if not self.globs:
            return pa.repeat(pa.scalar(False), len(paths))
        return pc.match_substring_regex(paths, pattern=self.regex, ignore_case=True)

    def _translate(self, glob: str) -> str:
        anchored = "/" in glob.rstrip("/")
        glob = glob.lstrip("/") + ("**" if glob.endswith("/") else "")
        tokens = (self._token(token) for token in self._TOKEN.split(glob) if token)
        return ("" if anchored else "(?:.*/)?") + "".join(tokens)

    def _token(self, token: str) -> str:
        if token in self._REGEX:
            return self._REGEX[token]
        if self._TOKEN.fullmatch(token):
            inside = token[1:-1].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
            return f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        return re.escape(token)


def _single(uri: str, *, is_folder: bool) -> ListedObject | None:
    """The object that ``uri`` names; None for a folder; raises OSError where there is nothing of that name."""
    if storage.is_remote(uri):
        if storage.split_bucket(uri)[1] and not is_folder:
            try:
                return _look_up(uri.rsplit("/", 1)[-1], uri)
            except ConnectionError:
                raise
            except OSError:
                pass  # not a single object, or an error, for which listing has a better message than HEAD
        storage.check_listable(uri)
        return None
    path = Path(uri)
    if path.is_dir():
        return None
    single = _look_up(path.name, uri)
    with path.open("rb"):
        return single


def _look_up(path: str, uri: str) -> ListedObject:
    found = storage.stat(uri)
    return ListedObject(path, uri, found.size_bytes, found.etag, found.modified_us)


def _local_files(root: str, exclude: _Globs) -> Iterator[ListedObject]:
    """Every file below ``root`` in name order; links to folders are not followed."""
    folders = [_scan(root, root, exclude)]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif entry.is_dir(follow_symlinks=False):
            folders.append(_scan(entry.path, root, exclude))
        elif not _links_to_folder(entry):
            yield _local_file(entry, root)


def _scan(folder: str, root: str, exclude: _Globs) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=_name_in_order))
    except (FileNotFoundError, NotADirectoryError):
        return iter(())  # removed in the meantime
    except OSError as error:
        path = _utf8(os.path.relpath(folder, root))
        if pc.any(exclude.match(pa.array([path, f"{path}/"]))).as_py():
            return iter(())
        raise UsageError(
            f"folder {_utf8(folder)} cannot be read ({error.strerror}); give access to it or --exclude it"
        ) from None


def _name_in_order(entry: os.DirEntry[str]) -> str:
    """Sort key of S3's order, where a folder's name includes its slash."""
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False  # for example a link that leads to itself


def _local_file(entry: os.DirEntry[str], root: str) -> ListedObject:
    uri = _utf8(entry.path)
    path = uri[len(root) :].lstrip("/")
    try:
        if uri == entry.path and entry.is_file():  # the uri of a name that is not UTF-8 cannot be opened
            found = storage.local_stat(entry.stat())
            return ListedObject(path, uri, found.size_bytes, found.etag, found.modified_us)
    except OSError:
        pass
    return ListedObject(path, uri)  # a broken link, a pipe or a removed file: the ledger says which


def _utf8(name: str) -> str:
    """``name`` with bytes that are not UTF-8 escaped as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _remote_objects(uri: str) -> Iterator[ListedObject]:
    """Every object below a prefix of an object store in key order, page by page."""
    key = storage.split_bucket(uri)[1]
    start, root = len(key) + 1 if key else 0, f"{uri.removesuffix(key).rstrip('/')}/"
    try:
        for name, size, etag, modified_us in storage.list_objects(uri):
            if size or not name.endswith("/"):  # an empty object with a slash only marks a folder
                yield ListedObject(name[start:], root + name, size, etag, modified_us)
    except OSError as error:
        raise UsageError(f"input {uri} cannot be listed to its end: {storage_errors.describe(error, uri)}") from None


def _manifest_entries(uri: str, *, need_time: bool) -> Iterator[ListedObject]:
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
        found = _look_up(entry, uri)
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
