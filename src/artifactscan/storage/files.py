"""Local paths and s3:// uris behind the same functions; another object store gets its branches here.

boto3 does small and conditional requests, pyarrow reads and writes tables; both use the same endpoint. Errors are
FileNotFoundError, PermissionError or another OSError, with the uri.
"""

import os
import secrets
import shutil
import stat as stat_bits
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pyarrow import fs

from artifactscan.errors import UsageError
from artifactscan.storage.retries import S3_ATTEMPTS
from artifactscan.storage.s3 import (
    list_objects,
    microseconds,
    plain_etag,
    read_versioned_object,
    s3_client,
    s3_filesystem,
)
from artifactscan.storage.storage_errors import describe, s3_errors
from artifactscan.storage.uris import is_remote, join, normalise, split_bucket
from artifactscan.storage.write_errors import named_write_errors

_MAX_KEYS_PER_DELETE = 1000
"""S3's limit."""


@dataclass(frozen=True, kw_only=True)
class ObjectStat:
    """What identifies one version of a stored object."""

    size_bytes: int
    etag: str
    """S3's etag without quotes and the mark of a weak one; of a local file its modification time in nanoseconds and its
    size."""
    modified_us: int
    """Microseconds since 1970, UTC."""


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow filesystem that holds ``uri``, and its path there.

    pyarrow does not follow a bucket to its region as boto3 does: on AWS the region set must be the bucket's.
    """
    if is_remote(uri):
        with s3_errors(uri):
            return s3_filesystem(), "/".join(split_bucket(uri)).rstrip("/")
    return fs.LocalFileSystem(), normalise(uri)


def stat(uri: str) -> ObjectStat:
    """Size, etag and time of one object or regular file."""
    if is_remote(uri):
        bucket, key = split_bucket(uri)
        with s3_errors(uri):
            head = s3_client().head_object(Bucket=bucket, Key=key)
        return ObjectStat(
            size_bytes=head["ContentLength"],
            etag=plain_etag(head["ETag"]),
            modified_us=microseconds(head["LastModified"]),
        )
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
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        return s3_client().list_objects_v2(Bucket=bucket, Prefix=f"{key}/", MaxKeys=1)["KeyCount"] > 0


def read_bytes(uri: str, *, attempts: int = S3_ATTEMPTS) -> bytes:
    """The whole content of one object or file; an S3 object is read with ``attempts`` tries."""
    if not is_remote(uri):
        return Path(uri).read_bytes()
    return read_versioned_object(uri, attempts=attempts)[0]


def write_bytes(uri: str, data: bytes, *, attempts: int = S3_ATTEMPTS) -> None:
    """Writes ``data`` completely or not at all, and makes folders as needed; it is on the disk on return."""
    if is_remote(uri):
        bucket, key = split_bucket(uri)
        with s3_errors(uri):
            s3_client(attempts=attempts).put_object(Bucket=bucket, Key=key, Body=data)
        return
    target = Path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with named_write_errors(target), temporary.open("wb") as file:
            file.write(data)
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


def list_names(uri: str) -> list[str]:
    """Names of the files and folders directly below ``uri``, sorted; empty where it does not exist."""
    if not is_remote(uri):
        try:
            return sorted(os.listdir(uri))  # noqa: PTH208 - names are what is wanted
        except FileNotFoundError:
            return []
    bucket, key = split_bucket(uri)
    prefix = f"{key}/" if key else ""
    names = set()
    with s3_errors(uri):
        pages = s3_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            names.update(entry["Prefix"][len(prefix) :].rstrip("/") for entry in page.get("CommonPrefixes", ()))
            names.update(entry["Key"][len(prefix) :] for entry in page.get("Contents", ()))
    return sorted(names - {""})


def remove_tree(uri: str, *, attempts: int = S3_ATTEMPTS) -> None:
    """Removes an object, a file or a folder with everything in it, if there is one."""
    if not is_remote(uri):
        path = Path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    bucket, key = split_bucket(uri)
    if not key:
        raise ValueError(f"{uri} is a whole bucket; it is not removed")
    with s3_errors(uri):
        s3_client(attempts=attempts).delete_object(Bucket=bucket, Key=key)
    objects = list_objects(uri)
    while keys := [{"Key": name} for name, *_ in islice(objects, _MAX_KEYS_PER_DELETE)]:
        with s3_errors(uri):
            answer = s3_client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        for failed in answer.get("Errors", ()):
            raise OSError(f"s3://{bucket}/{failed['Key']} cannot be removed ({failed['Code']})")


def check_writable(uri: str) -> None:
    """Raises UsageError where nothing can be written below ``uri``; tries it and leaves nothing behind."""
    probe = join(normalise(uri), f".artifactscan-{secrets.token_hex(8)}")
    try:
        if is_remote(uri):
            _probe_s3(probe)
        else:
            _probe_folder(Path(probe))
    except OSError as error:
        way_out = "" if is_remote(uri) else "; give a folder that can be"  # S3's errors name their own way out
        raise UsageError(f"output {uri} cannot be written: {describe(error, probe)}{way_out}") from None


@contextmanager
def no_new_folder_on_usage_error(uri: str) -> Iterator[None]:
    """Removes the local folders down to ``uri`` that were made inside, and are empty, where a UsageError ends it."""
    path = Path(normalise(uri))
    made = [] if is_remote(uri) else [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except UsageError:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _probe_s3(probe: str) -> None:
    write_bytes(probe, b"probe")
    try:
        files, path = filesystem(probe)  # pyarrow writes the tables, and finds credentials and region itself
        if files.get_file_info(path).size != len(b"probe"):
            raise OSError("what boto3 wrote there pyarrow does not see; check AWS_ENDPOINT_URL and AWS_REGION")
    finally:
        remove_tree(probe)


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
