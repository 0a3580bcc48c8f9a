"""Nodes that die: Ray starts their actors elsewhere and does their work again, unless there is no room for them."""

import signal
import threading
import time
from types import FrameType, TracebackType

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster import pool_actors, progress
from artifactscan.pipelines.ray_cluster.progress import Snapshot, Tally

LOOK_S = 5.0
STUCK_S = 45.0
"""For how long nothing happens before the actors of a lost node are given up; a classifier takes half of it to load."""
_SIGNAL = signal.SIGUSR1


class NodesLostError(Exception):
    """A node was lost, and the graph waits for what it took with it; done anew, it would not."""


class NodeWatch:
    """Ends the graph that the main thread waits for, by NodesLostError, when it is stuck since a node was lost.

    That is soon where the node's actors have found no room elsewhere, and where they have, once nothing moved for
    ``silence_s`` more, in which a video may be decoded without a frame to show for it.
    """

    def __init__(self, tally: ActorProxy[Tally], *, silence_s: float):
        self._tally = tally
        self._silence_s = silence_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="node-watch")
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "NodeWatch":
        if self._main:  # only there a signal can interrupt
            self._before = signal.signal(_SIGNAL, _give_up)
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._main:
            signal.signal(_SIGNAL, signal.SIG_IGN)  # it is over, whatever the watch thinks
            self._stop.set()
            self._thread.join()
            signal.signal(_SIGNAL, self._before)

    def _watch(self) -> None:
        standstill = Standstill(self._silence_s)
        while not self._stop.wait(LOOK_S):
            try:
                snapshot = progress.read(self._tally)
                alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
                restarting = pool_actors.restarting()
            except RayError:
                continue  # the cluster is going down; whoever waits for the graph hears of it
            if standstill.lasts(snapshot, alive, restarting, time.monotonic()):
                signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)  # and again, should it be swallowed


class Standstill:
    """Whether a graph has stood still for too long since a node was lost; without such a loss it never has.

    Too long is STUCK_S where an actor of a lost node has found no room elsewhere, else ``silence_s`` more. That may be
    one that was dismissed long ago: Ray wants it back to make anew what lay on the node.
    """

    def __init__(self, silence_s: float):
        self._silence_s = silence_s
        self._moved: object = None
        self._known: set[str] = set()
        """Nodes there were since anything moved: what was lost before did not stop it."""
        self._ever: set[str] = set()
        self._state: object = None
        self._since_s = 0.0

    def lasts(self, snapshot: Snapshot, alive: set[str], restarting: set[str], now_s: float) -> bool:
        """``alive``: ids of the nodes that are; ``restarting``: ids of the actors that Ray starts again, or would;
        ``now_s``: of a clock that does not go back.
        """
        moved = (snapshot.segments, snapshot.frames, snapshot.videos, tuple(snapshot.nodes.items()))
        if moved != self._moved:
            self._moved, self._known = moved, set()
        self._known |= alive
        self._ever |= alive | set(snapshot.nodes.values())
        lost = self._known - alive
        homeless = self._ever != alive and any(snapshot.nodes.get(actor) not in alive for actor in restarting)
        if (state := (moved, frozenset(lost), homeless)) != self._state:
            self._state, self._since_s = state, now_s
        patience_s = STUCK_S if homeless else STUCK_S + self._silence_s
        return (homeless or bool(lost)) and now_s - self._since_s > patience_s


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise NodesLostError
