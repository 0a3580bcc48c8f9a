"""What a job that came by `ray job submit` tells of itself beside its log: `ray job list` and the dashboard show it."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable

_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def submitted() -> bool:
    """Whether this process is the driver of `ray job submit`."""
    return _VARIABLE in os.environ


def check_paths(settings: object, *names: str) -> None:
    """UsageError where a setting of these names has a place that this job cannot mean (`storage.check_place`)."""
    for name in names:
        value = getattr(settings, name)
        for place in (value,) if isinstance(value, str) else value or ():
            if place:
                storage.check_place(f"--{name.replace('_', '-')}", place, submitted=submitted())


def tell_job(**facts: str) -> str | None:
    """Adds ``facts`` to the metadata of this submitted job, below `artifactscan_…`; None where that went well.

    Ray lets a job be given metadata only from outside, before it starts; its own store of them is written here, and
    where a version of Ray has another one, what it said is returned: a job does not fail of it.
    """
    if not submitted():
        return None
    from artifactscan.pipelines.ray_cluster import connection

    try:
        submission = json.loads(os.environ[_VARIABLE])["metadata"]["job_submission_id"]
        connection.connect()
        asyncio.run(_add(submission, {f"artifactscan_{name}": value for name, value in facts.items()}))
    except Exception as error:
        return f"the job's metadata could not be written ({printable(str(error), 200)})"
    return None


@contextmanager
def telling_of_a_bad_end(*, cut_off: str) -> Iterator[None]:
    """Has the metadata of this submitted job say that it was refused, or ``cut_off`` where anything else ended it."""
    try:
        yield
    except BaseException as error:
        tell_job(verdict="refused" if isinstance(error, UsageError) else cut_off)
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
