"""Links to videos, relative to a page or presigned, and to a night's page."""

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


def page_link(page: str, page_url: str) -> str:
    """The address of a night's page below ``page_url``, at which people reach the store; without one its path or URI.

    ``page`` is the URI of nights/<id>/report.html in the store.
    """
    return "/".join([page_url.rstrip("/"), *page.rsplit("/", 3)[1:]]) if page_url else page


def expiry(life: timedelta) -> str:
    """When presigned links made now expire: ISO 8601, UTC."""
    return (datetime.now(UTC) + life).isoformat(timespec="minutes")
