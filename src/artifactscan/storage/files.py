"""Where things are: local paths and s3:// uris behind the same few functions.

S3 is reached as the standard AWS environment says: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION,
AWS_PROFILE, and the credential chain. boto3 does small and conditional requests, pyarrow reads and writes
tables; both go to the same endpoint. Errors are FileNotFoundError, PermissionError or another OSError,
with the uri.
"""

import os
import re
import secrets
import shutil
import stat as stat_bits
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit
from xml.etree import ElementTree

import boto3
from botocore.config import Config
from pyarrow import fs

from artifactscan.errors import UsageError
from artifactscan.storage import retries
from artifactscan.storage.failures import reason, s3_errors
from artifactscan.storage.retries import S3_ATTEMPTS

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
POOL_CONNECTIONS = 64
"""Connections kept open; more than any thread pool in here has threads."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_AWS_HOST = re.compile(r"s3([.-][a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENTRIES = "Entries"
_DELETED_AT_A_TIME = 1000  # what S3 takes in one request


@dataclass(frozen=True, kw_only=True)
class ObjectStat:
    """What identifies one version of a stored object."""

    size_bytes: int
    etag: str
    """S3's etag without quotes; of a local file its modification time in nanoseconds and its size."""
    modified_us: int
    """Microseconds since 1970, UTC."""


def normalise(uri: str) -> str:
    """One spelling per place: an absolute local path, or s3://bucket/key without a slash at the end.

    Takes file:// too; UsageError for any other scheme.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        if not uri or "\0" in uri:
            raise UsageError(f"{uri!r} is not a path; give a local path or s3://bucket/prefix")
        return os.path.abspath(uri)  # noqa: PTH100 - resolve() would follow links, and Path drops nothing else
    name, rest = scheme.group().lower(), uri[scheme.end() + 3 :]
    if name == "file" and rest.startswith("/"):
        return normalise(unquote(rest))
    if name == "s3" and not rest.startswith("/") and rest:
        return f"s3://{rest.rstrip('/')}"
    if name == "s3":
        raise UsageError(f"{uri} names no bucket; write s3://bucket/prefix")
    raise UsageError(f"{uri} is not understood; give a local path, file:///path or s3://bucket/prefix")


def check_place(flag: str, uri: str, *, submitted: bool) -> None:
    """UsageError for a uri that is not understood, or a relative path in a ``submitted`` job.

    Such a job runs in a temporary copy of its working directory, in which the path would not lead where it is meant.
    """
    place = normalise(uri)
    if submitted and not is_s3(place) and not uri.startswith(("/", "file:")):
        raise UsageError(
            f"{flag} {uri} is relative, but a submitted job runs in a copy; give an absolute or s3:// path"
        )


def is_s3(uri: str) -> bool:
    """True for s3:// uris; everything else is a local path."""
    return uri.startswith("s3://")


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and raw key of an s3:// uri; the key may be empty."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join(uri: str, *parts: str) -> str:
    """``uri`` with ``parts`` below it."""
    return "/".join([uri.rstrip("/"), *parts])


@cache
def s3_client(*, attempts: int = S3_ATTEMPTS) -> Any:
    """The boto3 S3 client of this process, with ``attempts`` tries per request."""
    return new_s3_client(attempts=attempts)


def new_s3_client(*, attempts: int = S3_ATTEMPTS) -> Any:
    """A boto3 S3 client of the caller's own, for those who hook into its events."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=POOL_CONNECTIONS,
        tcp_keepalive=True,
        signature_version="s3v4",  # boto3 would presign links as regions since 2014 refuse
        # Many S3-compatible stores refuse the checksums that boto3 adds of its own accord since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # An instance's metadata service that is asked once, for a second, leaves a loaded machine without credentials.
    os.environ.setdefault("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "5")
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "5")
    try:
        client = boto3.Session().client("s3", config=config)
    except ValueError as error:
        raise UsageError(f"no S3 client can be made ({error}); check AWS_ENDPOINT_URL and AWS_REGION") from None
    retries.bear_with(client, tries=attempts)
    return client


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow filesystem that holds ``uri``, and its path there.

    pyarrow does not follow a bucket to its region as boto3 does: on AWS the region set must be the bucket's.
    """
    if is_s3(uri):
        with s3_errors(uri):
            return _s3_filesystem(), "/".join(split_s3(uri)).rstrip("/")
    return fs.LocalFileSystem(), normalise(uri)


@cache
def _s3_filesystem() -> fs.S3FileSystem:
    meta = s3_client().meta
    endpoint = urlsplit(meta.endpoint_url)
    custom = not _AWS_HOST.fullmatch(endpoint.hostname or "")
    return fs.S3FileSystem(
        endpoint_override=endpoint.netloc if custom else None,
        scheme=endpoint.scheme,
        region=None if meta.region_name == "aws-global" else meta.region_name,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=READ_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )


def stat(uri: str) -> ObjectStat:
    """Size, etag and time of one object or regular file."""
    if is_s3(uri):
        bucket, key = split_s3(uri)
        with s3_errors(uri):
            head = s3_client().head_object(Bucket=bucket, Key=key)
        modified_us = (head["LastModified"] - _EPOCH) // _MICROSECOND
        return ObjectStat(size_bytes=head["ContentLength"], etag=head["ETag"].strip('"'), modified_us=modified_us)
    found = Path(uri).stat()
    if not stat_bits.S_ISREG(found.st_mode):
        raise OSError(f"{uri}: not a regular file")
    return local_stat(found)


def local_stat(found: os.stat_result) -> ObjectStat:
    """The same of a local file whose os.stat is at hand."""
    return ObjectStat(
        size_bytes=found.st_size,
        etag=f"{found.st_mtime_ns}-{found.st_size}",
        modified_us=found.st_mtime_ns // 1000,
    )


def exists(uri: str) -> bool:
    """True where an object, a file or a folder with anything in it is."""
    if not is_s3(uri):
        return Path(uri).exists()
    with suppress(FileNotFoundError):
        stat(uri)
        return True
    bucket, key = split_s3(uri)
    with s3_errors(uri):
        return s3_client().list_objects_v2(Bucket=bucket, Prefix=f"{key}/", MaxKeys=1)["KeyCount"] > 0


def read_bytes(uri: str, *, attempts: int = S3_ATTEMPTS) -> bytes:
    """The whole content of one object or file; of an S3 object with ``attempts`` tries."""
    if not is_s3(uri):
        return Path(uri).read_bytes()
    bucket, key = split_s3(uri)
    for tried in range(1, attempts + 1):
        with s3_errors(uri):
            body = s3_client(attempts=attempts).get_object(Bucket=bucket, Key=key)["Body"]
            try:
                return body.read()
            except retries.BROKEN_OFF:  # boto3 tries again only until the body begins
                if tried == attempts:
                    raise
        time.sleep(retries.wait_s(tried))
    raise ValueError(f"attempts is {attempts}; it must be 1 or more")


def write_bytes(uri: str, data: bytes, *, attempts: int = S3_ATTEMPTS) -> None:
    """Writes ``data`` whole or not at all, making folders as needed; it has reached the disk on return."""
    if is_s3(uri):
        bucket, key = split_s3(uri)
        with s3_errors(uri):
            s3_client(attempts=attempts).put_object(Bucket=bucket, Key=key, Body=data)
        return
    target = Path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
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


def signs_for_a_session() -> bool:
    """Whether this process's credentials are temporary: links signed with them end when they do."""
    credentials = boto3.Session().get_credentials()
    return credentials is not None and credentials.token is not None


def list_names(uri: str) -> list[str]:
    """Names of the files and folders right below ``uri``, sorted; none where it does not exist."""
    if not is_s3(uri):
        try:
            return sorted(os.listdir(uri))  # noqa: PTH208 - names are what is wanted
        except FileNotFoundError:
            return []
    bucket, key = split_s3(uri)
    prefix = f"{key}/" if key else ""
    names = set()
    with s3_errors(uri):
        pages = s3_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            names.update(entry["Prefix"][len(prefix) :].rstrip("/") for entry in page.get("CommonPrefixes", ()))
            names.update(entry["Key"][len(prefix) :] for entry in page.get("Contents", ()))
    return sorted(names - {""})


def list_objects(uri: str) -> Iterator[tuple[str, int, str, int]]:
    """Key, size, etag and modified_us of every object below an s3:// prefix, in the order of keys."""
    bucket, key = split_s3(uri)
    with s3_errors(uri):
        pages = _listing_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/" if key else ""):
            yield from page[_ENTRIES]


@cache
def _listing_client() -> Any:
    """A client with our own parser for pages of objects, as boto3's general one takes ten times as long."""
    client = new_s3_client()
    # With the service as a wildcard it runs before boto3's own handler, which would parse the whole page too.
    client.meta.events.register("before-parse.*.ListObjectsV2", _parse_page)
    return client


def _parse_page(response_dict: dict, customized_response_dict: dict, **_event: Any) -> None:
    """Moves the entries of a page from the body, which boto3 goes on to parse, into the result."""
    if response_dict["status_code"] != 200:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])
    except ElementTree.ParseError:
        return  # boto3 will find the same, and has the words for it
    space, listing, _ = root.tag.partition("ListBucketResult")
    if not listing:
        return  # an error under status 200, which boto3 knows to handle
    decode = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
    key, size, etag, modified = (f"{space}{name}" for name in ("Key", "Size", "ETag", "LastModified"))
    entries, rest = [], ElementTree.Element(root.tag)
    for child in root:
        if child.tag != f"{space}Contents":
            rest.append(child)
            continue
        modified_at = datetime.fromisoformat(child.findtext(modified, ""))
        entries.append(
            (
                decode(child.findtext(key, "")),
                int(child.findtext(size, "0")),
                child.findtext(etag, "").strip('"'),
                (modified_at - _EPOCH) // _MICROSECOND,
            )
        )
    customized_response_dict[_ENTRIES] = entries
    response_dict["body"] = ElementTree.tostring(rest)


def remove_tree(uri: str, *, attempts: int = S3_ATTEMPTS) -> None:
    """Removes an object, a file or a folder with all that is in it; nothing happens where there is none."""
    if not is_s3(uri):
        path = Path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    bucket, key = split_s3(uri)
    if not key:
        raise ValueError(f"{uri} is a whole bucket; it is not removed")
    with s3_errors(uri):
        s3_client(attempts=attempts).delete_object(Bucket=bucket, Key=key)
    objects = list_objects(uri)
    while keys := [{"Key": name} for name, *_ in islice(objects, _DELETED_AT_A_TIME)]:
        with s3_errors(uri):
            answer = s3_client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        for failed in answer.get("Errors", ()):
            raise OSError(f"s3://{bucket}/{failed['Key']} cannot be removed ({failed['Code']})")


def check_writable(uri: str) -> None:
    """UsageError, in one sentence, where nothing could be written below ``uri``; leaves nothing behind."""
    probe = join(normalise(uri), f".artifactscan-{secrets.token_hex(8)}")
    try:
        if is_s3(uri):
            _probe_s3(probe)
        else:
            _probe_folder(Path(probe))
    except OSError as error:
        way_out = "" if is_s3(uri) else "; give a folder that can be"  # of S3 the reason says it
        raise UsageError(f"output {uri} cannot be written: {reason(error, probe)}{way_out}") from None


def _probe_s3(probe: str) -> None:
    write_bytes(probe, b"probe")
    try:
        files, path = filesystem(probe)  # tables go through pyarrow, which finds credentials and region by itself
        if files.get_file_info(path).size != len(b"probe"):
            raise OSError("what boto3 wrote there pyarrow does not see; check AWS_ENDPOINT_URL and AWS_REGION")
    finally:
        remove_tree(probe)


def _probe_folder(probe: Path) -> None:
    """Writes and removes a file in the folder of ``probe``, or in the nearest one above it that is there."""
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
