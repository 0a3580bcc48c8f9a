"""Uris: which schemes there are, which of them name an object storage, and how a uri is spelled."""

import os
import re
from urllib.parse import unquote

from artifactscan.errors import UsageError

REMOTE_SCHEMES = ("s3", "gs", "az")
"""S3, Google Cloud Storage and Azure Blob Storage."""
HUB_SCHEME = "hf://"
"""Repositories of a model hub, from which checkpoints and labels are read: no object storage."""
_REMOTE = tuple(f"{scheme}://" for scheme in REMOTE_SCHEMES)
_PLACES = "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")


def is_remote(uri: str) -> bool:
    """True for objects and prefixes of an object storage; everything else is a local path."""
    return uri.startswith(_REMOTE)


def is_hub(uri: str) -> bool:
    """True for a repository of a model hub, or a file in one."""
    return uri[: len(HUB_SCHEME)].lower() == HUB_SCHEME


def absolute(uri: str) -> str:
    """``uri`` as it is found from any working directory: as ``normalise`` has it, and what is on a hub as it is."""
    return uri if is_hub(uri) else normalise(uri)


def split_bucket(uri: str) -> tuple[str, str]:
    """Bucket and raw key of a remote uri; the key may be empty."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def normalise(uri: str) -> str:
    """The uri in its only spelling: an absolute local path, or scheme://bucket/key without a slash at the end.

    Accepts file:// too; raises UsageError for any other scheme.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        if not uri or "\0" in uri:
            raise UsageError(f"{uri!r} is not a path; give a local path, {_PLACES}")
        return os.path.abspath(uri)  # noqa: PTH100 - resolve() would follow links, and Path drops nothing else
    name, rest = scheme.group().lower(), uri[scheme.end() + 3 :]
    if name == "file" and rest.startswith("/"):
        return normalise(unquote(rest))
    if name in REMOTE_SCHEMES and not rest.startswith("/") and rest:
        return f"{name}://{rest.rstrip('/')}"
    if name in REMOTE_SCHEMES:
        raise UsageError(f"{uri} names no bucket; write {_PLACES}")
    if is_hub(uri):
        raise UsageError(
            f"{uri} is on a model hub, from which only checkpoints and labels are read; give a local path, {_PLACES}"
        )
    raise UsageError(f"{uri} is not understood; give a local path, file:///path, {_PLACES}")


def check_uri(flag: str, uri: str, *, submitted: bool) -> None:
    """Raises UsageError for a uri that is not understood, or a relative path in a ``submitted`` job.

    Such a job runs in a temporary copy of its working directory, where the path would mean another file. What is on a
    model hub is left to its reader, as not every setting may be.
    """
    if is_hub(uri):
        return
    location = normalise(uri)
    if submitted and not is_remote(location) and not uri.startswith(("/", "file:")):
        raise UsageError(
            f"{flag} {uri} is relative, but a submitted job runs in a copy; give an absolute path, or s3://, gs://, az://"
        )


def join(uri: str, *parts: str) -> str:
    """``uri`` with ``parts`` below it."""
    return "/".join([uri.rstrip("/"), *parts])
