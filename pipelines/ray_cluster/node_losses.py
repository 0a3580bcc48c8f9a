"""Notices that nodes are gone while a graph runs, and says which, when, why and what comes of it."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import RayError

from artifactscan.messages.text import printable

_log = logging.getLogger(__name__)

POLL_S = 5.0
LAST_LOOK_S = 5.0
"""That the graph waits for at its end: where the head is gone, Ray answers after a minute."""
_MAX_NAME, _MAX_WHY = 80, 160
_IDLE = 4
_HOW = {1: "was shut down", 3: "was taken away by its provider"}
"""By NodeDeathInfo.Reason of Ray's protocol; 0 and 2 are unexpected."""
_DIED = "died"


class LossWatch:
    """Context manager of a graph: gives ``tell`` a sentence on each node that is lost meanwhile.

    That is within POLL_S of Ray's noticing it, or at the graph's end, from another thread.
    ``restarted_after_s``: seconds without progress after which the graph is started again; None where it is not.
    """

    def __init__(self, tell: Callable[[str], None] | None = None, *, restarted_after_s: float | None = None):
        self._tell = tell or _log.warning
        self._losses = NodeLosses(restarted_after_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="loss-watch")

    def __enter__(self) -> "LossWatch":
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(LAST_LOOK_S)

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            self._look()
        self._look()

    def _look(self) -> None:
        with suppress(RayError):  # the cluster is going down, which the graph itself reports
            for sentence in self._losses.since_last(ray.nodes()):
                self._tell(sentence)


class NodeLosses:
    """Compares the nodes that are alive with those of the last time; ``restarted_after_s`` as in LossWatch."""

    def __init__(self, restarted_after_s: float | None):
        self._restarted_after_s = restarted_after_s
        self._alive: dict[str, Mapping[str, Any]] = {}

    def since_last(self, nodes: Iterable[Mapping[str, Any]], now: datetime | None = None) -> list[str]:
        """A sentence on each node that is gone; ``nodes`` as `ray.nodes()`. None on those that Ray's autoscaler ended
        because they had nothing to do."""
        found = {node["NodeID"]: node for node in nodes}
        alive = {name: node for name, node in found.items() if node["Alive"]}
        gone = [found.get(name, before) for name, before in self._alive.items() if name not in alive]
        self._alive = alive
        left = sum(node.get("Resources", {}).get("CPU", 0) > 0 for node in alive.values())
        noticed = now or datetime.now(UTC)
        return [self._sentence(node, left, noticed) for node in gone if node.get("DeathReason") != _IDLE]

    def _sentence(self, node: Mapping[str, Any], left: int, noticed: datetime) -> str:
        address = printable(str(node.get("NodeManagerAddress", "?")), _MAX_NAME)
        host = printable(str(node.get("NodeManagerHostname", "")), _MAX_NAME)
        name = f"{host}, {node['NodeID'][:8]}" if host and host != address else node["NodeID"][:8]
        how = _HOW.get(node.get("DeathReason", 0), _DIED)
        reason = " ".join(str(node.get("DeathReasonMessage") or "").split())
        why = f" ({printable(reason, _MAX_WHY)})" if reason and how == _DIED else ""
        return f"node {address} ({name}) {how}, noticed at {noticed:%Y-%m-%d %H:%M:%S} UTC{why}: {self._next(left)}"

    def _next(self, left: int) -> str:
        again = self._restarted_after_s
        if not left:
            waits = "" if again is None else f"; after {again:.0f} s without progress the rest is started again on them"
            return f"no node is left that can do its work, which waits for new ones{waits}"
        others = "the node that is left" if left == 1 else f"the {left:,} nodes that are left"
        done = f"what it had in hand is done again on {others}"
        return done if again is None else f"{done}; if nothing moves for {again:.0f} s, the rest is started again there"
