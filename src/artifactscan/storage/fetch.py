"""Fetches one object to the local disk for decoding, and checks that it is the version that was listed."""

import os
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.messages.text import without_credentials
from artifactscan.outcomes import Outcome
from artifactscan.storage import storage_errors
from artifactscan.storage.node_cache import path_for_others, shared_copy
from artifactscan.storage.object_storage import ChangedError, OpenedObject, storage_of
from artifactscan.storage.retries import RetryBudget, RetryLimits
from artifactscan.storage.write_errors import named_write_errors

_CHUNK_BYTES = 1 << 20


class FetchError(Exception):
    """The object cannot be fetched; ``outcome`` is UNREADABLE, CHANGED or TOO_LARGE, ``reason`` the ledger's."""

    def __init__(self, outcome: Outcome, reason: str, retries: int = 0):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.retries = retries
        """Requests after the first."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An object on a local disk; a context manager that closes, and so removes, the copy that was made for it."""

    path: str
    size_bytes: int
    fetch_s: float
    """Wall-clock seconds it took to fetch it."""
    fetched_bytes: int
    """Bytes downloaded, or of a local file its size; 0 where another process's copy is used."""
    retries: int = 0
    """Requests after the first."""
    local_etag: str | None = None
    """Of a local file, which is read in place; None for a copy, which no other process writes to."""
    copy: IO[bytes] | None = field(default=None, repr=False, compare=False)
    """The copy is removed when this is closed."""

    def still_same(self) -> bool:
        """False when the file was written to, replaced or removed since it was fetched."""
        if self.local_etag is None:
            return True
        try:
            return storage.stat(self.path).etag == self.local_etag
        except OSError:
            return False

    def __enter__(self) -> "Fetched":
        return self

    def __exit__(self, *_: object) -> None:
        if self.copy is not None:
            self.copy.close()


def fetch(
    uri: str,
    etag: str | None,
    size_bytes: int | None,
    *,
    max_bytes: int,
    folder: str | None = None,
    retries: RetryLimits | None = None,
    shared: bool = False,
) -> Fetched:
    """Makes the object ``uri`` with ``etag`` readable as a local file; close it with ``with``.

    A local file is read in place; an object is copied into ``folder``, or the temporary folder. ``shared``: use the
    copy of another process of this node if there is one, and share this one.
    Raises FetchError for faults of the object, OSError for faults of this machine: a full disk, or credentials that
    are no longer accepted, with which no other object could be fetched either.
    """
    if etag is None:
        raise FetchError(Outcome.UNREADABLE, _why_not_listed(uri))
    if size_bytes is not None and size_bytes > max_bytes:
        raise _too_large(size_bytes, max_bytes)
    started = time.monotonic()
    if not storage.is_remote(uri):
        size = _check_local(uri, etag, max_bytes)
        fetch_s = time.monotonic() - started
        return Fetched(path=uri, size_bytes=size, fetched_bytes=size, fetch_s=fetch_s, local_etag=etag)
    budget = RetryBudget(retries or RetryLimits())

    def download() -> IO[bytes]:
        return _download(
            uri, etag, size_bytes, max_bytes, _nameless_file(folder), budget, folder or tempfile.gettempdir()
        )

    try:
        copy, own = shared_copy(f"{uri}\n{etag}", download) if shared else (download(), True)
    except FetchError as error:
        error.retries = budget.retries
        raise
    size = os.fstat(copy.fileno()).st_size
    return Fetched(
        path=path_for_others(copy) if sys.platform == "linux" else copy.name,
        size_bytes=size,
        fetched_bytes=size if own else 0,
        fetch_s=time.monotonic() - started,
        retries=budget.retries,
        copy=copy,
    )


def _nameless_file(folder: str | None) -> IO[bytes]:
    """A temporary file without a name, removed when the last process that has it open ends, however that happens.

    Elsewhere than on Linux it has a name, and is removed when this process closes it.
    """
    kind = tempfile.TemporaryFile if sys.platform == "linux" else tempfile.NamedTemporaryFile
    return kind("wb", dir=folder)  # Fetched closes it


def _check_local(path: str, etag: str, max_bytes: int) -> int:
    try:
        found = storage.stat(path)
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise FetchError(Outcome.UNREADABLE, _reason(error, path)) from None
    if found.etag != etag:
        raise FetchError(Outcome.CHANGED, "the file was written to since it was listed")
    if found.size_bytes > max_bytes:
        raise _too_large(found.size_bytes, max_bytes)
    return found.size_bytes


class _TransientError(Exception):
    """A failure worth another try; the message is the reason."""


def _download(
    uri: str,
    etag: str,
    listed_size: int | None,
    max_bytes: int,
    sink: IO[bytes],
    budget: RetryBudget,
    place: str,
) -> IO[bytes]:
    """Fills ``sink`` with one version of an object, resuming where a body broke off; closes ``sink`` on failure.

    ``place``: the folder of ``sink``, which errors name.
    """
    received, size = 0, None
    try:
        while received != size:
            start = received
            try:
                opened = _open(uri, etag, start)
                start = received = opened.start
                sink.seek(start)
                sink.truncate()
                size = opened.size_bytes
                if listed_size not in (None, size):
                    raise FetchError(Outcome.CHANGED, f"it has {size} bytes now, {listed_size} were listed")
                if size > max_bytes:
                    raise _too_large(size, max_bytes)
                with closing(opened.body) as body:
                    while chunk := _read(body, received, size):
                        with named_write_errors(place):  # this machine's fault, so it propagates
                            sink.write(chunk)
                        received += len(chunk)
            except _TransientError as error:
                if not budget.wait(progress=received > start):
                    tries = f"{budget.failures} {'try' if budget.failures == 1 else 'tries'} in a row"
                    reason = f"{error}; given up after {tries} and {budget.waited_s:.1f} s of waiting"
                    raise FetchError(Outcome.UNREADABLE, reason) from None
        with named_write_errors(place):
            sink.flush()
    except BaseException:
        with suppress(OSError):  # it may have no room for what is not flushed
            sink.close()
        raise
    return sink


def _open(uri: str, etag: str, start: int) -> OpenedObject:
    try:
        return storage_of(uri).open_once(uri, etag, start)  # _download retries, as only it can resume a body
    except storage_errors.CredentialsError:
        raise
    except ChangedError:
        raise FetchError(Outcome.CHANGED, "the object was replaced since it was listed") from None
    except ConnectionError as error:
        raise _TransientError(_reason(error, uri)) from None
    except OSError as error:
        raise FetchError(Outcome.UNREADABLE, _reason(error, uri)) from None


def _read(body: Any, received: int, size: int) -> bytes:
    try:
        return body.read(_CHUNK_BYTES)
    except ConnectionError as error:
        reason = without_credentials(str(error))
        raise _TransientError(f"the connection broke off after {received} of {size} bytes ({reason})") from None


def _why_not_listed(uri: str) -> str:
    """Why the listing has no etag for ``uri``: looked up again, as the listing keeps no reasons."""
    try:
        storage.stat(storage.normalise(uri))
    except UsageError as error:
        return str(error)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and "\\x" in uri:
            return "a name that is not UTF-8 cannot be opened; rename the file"
        if isinstance(error, FileNotFoundError) and Path(uri).is_symlink():
            return f"a link to {Path(uri).readlink()}, which is not there"
        if isinstance(error, FileNotFoundError):
            what = "object" if storage.is_remote(uri) else "file"
            return f"no such {what}; a relative uri in a manifest is resolved beside the manifest"
        return _reason(error, uri)
    return "it could not be read when the corpus was listed; the next run tries again"


def _reason(error: OSError, uri: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "gone since it was listed"
    return storage_errors.describe(error, uri)


def _too_large(size: int, max_bytes: int) -> FetchError:
    return FetchError(Outcome.TOO_LARGE, f"the object has {size} bytes, more than --max-object-bytes {max_bytes}")
