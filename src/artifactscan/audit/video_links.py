"""What a page's player loads: a path relative to the page, or a presigned link that expires."""

import os
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from artifactscan import storage


def link(uri: str, page_folder: str, life: timedelta) -> str | None:
    """A link from a page in ``page_folder`` to the video, or None where a reader of the page cannot get at it."""
    if storage.is_s3(uri):
        bucket, key = storage.split_s3(uri)
        return storage.s3_client().generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=int(life.total_seconds())
        )
    if "://" in uri or storage.is_s3(page_folder):
        return None
    return quote(os.path.relpath(uri, storage.normalise(page_folder)))


def expiry(life: timedelta) -> str:
    """ISO 8601, UTC: until when presigned links made now work."""
    return (datetime.now(UTC) + life).isoformat(timespec="minutes")
