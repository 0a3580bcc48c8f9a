"""What this package asks of an object storage; a module for each scheme answers it.

Objects are named by whole uris. Errors are FileNotFoundError, PermissionError, CredentialsError, ConnectionError (gone
or busy), ChangedError or another OSError, with the uri in the message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import IO, Any, NamedTuple, Protocol, cast

from artifactscan.errors import UsageError
from artifactscan.storage.retries import ATTEMPTS

WEAK = "W/"
"""Mark of an etag of which the storage does not promise that it tells versions apart byte by byte."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MODULES = {
    "s3": ("artifactscan.storage.s3", ""),
    "gs": ("artifactscan.storage.gcs", "gcs"),
    "az": ("artifactscan.storage.azure", "azure"),
}
"""Scheme → its module, and the extra that installs what it imports."""


@dataclass(frozen=True, kw_only=True)
class ObjectStat:
    """What identifies one version of a stored object."""

    size_bytes: int
    etag: str
    """The storage's etag without quotes and the mark of a weak one; of a local file its modification time in
    nanoseconds and its size."""
    modified_us: int
    """Microseconds since 1970, UTC."""


class StoredObject(NamedTuple):
    """An object of a listing."""

    key: str
    size_bytes: int
    etag: str
    modified_us: int


class Level(NamedTuple):
    """What lies directly below a prefix."""

    folders: list[str]
    """Keys without a slash at the end."""
    objects: list[StoredObject]


class ChangedError(OSError):
    """The object is not the version that was asked for."""


class ConditionsUnsupportedError(OSError):
    """The storage has no conditional writes."""


@dataclass(frozen=True)
class OpenedObject:
    """A version of an object while it is read."""

    start: int
    """Offset of the body in the object: 0 where the storage sends all of it although a range was asked for."""
    size_bytes: int
    """Of the whole object."""
    body: Any
    """Has ``read(size)``, which raises ConnectionError where the connection breaks, and ``close()``."""


class ObjectStorage(Protocol):
    """The module of a scheme."""

    def stat(self, uri: str) -> ObjectStat:
        """Size, etag and time of an object."""
        ...

    def read(self, uri: str, *, attempts: int = ATTEMPTS) -> tuple[bytes, str]:
        """The content of an object, and the version that ``write_if`` compares."""
        ...

    def read_range(self, uri: str, etag: str, start: int, length: int) -> bytes:
        """A part of one version of an object; ChangedError where it is another version."""
        ...

    def open_once(self, uri: str, etag: str, start: int) -> OpenedObject:
        """Opens one version of an object from ``start`` on, without retries."""
        ...

    def write(self, uri: str, data: bytes, *, attempts: int = ATTEMPTS) -> None:
        """Writes an object, completely or not at all."""
        ...

    def write_file(self, uri: str, file: IO[bytes]) -> None:
        """Writes an object of any size from ``file``, from its beginning, completely or not at all."""
        ...

    def write_if(self, uri: str, data: bytes, *, version: str | None, attempts: int = ATTEMPTS) -> str | None:
        """Writes an object where it still has this version, or with None where there is none.

        Returns its new version, or None where the condition does not hold; ConditionsUnsupportedError where the storage
        does not understand it.
        """
        ...

    def remove(self, uri: str, *, attempts: int = ATTEMPTS) -> None:
        """Removes an object, if there is one."""
        ...

    def remove_below(self, uri: str) -> None:
        """Removes all objects below a prefix."""
        ...

    def list_objects(self, uri: str) -> Iterator[StoredObject]:
        """Every object below a prefix, in key order, page by page."""
        ...

    def list_level(self, uri: str) -> Level:
        """The folders and objects directly below a prefix."""
        ...

    def check_listable(self, uri: str) -> None:
        """OSError where the objects below a prefix cannot be listed."""
        ...

    def presigned_url(self, uri: str, life: timedelta) -> str | None:
        """A link to an object that works without credentials for ``life``; None where the credentials sign none."""
        ...

    def credentials_are_temporary(self) -> bool:
        """Whether this process's credentials expire; links signed with them expire at the same time."""
        ...


def plain_etag(etag: str) -> str:
    """An etag without quotes and without the mark of a weak one, which storages and proxies add or leave out."""
    return etag.removeprefix(WEAK).strip('"')


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def storage_of(uri: str) -> ObjectStorage:
    """The module of a remote uri's scheme; UsageError where what it needs is not installed."""
    return _load(uri.partition("://")[0])


@cache
def _load(scheme: str) -> ObjectStorage:
    module, extra = _MODULES[scheme]
    try:
        return cast(ObjectStorage, import_module(module))
    except ModuleNotFoundError as error:
        if not extra:
            raise
        raise UsageError(
            f"{scheme}:// needs {error.name}, which is not installed; pip install 'artifactscan[{extra}]' on all nodes"
        ) from None
