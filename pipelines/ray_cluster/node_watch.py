"""Detects a graph that is stuck since a node died: Ray restarts its actors elsewhere, unless no node has room."""

import signal
import threading
import time
from types import FrameType, TracebackType

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.errors import NodesLostError
from artifactscan.pipelines.ray_cluster import pool_actors, progress
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.scoring.progress import Snapshot

POLL_S = 5.0
STUCK_S = 45.0
"""Seconds without progress after which actors of a lost node are given up; a classifier loads in half of that."""
_SIGNAL = signal.SIGUSR1


class NodeWatch:
    """Context manager that raises NodesLostError in the main thread when its graph is stuck since a node was lost.

    It counts as stuck after STUCK_S without progress where an actor of the lost node found no room elsewhere, else
    after ``silence_s`` more, the longest legitimate silence.
    """

    def __init__(self, tally: ActorProxy[Tally], *, silence_s: float):
        self._tally = tally
        self._silence_s = silence_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="node-watch")
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "NodeWatch":
        if self._main:  # a signal interrupts only the main thread
            self._before = signal.signal(_SIGNAL, _raise_nodes_lost)
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._main:
            signal.signal(_SIGNAL, signal.SIG_IGN)  # the graph has ended: ignore a late signal
            self._stop.set()
            self._thread.join()
            signal.signal(_SIGNAL, self._before)

    def _watch(self) -> None:
        detector = StallDetector(self._silence_s)
        while not self._stop.wait(POLL_S):
            try:
                snapshot = progress.read_tally(self._tally)
                alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
                restarting = pool_actors.restarting()
            except RayError:
                continue  # the cluster is going down, which the graph itself reports
            if detector.is_stuck(snapshot, alive, restarting, time.monotonic()):
                # Sent again at each poll, in case a handler swallows it.
                signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)


class StallDetector:
    """Decides whether a graph is stuck since a node was lost; without such a loss it never is.

    The limit is STUCK_S where an actor of a lost node waits for room, else ``silence_s`` more. The actor may be one
    that had ended: Ray restarts it to compute the blocks again that were on the node.
    """

    def __init__(self, silence_s: float):
        self._silence_s = silence_s
        self._progress: object = None
        self._nodes: set[str] = set()
        """Nodes seen since the last progress: a node lost before that did not stop the graph."""
        self._all_nodes: set[str] = set()
        self._state: object = None
        self._since_s = 0.0

    def is_stuck(self, snapshot: Snapshot, alive: set[str], restarting: set[str], now_s: float) -> bool:
        """To be called regularly. ``alive``: ids of the nodes; ``restarting``: ids of the actors that Ray restarts or
        would restart; ``now_s``: a monotonic clock.
        """
        progress_now = (snapshot.segments, snapshot.frames, snapshot.videos, tuple(snapshot.nodes.items()))
        if progress_now != self._progress:
            self._progress, self._nodes = progress_now, set()
        self._nodes |= alive
        self._all_nodes |= alive | set(snapshot.nodes.values())
        lost = self._nodes - alive
        waiting = self._all_nodes != alive and any(snapshot.nodes.get(actor) not in alive for actor in restarting)
        if (state := (progress_now, frozenset(lost), waiting)) != self._state:
            self._state, self._since_s = state, now_s
        limit_s = STUCK_S if waiting else STUCK_S + self._silence_s
        return (waiting or bool(lost)) and now_s - self._since_s > limit_s


def _raise_nodes_lost(_number: int, _frame: FrameType | None) -> None:
    raise NodesLostError
