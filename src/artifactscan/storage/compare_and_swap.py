"""Writes that succeed only where nobody else has written since.

On object storages they are conditional requests, on a file system they happen under a lock file, created exclusively.

No lock of the operating system is used, as network file systems have them only on some mounts.
"""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from artifactscan import storage
from artifactscan.storage.object_storage import storage_of
from artifactscan.storage.retries import ATTEMPTS
from artifactscan.storage.temporary_files import temporary_path
from artifactscan.storage.uris import is_remote

LOCK_POLL_S = 0.05
LOCK_STALE_S = 30.0
"""The lock file is held for milliseconds: one that is the same for so long was left by a process that was killed."""

_log = logging.getLogger("artifactscan.storage")


@dataclass(frozen=True)
class Versioned:
    """The content of a file or object, and what identifies this version of it."""

    data: bytes
    version: str


def read_versioned(uri: str, *, attempts: int = ATTEMPTS) -> Versioned:
    """The content of ``uri``, with the version that ``write_if`` compares; FileNotFoundError where there is none."""
    if is_remote(uri):
        return Versioned(*storage_of(uri).read(uri, attempts=attempts))
    return _read_file(Path(uri))


def write_if(uri: str, data: bytes, *, version: str | None, attempts: int = ATTEMPTS) -> str | None:
    """Writes ``data`` where ``uri`` still has this version, or with None where there is nothing yet.

    Returns the new version, or None where somebody else was first. Raises ConditionsUnsupportedError where the storage
    has no conditional writes. ``data`` must be different in each call, as its digest may be the version.
    """
    if is_remote(uri):
        return storage_of(uri).write_if(uri, data, version=version, attempts=attempts)
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    if version is None:
        return _version(data) if _create(path, data) else None
    with _locked(path) as lock:
        if _version_of(path) != version or not _holds(lock):
            return None
        storage.write_bytes(uri, data)
    return _version(data)


def remove_if(uri: str, version: str, *, attempts: int = ATTEMPTS) -> None:
    """Removes ``uri`` where it still has this version.

    An object is compared and removed in two requests: the caller sees to it that nobody else writes in between.
    """
    if is_remote(uri):
        with suppress(FileNotFoundError):
            if read_versioned(uri, attempts=attempts).version == version:
                storage_of(uri).remove(uri, attempts=attempts)
        return
    path = Path(uri)
    with _locked(path) as lock:
        if _version_of(path) == version and _holds(lock):
            path.unlink(missing_ok=True)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_file(path: Path) -> Versioned:
    data = path.read_bytes()
    return Versioned(data, _version(data))


def _version_of(path: Path) -> str | None:
    try:
        return _read_file(path).version
    except FileNotFoundError:
        return None


def _create(path: Path, data: bytes) -> bool:
    """Makes a file with its whole content; False where there is one. A link is atomic on NFS too."""
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            # A server that answers twice, as its first answer was lost, has made the link.
            return temporary.stat().st_nlink == 2
        except OSError:  # a file system without hard links
            return _create_in_place(path, data)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _create_in_place(path: Path, data: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator["_LockFile"]:
    """Holds the lock file of ``path``, so that reading and replacing it is one step."""
    lock = _LockFile(path.with_name(f".{path.name}.lock"), secrets.token_bytes(16))
    seen, since = b"", time.monotonic()
    while not _create(lock.path, lock.token):
        try:
            found = lock.path.read_bytes()
        except FileNotFoundError:
            continue
        if found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > LOCK_STALE_S:
            _log.warning("the lock file %s is left from a process that was killed; it is removed", lock.path)
            _remove_stale(lock.path, found)
        time.sleep(LOCK_POLL_S)
    try:
        yield lock
    finally:
        if _holds(lock):
            lock.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _LockFile:
    path: Path
    token: bytes


def _holds(lock: _LockFile) -> bool:
    """False where this process stood still for so long that another one removed its lock."""
    try:
        return lock.path.read_bytes() == lock.token
    except FileNotFoundError:
        return False


def _remove_stale(path: Path, content: bytes) -> None:
    """Removes the lock file if it still has this content: it is moved away first, which only one process can do."""
    away = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.rename(away)
    except FileNotFoundError:
        return
    if away.read_bytes() != content:  # another process has replaced it meanwhile
        with suppress(OSError):
            path.hardlink_to(away)
    away.unlink(missing_ok=True)
