"""Local paths and uris of object storages behind the same functions.

Errors are FileNotFoundError, PermissionError or another OSError, with the uri.
"""

import os
import secrets
import shutil
import stat as stat_bits
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from pyarrow import fs

from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage.object_storage import ObjectStat, StoredObject, storage_of
from artifactscan.storage.retries import ATTEMPTS
from artifactscan.storage.storage_errors import describe
from artifactscan.storage.temporary_files import is_temporary_name, temporary_path
from artifactscan.storage.uris import is_remote, join, normalise, split_bucket
from artifactscan.storage.write_errors import FREE_SPACE, describe_full, named_write_errors


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow filesystem that holds ``uri``, and its path there."""
    if is_remote(uri):
        from artifactscan.storage.arrow_files import arrow_filesystem, arrow_path

        return arrow_filesystem(uri), arrow_path(uri)
    return fs.LocalFileSystem(), normalise(uri)


def stat(uri: str) -> ObjectStat:
    """Size, etag and time of one object or regular file."""
    if is_remote(uri):
        return storage_of(uri).stat(uri)
    found = Path(uri).stat()
    if not stat_bits.S_ISREG(found.st_mode):
        raise OSError(f"{uri}: not a regular file")
    return local_stat(found)


def local_stat(found: os.stat_result) -> ObjectStat:
    """The ObjectStat of a local file from its os.stat."""
    return ObjectStat(
        size_bytes=found.st_size,
        etag=f"{found.st_mtime_ns}-{found.st_size}",
        modified_us=found.st_mtime_ns // 1000,
    )


def exists(uri: str) -> bool:
    """Whether there is an object, a file, or a folder with anything in it."""
    if not is_remote(uri):
        return Path(uri).exists()
    with suppress(FileNotFoundError):
        stat(uri)
        return True
    return next(storage_of(uri).list_objects(uri), None) is not None


def read_bytes(uri: str, *, attempts: int = ATTEMPTS) -> bytes:
    """The whole content of one object or file; an object is read with ``attempts`` tries."""
    return storage_of(uri).read(uri, attempts=attempts)[0] if is_remote(uri) else Path(uri).read_bytes()


def write_bytes(uri: str, data: bytes, *, attempts: int = ATTEMPTS) -> None:
    """Writes ``data`` completely or not at all, and makes folders as needed; it is on the disk on return."""
    if is_remote(uri):
        storage_of(uri).write(uri, data, attempts=attempts)
        return
    with _open_local(Path(uri)) as file:
        file.write(data)


@contextmanager
def open_to_write(uri: str) -> Iterator[IO[bytes]]:
    """A file to write from its beginning to its end, which may be larger than memory; folders are made as needed.

    It is there, complete and on the disk, once the block has ended; where an error ends the block, nothing is written.
    """
    if is_remote(uri):
        from artifactscan.storage.arrow_files import SPOOL_BYTES

        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            yield spool
            storage_of(uri).write_file(uri, spool)
        return
    with _open_local(Path(uri)) as file:
        yield file


@contextmanager
def _open_local(target: Path) -> Iterator[IO[bytes]]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target)
    try:
        with named_write_errors(target), temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unfinished_files(folder: str) -> list[str]:
    """The files of a local folder whose writing has not ended: somebody writes them now, or was killed meanwhile.

    None in an object storage, where an object is there once it is complete.
    """
    if is_remote(folder):
        return []
    files = [Path(folder, name) for name in list_names(folder) if is_temporary_name(name)]
    return [str(file) for file in files if not file.is_symlink() and file.is_file()]


def list_names(uri: str) -> list[str]:
    """Names of the files and folders directly below ``uri``, sorted; empty where it does not exist."""
    if not is_remote(uri):
        try:
            return sorted(os.listdir(uri))  # noqa: PTH208 - names are what is wanted
        except FileNotFoundError:
            return []
    level = storage_of(uri).list_level(uri)
    keys = [*level.folders, *(found.key for found in level.objects if not found.key.endswith("/"))]
    return sorted({key.rsplit("/", 1)[-1] for key in keys} - {""})


def remove_tree(uri: str, *, attempts: int = ATTEMPTS) -> None:
    """Removes an object, a file or a folder with everything in it, if there is one."""
    if not is_remote(uri):
        path = Path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    if not split_bucket(uri)[1]:
        raise ValueError(f"{uri} is a whole bucket; it is not removed")
    storage_of(uri).remove(uri, attempts=attempts)
    storage_of(uri).remove_below(uri)


def remove_file(uri: str) -> None:
    """Removes an object or a file, if there is one; a folder stays, and so does what lies below it."""
    if is_remote(uri):
        storage_of(uri).remove(uri)
    elif not (path := Path(uri)).is_dir() or path.is_symlink():
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def list_objects(uri: str) -> Iterator[StoredObject]:
    """Key, size, etag and modified_us of every object below a remote prefix, in key order."""
    return storage_of(uri).list_objects(uri)


def check_listable(uri: str) -> None:
    """OSError where the objects below a remote prefix cannot be listed."""
    storage_of(uri).check_listable(uri)


def presigned_url(uri: str, life: timedelta) -> str | None:
    """A link to an object that works without credentials for ``life``; None where the credentials sign none."""
    return storage_of(uri).presigned_url(uri, life)


def credentials_are_temporary(uri: str) -> bool:
    """Whether the credentials for a remote ``uri`` expire; links signed with them expire at the same time."""
    return storage_of(uri).credentials_are_temporary()


def check_writable(uri: str) -> None:
    """Raises UsageError where nothing can be written below ``uri``; tries it and leaves nothing behind."""
    probe = _name_probe(uri)
    try:
        _write_probe(probe)
    except OSError as error:
        way_out = "" if is_remote(uri) else "; give a folder that can be"  # a storage's errors name their own way out
        raise UsageError(f"output {uri} cannot be written: {describe(error, probe)}{way_out}") from None


def check_store_writable(uri: str, again: str) -> None:
    """As `check_writable`, for a store that is there, in whose place no other one will do.

    CutOffError where its disk is full; ``again`` says what the same command does once there is room.
    """
    probe = _name_probe(uri)
    try:
        _write_probe(probe)
    except OSError as error:
        message = f"store {uri} cannot be written: {describe(error, probe)}"
        if is_remote(uri):  # a storage's errors name their own way out
            raise UsageError(message) from None
        if full := describe_full(error, probe):
            raise CutOffError(f"{message}{full}; {FREE_SPACE}; {again}") from None
        raise UsageError(f"{message}; get the right to write there") from None


def _name_probe(uri: str) -> str:
    return join(normalise(uri), f".artifactscan-{secrets.token_hex(8)}")


def _write_probe(probe: str) -> None:
    """Writes and removes a file."""
    if is_remote(probe):
        _probe_remote(probe)
    else:
        _probe_folder(Path(probe))


def _probe_remote(probe: str) -> None:
    write_bytes(probe, b"probe")
    storage_of(probe).remove(probe)


def _probe_folder(probe: Path) -> None:
    """Writes and removes a file in the folder of ``probe``, or in the nearest existing folder above it."""
    folder = probe.parent
    while not folder.exists() and not folder.is_symlink():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    probe = folder / probe.name
    try:
        with probe.open("wb") as file:
            file.write(b"probe")
            file.flush()
            os.fsync(file.fileno())
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
