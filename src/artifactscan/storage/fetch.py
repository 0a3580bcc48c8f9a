"""Brings one object here for decoding, and makes sure that it is the one that was listed."""

import os
import re
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.outcomes import Outcome
from artifactscan.storage import failures, retries
from artifactscan.storage.node_cache import path_for_others, shared_copy

_CHUNK_BYTES = 1 << 20


class FetchError(Exception):
    """The object cannot be had; ``outcome`` is UNREADABLE, CHANGED or TOO_LARGE, ``reason`` the ledger's."""

    def __init__(self, outcome: Outcome, reason: str, retries: int = 0):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.retries = retries
        """Requests after the first."""


@dataclass(frozen=True, kw_only=True)
class FetchRetries:
    """How long a storage that throttles or breaks off is borne with."""

    attempts: int = retries.S3_ATTEMPTS
    """Tries in a row that bring no new byte."""
    first_wait_s: float = retries.FIRST_WAIT_S
    """Before the first retry; doubles with every one after it, and a random half of it is taken off."""
    longest_wait_s: float = retries.LONGEST_WAIT_S
    total_wait_s: float = 120.0
    """All waits for one object together."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An object that lies on a local disk; as a context manager it gives up the copy that was made for it."""

    path: str
    size_bytes: int
    fetch_s: float
    """Wall-clock seconds it took to bring it here."""
    fetched_bytes: int
    """What had to be brought here or is read where it lies: nothing of a copy that was here."""
    retries: int = 0
    """Requests after the first."""
    local_etag: str | None = None
    """Of a file that is read where it lies; None for a copy, which nobody else writes to."""
    copy: IO[bytes] | None = field(default=None, repr=False, compare=False)
    """Keeps the copy there until it is closed."""

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
    retries: FetchRetries | None = None,
    shared: bool = False,
) -> Fetched:
    """Makes the object ``uri`` with ``etag`` readable as a local file; close it with ``with``.

    A local file is read where it lies; an S3 object is copied into ``folder``, or the temporary folder. ``shared``: the
    copy that another process of this node has will do, and this one's for others.
    Raises FetchError for what is the object's fault, OSError for this machine's: a full disk, or credentials that are
    no longer accepted, with which no other object could be had either.
    """
    if etag is None:
        raise FetchError(Outcome.UNREADABLE, _why_not_listed(uri))
    if size_bytes is not None and size_bytes > max_bytes:
        raise _too_large(size_bytes, max_bytes)
    started = time.monotonic()
    if not storage.is_s3(uri):
        size = _check_local(uri, etag, max_bytes)
        fetch_s = time.monotonic() - started
        return Fetched(path=uri, size_bytes=size, fetched_bytes=size, fetch_s=fetch_s, local_etag=etag)
    patience = _Patience(retries or FetchRetries())

    def download() -> IO[bytes]:
        return _download(uri, etag, size_bytes, max_bytes, _nameless_file(folder), patience)

    try:
        copy, own = shared_copy(f"{uri}\n{etag}", download) if shared else (download(), True)
    except FetchError as error:
        error.retries = patience.retries_made
        raise
    size = os.fstat(copy.fileno()).st_size
    return Fetched(
        path=path_for_others(copy) if sys.platform == "linux" else copy.name,
        size_bytes=size,
        fetched_bytes=size if own else 0,
        fetch_s=time.monotonic() - started,
        retries=patience.retries_made,
        copy=copy,
    )


def _nameless_file(folder: str | None) -> IO[bytes]:
    """A temporary file that is gone with the processes that have it open, however they end; elsewhere than on Linux it
    has a name, and is gone with this one."""
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


class _Transient(Exception):
    """Worth another try; the message is the reason in words."""


class _Patience:
    """Waits between tries, and gives up in the end."""

    def __init__(self, retries: FetchRetries):
        self.retries = retries
        self.tries_in_vain = 0
        self.retries_made = 0
        self.waited_s = 0.0

    def wait(self, reason: str, *, progress: bool) -> None:
        """Sleeps before the next try, or raises FetchError when there shall be none."""
        self.tries_in_vain = 1 if progress else self.tries_in_vain + 1
        wait_s = retries.wait_s(
            self.tries_in_vain, first_s=self.retries.first_wait_s, longest_s=self.retries.longest_wait_s
        )
        out_of_time = self.waited_s + wait_s > self.retries.total_wait_s
        if self.tries_in_vain >= self.retries.attempts or out_of_time:
            tries = f"{self.tries_in_vain} {'try' if self.tries_in_vain == 1 else 'tries'} in a row"
            raise FetchError(
                Outcome.UNREADABLE, f"{reason}; given up after {tries} and {self.waited_s:.1f} s of waiting"
            )
        time.sleep(wait_s)
        self.waited_s += wait_s
        self.retries_made += 1


def _download(
    uri: str, etag: str, listed_size: int | None, max_bytes: int, sink: IO[bytes], patience: _Patience
) -> IO[bytes]:
    """Fills ``sink`` with one version of an S3 object, resumed where it broke off; it is closed where that fails."""
    received, size = 0, None
    try:
        while received != size:
            start = received
            try:
                answer = _get(uri, etag, start)
                start = received = _start_of(answer)
                sink.seek(start)
                sink.truncate()
                size = start + answer["ContentLength"]
                if listed_size not in (None, size):
                    raise FetchError(Outcome.CHANGED, f"it has {size} bytes now, {listed_size} were listed")
                if size > max_bytes:
                    raise _too_large(size, max_bytes)
                with closing(answer["Body"]) as body:
                    while chunk := _read(body, received, size):
                        sink.write(chunk)  # raises OSError for a full disk, which is this machine's fault
                        received += len(chunk)
            except _Transient as error:
                patience.wait(str(error), progress=received > start)
        sink.flush()
    except BaseException:
        sink.close()
        raise
    return sink


def _get(uri: str, etag: str, start: int) -> dict[str, Any]:
    bucket, key = storage.split_s3(uri)
    byte_range = {"Range": f"bytes={start}-"} if start else {}
    try:
        client = storage.s3_client(attempts=1)  # retried by the caller, which alone can resume a body
        return client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **byte_range)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 412:
            raise FetchError(Outcome.CHANGED, "the object was replaced since it was listed") from None
        failure = failures.as_os_error(error, uri)
        if isinstance(failure, failures.CredentialsError):
            raise failure from None
        reason = _reason(failure, uri)
        if status in retries.RETRIED_STATUS:
            raise _Transient(reason) from None
        raise FetchError(Outcome.UNREADABLE, reason) from None
    except BotoCoreError as error:
        failure = failures.as_os_error(error, uri)
        if isinstance(failure, failures.CredentialsError):
            raise failure from None
        if isinstance(failure, ConnectionError):
            raise _Transient(_reason(failure, uri)) from None
        raise FetchError(Outcome.UNREADABLE, _reason(failure, uri)) from None


def _start_of(answer: dict[str, Any]) -> int:
    """Where the body begins: 0 when the whole object was sent, though only its end was asked for."""
    match = re.match(r"bytes (\d+)-", answer.get("ContentRange", ""))
    return int(match.group(1)) if match else 0


def _read(body: StreamingBody, received: int, size: int) -> bytes:
    try:
        return body.read(_CHUNK_BYTES)
    except (BotoCoreError, HTTPError, OSError) as error:
        raise _Transient(
            f"the connection broke off after {received} of {size} bytes ({' '.join(str(error).split())})"
        ) from None


def _why_not_listed(uri: str) -> str:
    """Why the listing has no etag for ``uri``: asked again, as the listing keeps no reasons."""
    try:
        storage.stat(storage.normalise(uri))
    except UsageError as error:
        return str(error)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and "\\x" in uri:
            return "a name that is not UTF-8 cannot be opened; rename the file"
        if isinstance(error, FileNotFoundError) and Path(uri).is_symlink():
            return f"a link to {Path(uri).readlink()}, which is not there"
        return _reason(error, uri)
    return "it could not be read when the corpus was listed; the next run tries again"


def _reason(error: OSError, uri: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "gone since it was listed"
    return failures.reason(error, uri)


def _too_large(size: int, max_bytes: int) -> FetchError:
    return FetchError(Outcome.TOO_LARGE, f"the object has {size} bytes, more than --max-object-bytes {max_bytes}")
