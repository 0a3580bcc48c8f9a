"""S3: the clients of boto3 and pyarrow, listing, and presigned links.

The standard AWS environment applies: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION, AWS_PROFILE, and the
credential chain.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import fs

from artifactscan.errors import UsageError
from artifactscan.storage.retries import BODY_ERRORS, S3_ATTEMPTS, RetryBudget, RetryLimits, retry_requests
from artifactscan.storage.storage_errors import as_os_error, s3_errors, status_of
from artifactscan.storage.uris import split_bucket

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
POOL_CONNECTIONS = 64
"""Connections kept open; more than any thread pool of this package has threads."""

_AWS_HOST = re.compile(r"s3([.-][a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRIES = "Entries"
WEAK = "W/"
"""Mark of an etag of which the storage does not promise that it tells versions apart byte by byte."""


@cache
def s3_client(*, attempts: int = S3_ATTEMPTS) -> Any:
    """The boto3 S3 client of this process, with ``attempts`` tries per request."""
    return _new_client(attempts=attempts)


def _new_client(*, attempts: int = S3_ATTEMPTS) -> Any:
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
    # By default the metadata service is asked once, for a second, which on a busy machine gives no credentials.
    os.environ.setdefault("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "5")
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "5")
    try:
        client = boto3.Session().client("s3", config=config)
    except ValueError as error:
        raise UsageError(f"no S3 client can be made ({error}); check AWS_ENDPOINT_URL and AWS_REGION") from None
    retry_requests(client, tries=attempts)
    return client


@cache
def s3_filesystem() -> fs.S3FileSystem:
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


def credentials_are_temporary() -> bool:
    """Whether this process's credentials expire; links signed with them expire at the same time."""
    credentials = boto3.Session().get_credentials()
    return credentials is not None and credentials.token is not None


def presigned_url(uri: str, life: timedelta) -> str:
    """A link to an object that works without credentials for ``life``."""
    bucket, key = split_bucket(uri)
    return s3_client().generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=int(life.total_seconds())
    )


class ConditionsUnsupportedError(OSError):
    """The storage has no conditional writes."""


def read_versioned_object(uri: str, *, attempts: int) -> tuple[bytes, str]:
    """The content of an object and its etag as the storage spells it."""
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


def write_object_if(uri: str, data: bytes, *, version: str | None, attempts: int) -> str | None:
    """Writes an object where it still has the etag ``version``, or with None where there is none.

    Returns its new etag, or None where the condition does not hold; ConditionsUnsupportedError where it is not
    understood.
    """
    if version is not None and version.startswith(WEAK):
        raise ConditionsUnsupportedError(f"{uri}: the storage compares no weak etags ({version})")
    bucket, key = split_bucket(uri)
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    budget = RetryBudget(RetryLimits(attempts=attempts))
    while True:
        try:
            client = s3_client(attempts=attempts)
            return client.put_object(Bucket=bucket, Key=key, Body=data, **condition)["ETag"]
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


def plain_etag(etag: str) -> str:
    """An etag without quotes and without the mark of a weak one, which storages and proxies add or leave out."""
    return etag.removeprefix(WEAK).strip('"')


def check_listable(uri: str) -> None:
    """OSError where the objects below an s3:// prefix cannot be listed."""
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)


def list_objects(uri: str) -> Iterator[tuple[str, int, str, int]]:
    """Key, size, etag and modified_us of every object below an s3:// prefix, in key order."""
    bucket, key = split_bucket(uri)
    with s3_errors(uri):
        pages = _listing_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/" if key else ""):
            yield from page[_ENTRIES]


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
            (
                decode(child.findtext(key, "")),
                int(child.findtext(size, "0")),
                plain_etag(child.findtext(etag, "")),
                microseconds(datetime.fromisoformat(child.findtext(modified, ""))),
            )
        )
    customized_response_dict[_ENTRIES] = entries
    response_dict["body"] = ElementTree.tostring(rest)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (time - _EPOCH) // timedelta(microseconds=1)
