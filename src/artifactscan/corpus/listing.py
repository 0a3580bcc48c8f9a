"""What there is to score: a folder, a single file, an s3:// prefix or a manifest of uris, listed as a stream.

A million objects are listed in the memory of ten thousand; only a manifest costs a digest per entry, to find
repeats.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from artifactscan.storage import failures
from artifactscan.storage.parquet import open_plain

VIDEO_PATTERNS: tuple[str, ...] = tuple(
    f"*.{ending}"
    for ending in (
        *("mp4", "mov", "m4v", "mkv", "webm", "gif", "avi", "mpg", "mpeg", "ts", "mts", "m2ts"),
        *("flv", "wmv", "asf", "ogv", "3gp", "3g2"),
    )
)
"""Endings of the containers that decoding takes."""

BATCH_ROWS = 10_000
LOOKUP_THREADS = 32
"""Manifest entries looked up at a time: a HEAD request is nearly all waiting."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
_MICROSECOND = timedelta(microseconds=1)
_MANIFEST_SUFFIXES = (".parquet", ".csv")
_MANIFEST_TYPES = {"uri": pa.string(), "size_bytes": pa.int64(), "etag": pa.string()}


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """What to take from an input."""

    include: tuple[str, ...] = VIDEO_PATTERNS
    """Globs, case-insensitive: with a slash against the path below the input, without against the bare name.
    ``*`` and ``?`` stop at a slash, ``**`` does not; ``folder/`` is all that is in it."""
    exclude: tuple[str, ...] = ()
    """Globs of the same kind; wins over ``include``."""
    limit: int | None = None
    """Files to take at most."""
    since: datetime | None = None
    """Only files modified at or after this time; those whose time is not known are taken."""


class Found(NamedTuple):
    """One object as it was found; size, etag and time are None where it could not be looked at."""

    path: str
    """Below the input; what the patterns are set against."""
    uri: str
    size_bytes: int | None = None
    etag: str | None = None
    modified_us: int | None = None


def video_id(uri: str, etag: str | None) -> str:
    """32 hex digits that stand for one version of one object: blake2b of the uri, a NUL and the etag."""
    return blake2b(f"{uri}\0{etag or ''}".encode(), digest_size=16).hexdigest()


def is_manifest(uri: str) -> bool:
    """Whether an input names other objects rather than holding them: by its ending, .parquet or .csv."""
    return uri.lower().endswith(_MANIFEST_SUFFIXES)


def list_corpus(input: str, settings: ListSettings) -> "Listing":
    """Lists an input; iterating it gives record batches of the LISTING schema.

    A name ending in .parquet or .csv is a manifest: a column ``uri`` and, if at hand, size_bytes and etag.
    What is named one by one, a single file or in a manifest, is taken whatever its ending, unless ``include``
    is set. UsageError, here or while iterating: an input that is not there, cannot be read, holds no videos.
    """
    uri = storage.normalise(input)
    try:
        single = _single(uri, is_folder=input.endswith("/"))
    except OSError as error:
        raise UsageError(f"input {uri} cannot be read: {failures.reason(error, uri)}") from None
    if single is None:
        found = _s3_objects(uri) if storage.is_s3(uri) else _local_files(uri, _Globs(settings.exclude, "--exclude"))
        return Listing(uri, found, settings, include=settings.include)
    include = () if settings.include == VIDEO_PATTERNS else settings.include
    if is_manifest(uri):
        found = _manifest_entries(uri, need_time=settings.since is not None)
        return Listing(uri, found, settings, include=include, may_repeat=True)
    return Listing(uri, iter([single]), settings, include=include)


class Listing:
    """The objects of an input that its settings take, in batches of at most BATCH_ROWS rows; iterate once."""

    def __init__(
        self,
        uri: str,
        found: Iterator[Found],
        settings: ListSettings,
        *,
        include: tuple[str, ...],
        may_repeat: bool = False,
    ):
        self.looked_at = 0
        """Objects found so far, taken or not."""
        self.available = 0
        """Objects taken so far."""
        self.skipped_by_pattern = 0
        self.skipped_older = 0
        self.duplicates = 0
        self._uri, self._found, self._settings = uri, found, settings
        self._include = _Globs(include or ("**",), "--include")
        self._exclude = _Globs(settings.exclude, "--exclude")
        self._seen: set[bytes] | None = set() if may_repeat else None

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

    def _without_repeats(self, rows: list[Found]) -> list[Found]:
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
        since = pa.scalar((self._settings.since - _EPOCH) // _MICROSECOND, pa.int64())
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


def _to_batch(rows: Sequence[Found]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([],) * 5
    types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.int64())
    arrays = [pa.array(column, type) for column, type in zip(columns, types, strict=True)]
    return pa.record_batch(arrays, names=list(Found._fields))


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
    """Globs as one regular expression for Arrow's engine, which takes linear time whatever the pattern."""

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


def _single(uri: str, *, is_folder: bool) -> Found | None:
    """The object that ``uri`` names exactly, None where it names a folder, OSError where it names nothing."""
    if storage.is_s3(uri):
        bucket, key = storage.split_s3(uri)
        if key and not is_folder:
            try:
                return _looked_up(uri.rsplit("/", 1)[-1], uri)
            except ConnectionError:
                raise
            except OSError:
                pass  # not one object; if it is another reason, listing gives it in more words than HEAD
        with failures.s3_errors(uri):
            storage.s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return None
    path = Path(uri)
    if path.is_dir():
        return None
    single = _looked_up(path.name, uri)
    with path.open("rb"):
        return single


def _looked_up(path: str, uri: str) -> Found:
    found = storage.stat(uri)
    return Found(path, uri, found.size_bytes, found.etag, found.modified_us)


def _local_files(root: str, exclude: _Globs) -> Iterator[Found]:
    """Every file below ``root`` in the order of names; links to folders are not followed."""
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
        return iter(())  # removed while the folders above it were read
    except OSError as error:
        path = _utf8(os.path.relpath(folder, root))
        if pc.any(exclude.match(pa.array([path, f"{path}/"]))).as_py():
            return iter(())
        raise UsageError(
            f"folder {_utf8(folder)} cannot be read ({error.strerror}); give access to it or --exclude it"
        ) from None


def _name_in_order(entry: os.DirEntry[str]) -> str:
    """Sorts as S3 does: a folder counts with its slash."""
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False  # a link in circles, say


def _local_file(entry: os.DirEntry[str], root: str) -> Found:
    uri = _utf8(entry.path)
    path = uri[len(root) :].lstrip("/")
    try:
        if uri == entry.path and entry.is_file():  # a name that is not UTF-8 has no uri that leads back to it
            found = storage.local_stat(entry.stat())
            return Found(path, uri, found.size_bytes, found.etag, found.modified_us)
    except OSError:
        pass
    return Found(path, uri)  # a broken link, a pipe, or gone by now: the ledger will say so


def _utf8(name: str) -> str:
    """``name`` with bytes that are not UTF-8 escaped as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _s3_objects(uri: str) -> Iterator[Found]:
    """Every object below an s3:// prefix in the order of keys, page by page."""
    bucket, key = storage.split_s3(uri)
    start, root = len(key) + 1 if key else 0, f"s3://{bucket}/"
    try:
        for name, size, etag, modified_us in storage.list_objects(uri):
            if size or not name.endswith("/"):  # such an empty object only makes a folder show up
                yield Found(name[start:], root + name, size, etag, modified_us)
    except OSError as error:
        raise UsageError(f"input {uri} cannot be listed to its end: {failures.reason(error, uri)}") from None


def _manifest_entries(uri: str, *, need_time: bool) -> Iterator[Found]:
    """The entries of a manifest, in its order; what it does not say of them is looked up, many at a time."""
    folder = uri.rpartition("/")[0]
    rows_before = 0
    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        for batch in _manifest_batches(uri):
            columns = [
                batch[name].to_pylist() if name in batch.schema.names else [None] * batch.num_rows
                for name in _MANIFEST_TYPES
            ]
            entries = list(zip(*columns, strict=True))
            for number, (entry, _, _) in enumerate(entries, rows_before + 1):
                if not entry:
                    raise UsageError(f"manifest {uri}: row {number} has no uri; remove it or fill it in")
            rows_before += len(entries)
            yield from pool.map(lambda columns: _manifest_entry(folder, *columns, need_time=need_time), entries)


def _manifest_entry(folder: str, entry: str, size: int | None, etag: str | None, *, need_time: bool) -> Found:
    try:
        uri = storage.normalise(entry if "://" in entry or entry.startswith("/") else f"{folder}/{entry}")
    except UsageError:
        return Found(entry, entry)
    etag = etag.strip('"') if etag and storage.is_s3(uri) else None  # a local file's is never written by others
    if etag and not need_time:
        return Found(entry, uri, size, etag)
    try:
        found = _looked_up(entry, uri)
    except OSError:
        return Found(entry, uri, size)
    return found if etag is None else found._replace(etag=etag)


def _manifest_batches(uri: str) -> Iterator[pa.RecordBatch]:
    """The columns uri, size_bytes and etag of a manifest, as far as it has them, some rows at a time."""
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
                schema = pa.schema([(name, _MANIFEST_TYPES[name]) for name in columns])
                for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
                    yield batch.select(columns).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UsageError(f"manifest {uri} cannot be read: {' '.join(str(error).split())}") from None


_CSV = pa_csv.ParseOptions(newlines_in_values=True)


def _manifest_columns(uri: str, names: list[str]) -> list[str]:
    if "uri" not in names:
        raise UsageError(f"manifest {uri} has no column `uri`; its columns are {', '.join(names) or 'none'}")
    return [name for name in _MANIFEST_TYPES if name in names]
