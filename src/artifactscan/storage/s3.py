"""S3, as `object_storage` asks for it. All requests go through boto3, tables too, so that they have one endpoint, trust
and chain of credentials: profiles with roles, processes and SSO, instance metadata, AWS_CA_BUNDLE, AWS_ENDPOINT_URL, …
"""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from threading import Lock
from typing import IO, Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

from artifactscan.storage.aws_environment import check_ca_bundle, check_endpoint, explain_client_error
from artifactscan.storage.object_storage import (
    WEAK,
    ChangedError,
    ConditionsUnsupportedError,
    Level,
    ObjectStat,
    OpenedObject,
    StoredObject,
    microseconds,
    plain_etag,
)
from artifactscan.storage.retries import ATTEMPTS, BODY_ERRORS, RetryBudget, RetryLimits, retry_requests
from artifactscan.storage.storage_errors import as_os_error, s3_errors, status_of
from artifactscan.storage.uris import split_bucket

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
POOL_CONNECTIONS = 64
"""Connections kept open; more than any thread pool of this package has threads."""

_MAX_KEYS_PER_DELETE = 1000
"""S3's limit."""
_ENTRIES = "Entries"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


_creating = Lock()


@cache
def _session() -> boto3.Session:
    """One for all clients, which then share credentials: a role is assumed, and a process asked, once."""
    # By default the metadata service is asked once, for a second, which on a busy machine gives no credentials.
    # Where nothing answers, boto3 asks twice: 12 seconds.
    os.environ.setdefault("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "3")
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "2")
    return boto3.Session()


@cache
def s3_client(*, attempts: int = ATTEMPTS) -> Any:
    """The boto3 S3 client of this process, with ``attempts`` tries per request."""
    return _new_client(attempts=attempts)


def _new_client(*, attempts: int = ATTEMPTS) -> Any:
    """A boto3 S3 client that is not shared, for callers that add event handlers to it."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=POOL_CONNECTIONS,
        tcp_keepalive=True,
        signature_version="s3v4",  # boto3's default for presigned links is refused by regions opened since 2014
        # Many S3-compatible stores refuse the checksums that boto3 adds by default since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _creating:  # a session may be used by one thread at a time, unlike a client
        session = _session()
        try:
            client = session.client("s3", config=config)
        except (ValueError, OSError, AttributeError) as error:
            raise explain_client_error(error) from None
        check_endpoint(client.meta.endpoint_url)
        check_ca_bundle(session, client.meta.endpoint_url)
    retry_requests(client, tries=attempts)
    return client


def stat(uri: str) -> ObjectStat:
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        head = s3_client().head_object(Bucket=bucket, Key=key)
    return ObjectStat(
        size_bytes=head["ContentLength"],
        etag=plain_etag(head["ETag"]),
        modified_us=microseconds(head["LastModified"]),
    )


def read(uri: str, *, attempts: int = ATTEMPTS) -> tuple[bytes, str]:
    bucket, key = split_bucket(uri)
    budget = RetryBudget(RetryLimits(attempts=attempts))
    while True:
        with s3_errors(uri):
            answer = s3_client(attempts=attempts).get_object(Bucket=bucket, Key=key)
            try:
                return answer["Body"].read(), answer["ETag"]
            except BODY_ERRORS:  # boto3 retries only until the body begins
                if not budget.wait():
                    raise


def read_range(uri: str, etag: str, start: int, length: int) -> bytes:
    if length <= 0:
        return b""
    budget = RetryBudget(RetryLimits())
    while True:
        opened = _open(uri, etag, f"bytes={start}-{start + length - 1}", attempts=ATTEMPTS)
        try:
            with closing(opened.body):
                if opened.start < start:  # the storage sent all of it
                    opened.body.read(start - opened.start)
                return opened.body.read(length)
        except ConnectionError:  # boto3 retries only until the body begins
            if not budget.wait():
                raise


def open_once(uri: str, etag: str, start: int) -> OpenedObject:
    return _open(uri, etag, f"bytes={start}-" if start else None, attempts=1)


def write(uri: str, data: bytes, *, attempts: int = ATTEMPTS) -> None:
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        s3_client(attempts=attempts).put_object(Bucket=bucket, Key=key, Body=data)


def write_file(uri: str, file: IO[bytes]) -> None:
    bucket, key = split_bucket(uri)
    file.seek(0)
    try:
        with s3_errors(uri):
            s3_client().upload_fileobj(file, bucket, key)
    except S3UploadFailedError as error:
        raise OSError(f"{uri}: {error}") from error


def write_if(uri: str, data: bytes, *, version: str | None, attempts: int = ATTEMPTS) -> str | None:
    if version is not None and version.startswith(WEAK):
        raise ConditionsUnsupportedError(f"{uri}: the storage compares no weak etags ({version})")
    bucket, key = split_bucket(uri)
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    budget = RetryBudget(RetryLimits(attempts=attempts))
    while True:
        try:
            return s3_client(attempts=attempts).put_object(Bucket=bucket, Key=key, Body=data, **condition)["ETag"]
        except ClientError as error:
            status, code = status_of(error), error.response.get("Error", {}).get("Code")
            if status == 412 or code == "NoSuchKey":
                return None
            if status == 501:
                raise ConditionsUnsupportedError(f"{uri}: {code}") from error
            if status != 409 or not budget.wait():  # S3's answer while another conditional write is under way
                raise as_os_error(error, uri) from error
        except BotoCoreError as error:
            raise as_os_error(error, uri) from error


def remove(uri: str, *, attempts: int = ATTEMPTS) -> None:
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        s3_client(attempts=attempts).delete_object(Bucket=bucket, Key=key)


def remove_below(uri: str) -> None:
    bucket, _ = split_bucket(uri)
    objects = list_objects(uri)
    while keys := [{"Key": found.key} for found in islice(objects, _MAX_KEYS_PER_DELETE)]:
        with s3_errors(uri):
            answer = s3_client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        for failed in answer.get("Errors", ()):
            raise OSError(f"s3://{bucket}/{failed['Key']} cannot be removed ({failed['Code']})")


def credentials_are_temporary() -> bool:
    with _creating:
        credentials = _session().get_credentials()
    return credentials is not None and credentials.token is not None


def presigned_url(uri: str, life: timedelta) -> str:
    bucket, key = split_bucket(uri)
    return s3_client().generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=int(life.total_seconds())
    )


def check_listable(uri: str) -> None:
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)


def list_objects(uri: str) -> Iterator[StoredObject]:
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        pages = _listing_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/" if key else ""):
            yield from page[_ENTRIES]


def list_level(uri: str) -> Level:
    bucket, key = split_bucket(uri)
    level = Level([], [])
    with s3_errors(uri):
        pages = _listing_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/" if key else "", Delimiter="/"):
            level.folders.extend(entry["Prefix"].removesuffix("/") for entry in page.get("CommonPrefixes", ()))
            level.objects.extend(page[_ENTRIES])
    return level


class _Body:
    """The body of an answer; ConnectionError where it breaks off."""

    def __init__(self, body: StreamingBody):
        self._body = body

    def read(self, size: int | None = None) -> bytes:
        try:
            return self._body.read(size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise ConnectionError(" ".join(str(error).split())) from error

    def close(self) -> None:
        self._body.close()


def _open(uri: str, etag: str, byte_range: str | None, *, attempts: int) -> OpenedObject:
    bucket, key = split_bucket(uri)
    client, asked = s3_client(attempts=attempts), {"Bucket": bucket, "Key": key}
    if byte_range is not None:
        asked["Range"] = byte_range
    try:
        try:
            answer = client.get_object(**asked, IfMatch=f'"{etag}"')
        except ClientError as error:
            if status_of(error) != 412:
                raise
            answer = client.get_object(**asked)  # a weak etag matches nothing, though it may be the same
            if not answer["ETag"].startswith(WEAK):
                answer["Body"].close()
                raise ChangedError(f"{uri}: the object was replaced since it was listed") from None
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and status_of(error) == 412:
            raise ChangedError(f"{uri}: the object was replaced since it was listed") from None
        raise as_os_error(error, uri) from None
    if plain_etag(answer["ETag"]) != etag:  # also where a storage ignores If-Match
        answer["Body"].close()
        raise ChangedError(f"{uri}: the object was replaced since it was listed")
    found = _CONTENT_RANGE.match(answer.get("ContentRange", ""))
    start = int(found[1]) if found else 0
    return OpenedObject(
        start=start,
        size_bytes=int(found[2]) if found else answer["ContentLength"],
        body=_Body(answer["Body"]),
    )


@cache
def _listing_client() -> Any:
    """A client with its own parser for pages of objects: boto3's general parser takes ten times as long."""
    client = _new_client()
    # The wildcard makes this handler run before boto3's own, which would parse the whole page too.
    client.meta.events.register("before-parse.*.ListObjectsV2", _parse_page)
    return client


def _parse_page(response_dict: dict, customized_response_dict: dict, **_event: Any) -> None:
    """Moves the entries of a page from the body, which boto3 parses afterwards, into the result."""
    if response_dict["status_code"] != 200:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])
    except ElementTree.ParseError:
        return  # boto3 reports it
    space, listing, _ = root.tag.partition("ListBucketResult")
    if not listing:
        return  # an error under status 200, which boto3 handles
    decode = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
    key, size, etag, modified = (f"{space}{name}" for name in ("Key", "Size", "ETag", "LastModified"))
    entries, rest = [], ElementTree.Element(root.tag)
    for child in root:
        if child.tag != f"{space}Contents":
            rest.append(child)
            continue
        entries.append(
            StoredObject(
                decode(child.findtext(key, "")),
                int(child.findtext(size, "0")),
                plain_etag(child.findtext(etag, "")),
                microseconds(datetime.fromisoformat(child.findtext(modified, ""))),
            )
        )
    customized_response_dict[_ENTRIES] = entries
    response_dict["body"] = ElementTree.tostring(rest)
