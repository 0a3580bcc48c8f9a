"""Jobs submitted by `ray job submit`: checks of their paths, and metadata for `ray job list` and the dashboard."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable

_SUBMITTED_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def is_submitted() -> bool:
    """Whether this process is the driver of `ray job submit`."""
    return _SUBMITTED_VARIABLE in os.environ


def check_paths(settings: object, *names: str) -> None:
    """UsageError for a path in one of these settings that this job cannot use (`storage.check_uri`)."""
    for name in names:
        value = getattr(settings, name)
        for uri in (value,) if isinstance(value, str) else value or ():
            if uri:
                storage.check_uri(f"--{name.replace('_', '-')}", uri, submitted=is_submitted())


def add_job_metadata(**facts: str) -> str | None:
    """Adds ``facts``, with the prefix `artifactscan_`, to the metadata of this job if it was submitted.

    Returns None, or a sentence where it failed, which does not fail the job: Ray has no public API for metadata of a
    running job, so this writes to its internal storage, which may differ in another version.
    """
    if not is_submitted():
        return None
    from artifactscan.pipelines.ray_cluster import connection

    try:
        submission = json.loads(os.environ[_SUBMITTED_VARIABLE])["metadata"]["job_submission_id"]
        connection.connect()
        asyncio.run(_add(submission, {f"artifactscan_{name}": value for name, value in facts.items()}))
    except Exception as error:
        return f"the job's metadata could not be written ({printable(str(error), 200)})"
    return None


@contextmanager
def record_failure(*, cut_off: str) -> Iterator[None]:
    """Records in the job's metadata that it was refused (UsageError), or ``cut_off`` for any other exception."""
    try:
        yield
    except BaseException as error:
        add_job_metadata(verdict="refused" if isinstance(error, UsageError) else cut_off)
        raise


async def _add(submission: str, facts: dict[str, str]) -> None:
    from ray.dashboard.modules.job.common import JobInfoStorageClient
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    client = JobInfoStorageClient(internal_kv_get_gcs_client())
    info = await client.get_info(submission)
    if info is None:
        raise LookupError(f"Ray knows no job {submission}")
    info.metadata = {**(info.metadata or {}), **facts}
    await client.put_info(submission, info)
