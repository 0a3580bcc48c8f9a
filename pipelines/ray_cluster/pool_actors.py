"""The actors of Ray Data's pools, which it does not expose: which of them restart, and ending them all."""

from contextlib import suppress
from typing import Any

import ray
from ray._private.state import actors
from ray._private.worker import global_worker
from ray.exceptions import RayError

_POOL_WORKER = "MapWorker("
"""Prefix of Ray Data's class names for pool actors."""


def restarting() -> set[str]:
    """Ids of this job's pool actors that Ray is restarting, or will restart once a node has room."""
    found = actors(job_id=_job_id(), actor_state_name="RESTARTING")
    return {actor for actor, facts in found.items() if _in_pool(facts)}


def end_all() -> None:
    """Ends the pool actors that a failed graph left: its exception refers to them and would keep their CPUs booked."""
    with suppress(RayError):  # the cluster is going down, and the actors with it
        for actor, facts in actors(job_id=_job_id()).items():
            if facts["State"] != "DEAD" and _in_pool(facts):
                with suppress(ValueError, RayError):  # it is ending already
                    _core().kill_actor(ray.ActorID.from_hex(actor), True)


def _in_pool(facts: dict[str, Any]) -> bool:
    return facts["ActorClassName"].startswith(_POOL_WORKER)


def _core() -> Any:
    return global_worker.core_worker  # type: ignore[attr-defined] - set by ray.init


def _job_id() -> ray.JobID:
    return ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
