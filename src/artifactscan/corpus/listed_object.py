"""One object of a corpus, and the id of one version of it."""

from hashlib import blake2b
from typing import NamedTuple

from artifactscan import storage


class ListedObject(NamedTuple):
    """One object of the input; size, etag and time are None where they could not be read."""

    path: str
    """Below the input; matched with the patterns."""
    uri: str
    size_bytes: int | None = None
    etag: str | None = None
    modified_us: int | None = None


def video_id(uri: str, etag: str | None) -> str:
    """Id of one version of one object, 32 hex digits: blake2b of the uri, a NUL and the etag."""
    return blake2b(f"{uri}\0{etag or ''}".encode(), digest_size=16).hexdigest()


def look_up(path: str, uri: str) -> ListedObject:
    """The object or file at ``uri``, as ``path``; OSError where it cannot be read."""
    found = storage.stat(uri)
    return ListedObject(path, uri, found.size_bytes, found.etag, found.modified_us)
