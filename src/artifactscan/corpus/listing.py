"""Lists the objects of a corpus: a folder, a single file, a prefix of an object storage or a manifest of uris.

The listing is a stream: in memory are a page of a bucket's keys, or the entries of one local folder and of those above
it, which are sorted, and a digest per manifest entry to find duplicates.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.corpus.listed_object import ListedObject, look_up, video_id
from artifactscan.corpus.manifest import BATCH_ROWS, check_manifest, is_manifest, manifest_entries
from artifactscan.corpus.path_globs import PathGlobs
from artifactscan.errors import UsageError
from artifactscan.schemas import LISTING
from artifactscan.storage import storage_errors
from artifactscan.storage.object_storage import microseconds

VIDEO_PATTERNS: tuple[str, ...] = tuple(
    f"*.{ending}"
    for ending in (
        *("mp4", "mov", "m4v", "mkv", "webm", "gif", "avi", "mpg", "mpeg", "ts", "mts", "m2ts"),
        *("flv", "wmv", "asf", "ogv", "3gp", "3g2"),
    )
)
"""Endings of the containers that decoding accepts."""


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


def check_input(input: str, settings: ListSettings) -> None:
    """UsageError for an input that cannot be listed or whose first BATCH_ROWS objects show that it has no videos.

    A manifest is read to its end, and no entry of it is looked up.
    """
    listing = list_corpus(input, settings)
    if not listing.of_manifest:
        next(iter(listing), None)
        return
    check_manifest(storage.normalise(input))


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
        is_remote = storage.is_remote(uri)
        found = _remote_objects(uri) if is_remote else _local_files(uri, PathGlobs(settings.exclude, "--exclude"))
        return Listing(uri, found, settings, include=settings.include)
    include = () if settings.include == VIDEO_PATTERNS else settings.include
    if is_manifest(uri):
        found = manifest_entries(uri, need_time=settings.since is not None)
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
        self._include = PathGlobs(include or ("**",), "--include")
        self._exclude = PathGlobs(settings.exclude, "--exclude")
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


def _single(uri: str, *, is_folder: bool) -> ListedObject | None:
    """The object that ``uri`` names; None for a folder; raises OSError where there is nothing of that name."""
    if storage.is_remote(uri):
        if storage.split_bucket(uri)[1] and not is_folder:
            try:
                return look_up(uri.rsplit("/", 1)[-1], uri)
            except ConnectionError:
                raise
            except OSError:
                pass  # not a single object, or an error, for which listing has a better message than HEAD
        storage.check_listable(uri)
        return None
    path = Path(uri)
    if path.is_dir():
        return None
    single = look_up(path.name, uri)
    with path.open("rb"):
        return single


def _local_files(root: str, exclude: PathGlobs) -> Iterator[ListedObject]:
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


def _scan(folder: str, root: str, exclude: PathGlobs) -> Iterator[os.DirEntry[str]]:
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
