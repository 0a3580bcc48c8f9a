"""The link of a page's video player: a path relative to the page, or a presigned URL that expires."""

import os
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from artifactscan import storage


def video_link(uri: str, page_folder: str, life: timedelta) -> str | None:
    """A link from a page in ``page_folder`` to the video; None where a reader of the page cannot reach it."""
    if storage.is_remote(uri):
        return storage.presigned_url(uri, life)
    if "://" in uri or storage.is_remote(page_folder):
        return None
    return quote(os.path.relpath(uri, storage.normalise(page_folder)))


def expiry(life: timedelta) -> str:
    """When presigned links made now expire: ISO 8601, UTC."""
    return (datetime.now(UTC) + life).isoformat(timespec="minutes")
