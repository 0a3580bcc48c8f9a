"""The actors of Ray Data's pools, of which it tells nothing itself: which are lost, and an end to all of them."""

from contextlib import suppress
from typing import Any

import ray
from ray._private.state import actors
from ray._private.worker import global_worker
from ray.exceptions import RayError

_POOL_WORKER = "MapWorker("
"""How Ray Data's names for the classes of such actors begin."""


def restarting() -> set[str]:
    """Ids of the actors of this job that Ray starts again, or will once there is room."""
    found = actors(job_id=_job_id(), actor_state_name="RESTARTING")
    return {actor for actor, facts in found.items() if _in_pool(facts)}


def end_all() -> None:
    """Ends those that a graph which failed has left; whoever keeps its error would keep them, and they their CPUs."""
    with suppress(RayError):  # then the cluster is going down, and they with it
        for actor, facts in actors(job_id=_job_id()).items():
            if facts["State"] != "DEAD" and _in_pool(facts):
                with suppress(ValueError, RayError):  # nobody here holds it: it is ending already
                    _core().kill_actor(ray.ActorID.from_hex(actor), True)


def _in_pool(facts: dict[str, Any]) -> bool:
    return facts["ActorClassName"].startswith(_POOL_WORKER)


def _core() -> Any:
    return global_worker.core_worker  # type: ignore[attr-defined] - set by ray.init


def _job_id() -> ray.JobID:
    return ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
