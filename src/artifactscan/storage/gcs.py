"""Google Cloud Storage, as `object_storage` asks for it, through Google's own library.

Its application default credentials apply, and GOOGLE_CLOUD_PROJECT. The etag of an object is its generation, which no
other version of it has.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from typing import IO, Any, TypeVar

import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from artifactscan.storage.object_storage import (
    ChangedError,
    Level,
    ObjectStat,
    OpenedObject,
    StoredObject,
    microseconds,
)
from artifactscan.storage.ranged_body import RangedBody
from artifactscan.storage.retries import ATTEMPTS, RETRIED_STATUS, with_retries
from artifactscan.storage.storage_errors import CredentialsError, one_line
from artifactscan.storage.uris import split_bucket

_TIMEOUTS_S = (10.0, 60.0)
"""To connect, and between two bytes."""
_ONCE: dict[str, Any] = {"retry": None, "timeout": _TIMEOUTS_S}
"""Of each request: `with_retries` tries again."""
_ERRORS = (GoogleAPICallError, GoogleAuthError, InvalidResponse, DataCorruption, requests.RequestException)
_PAGE = 1000
_FIELDS = "items(name,size,generation,updated),prefixes,nextPageToken"
Result = TypeVar("Result")


@cache
def _client() -> Client:
    return Client()


def _blob(uri: str, etag: str | None = None) -> Blob:
    bucket, key = split_bucket(uri)
    return _client().bucket(bucket).blob(key, generation=None if etag is None else int(etag))


def stat(uri: str) -> ObjectStat:
    return _ask(uri, partial(_stat, uri))


def read(uri: str, *, attempts: int = ATTEMPTS) -> tuple[bytes, str]:
    def download() -> tuple[bytes, str]:
        blob = _blob(uri)
        data = blob.download_as_bytes(raw_download=True, **_ONCE)
        return data, str(blob.generation)

    return _ask(uri, download, attempts=attempts)


def read_range(uri: str, etag: str, start: int, length: int) -> bytes:
    return _ask(uri, partial(_read_part, uri, etag, start, length))


def open_once(uri: str, etag: str, start: int) -> OpenedObject:
    found = _ask(uri, partial(_stat, uri), attempts=1)
    if found.etag != etag:
        raise ChangedError(f"{uri}: the object was replaced since it was listed")
    part = partial(_ask_part, uri, etag)
    body = RangedBody(part, start=start, size_bytes=found.size_bytes)
    return OpenedObject(start=start, size_bytes=found.size_bytes, body=body)


def write(uri: str, data: bytes, *, attempts: int = ATTEMPTS) -> None:
    _ask(uri, lambda: _blob(uri).upload_from_string(data, **_ONCE), attempts=attempts)


def write_file(uri: str, file: IO[bytes]) -> None:
    _ask(uri, lambda: _blob(uri).upload_from_file(file, rewind=True, **_ONCE))


def write_if(uri: str, data: bytes, *, version: str | None, attempts: int = ATTEMPTS) -> str | None:
    def upload() -> str | None:
        blob = _blob(uri)
        try:
            blob.upload_from_string(data, if_generation_match=int(version or 0), **_ONCE)
        except PreconditionFailed:
            return None
        return str(blob.generation)

    return _ask(uri, upload, attempts=attempts)


def remove(uri: str, *, attempts: int = ATTEMPTS) -> None:
    def delete() -> None:
        with suppress(NotFound):
            _blob(uri).delete(**_ONCE)

    _ask(uri, delete, attempts=attempts)


def remove_below(uri: str) -> None:
    bucket, _ = split_bucket(uri)
    for found in list_objects(uri):
        remove(f"gs://{bucket}/{found.key}")


def list_objects(uri: str) -> Iterator[StoredObject]:
    for page, _ in _pages(uri):
        yield from page


def list_level(uri: str) -> Level:
    level = Level([], [])
    for page, prefixes in _pages(uri, delimiter="/"):
        level.objects.extend(page)
        level.folders.extend(prefix.removesuffix("/") for prefix in prefixes)
    return Level(sorted(set(level.folders)), level.objects)


def check_listable(uri: str) -> None:
    bucket, key = split_bucket(uri)
    _ask(uri, lambda: next(iter(_client().list_blobs(bucket, prefix=key, max_results=1, **_ONCE)), None))


def presigned_url(uri: str, life: timedelta) -> str | None:
    try:
        return _blob(uri).generate_signed_url(version="v4", expiration=life)
    except (AttributeError, GoogleAuthError):  # credentials without a private key cannot sign
        return None


def credentials_are_temporary() -> bool:
    return False  # links are signed with a key


def _stat(uri: str) -> ObjectStat:
    blob: Any = _blob(uri)
    blob.reload(**_ONCE)
    return ObjectStat(size_bytes=int(blob.size or 0), etag=str(blob.generation), modified_us=microseconds(blob.updated))


def _read_part(uri: str, etag: str, start: int, length: int) -> bytes:
    """A part of one generation, which is gone once another one has taken its place."""
    if length <= 0:
        return b""
    try:
        blob = _blob(uri, etag)
        return blob.download_as_bytes(start=start, end=start + length - 1, raw_download=True, **_ONCE)
    except NotFound:
        raise ChangedError(f"{uri}: the object was replaced since it was listed") from None


def _ask_part(uri: str, etag: str, start: int, length: int) -> bytes:
    return _ask(uri, partial(_read_part, uri, etag, start, length), attempts=1)


def _pages(uri: str, delimiter: str | None = None) -> Iterator[tuple[list[StoredObject], set[str]]]:
    """The objects of each page, and the prefixes up to the delimiter."""
    bucket, key = split_bucket(uri)
    asked: dict[str, Any] = {"prefix": f"{key}/" if key else "", "delimiter": delimiter, "fields": _FIELDS}
    token = None
    while True:

        def ask(token: str | None = token) -> tuple[list[Blob], set[str], str | None]:
            found: Any = _client().list_blobs(bucket, page_token=token, page_size=_PAGE, **asked, **_ONCE)
            blobs = list(next(found.pages))
            return blobs, set(found.prefixes), found.next_page_token

        blobs, prefixes, token = _ask(uri, ask)
        yield [_stored(blob) for blob in blobs], prefixes
        if not token:
            return


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, int(blob.size or 0), str(blob.generation), microseconds(blob.updated))


def _ask(uri: str, do: Callable[[], Result], *, attempts: int = ATTEMPTS) -> Result:
    def ask() -> Result:
        try:
            return do()
        except _ERRORS as error:
            raise _as_os_error(error, uri) from error

    return with_retries(ask, attempts=attempts, where="Google Cloud Storage")


def _as_os_error(error: Exception, uri: str) -> OSError:
    """The OSError of the same meaning, with ``uri`` in its message."""
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        kind = "have expired" if isinstance(error, RefreshError) else "are not there"
        return CredentialsError(
            f"{uri}: the Google credentials {kind} ({one_line(error)}); check GOOGLE_APPLICATION_CREDENTIALS, or give "
            "`gcloud auth application-default login`"
        )
    status = error.code if isinstance(error, GoogleAPICallError) else None
    if status == 401:
        return CredentialsError(f"{uri}: the Google credentials are not accepted; check GOOGLE_APPLICATION_CREDENTIALS")
    if status == 404:
        return FileNotFoundError(f"{uri}: {_missing(str(error))}")
    if status == 403:
        return PermissionError(f"{uri}: access denied ({one_line(error)})")
    if status is not None and status not in RETRIED_STATUS:
        return OSError(f"{uri}: the storage answered {int(status)} ({one_line(error)})")
    return ConnectionError(f"{uri}: the storage cannot be reached ({one_line(error)})")


def _missing(said: str) -> str:
    if "bucket does not exist" in said:
        return "the bucket does not exist"
    return "no such object" if "No such object" in said else f"no such object or bucket ({one_line(said)})"
