"""When a graph counts as stuck since a node was lost, and when it is only slow."""

import pytest

from artifactscan.pipelines.ray_cluster.node_watch import STUCK_S, StallDetector
from artifactscan.pipelines.ray_cluster.progress import Snapshot

SILENCE_S = 600.0
NODES = {"decoder": "a", "classifier": "b"}


def after(
    still_s: float, *, nodes: dict[str, str], alive: set[str], before: set[str], restarting: tuple[str, ...] = ()
) -> bool:
    """Whether it counts as stuck when nothing has moved for ``still_s`` on the nodes ``alive`` of those ``before``."""
    detector = StallDetector(SILENCE_S)
    snapshot = Snapshot(frames=7, nodes=nodes)
    assert not detector.is_stuck(snapshot, before, set(), 0.0)
    assert not detector.is_stuck(snapshot, alive, set(restarting), 1e6), "however long it was still before the loss"
    return detector.is_stuck(snapshot, alive, set(restarting), 1e6 + still_s)


def test_without_a_loss_it_may_be_slow_for_ever() -> None:
    assert not after(1e6, nodes=NODES, alive={"a", "b"}, before={"a", "b"})
    assert not after(1e6, nodes=NODES, alive={"a", "b", "late"}, before={"a", "b"})


@pytest.mark.parametrize("actor", ["decoder", "one that never began"])
def test_an_actor_that_crashed_is_no_lost_node(actor: str) -> None:
    assert not after(1e6, nodes=NODES, alive={"a", "b"}, before={"a", "b"}, restarting=(actor,))


@pytest.mark.parametrize(("still_s", "stuck"), [(STUCK_S - 1, False), (STUCK_S + 1, True)])
@pytest.mark.parametrize("actor", ["decoder", "one that never began"])
def test_actors_of_a_lost_node_that_find_no_room(still_s: float, stuck: bool, actor: str) -> None:
    assert after(still_s, nodes=NODES, alive={"b"}, before={"a", "b"}, restarting=(actor,)) is stuck


@pytest.mark.parametrize(("still_s", "stuck"), [(SILENCE_S, False), (STUCK_S + SILENCE_S + 1, True)])
@pytest.mark.parametrize("restarting", [(), ("decoder",)])
def test_actors_that_are_elsewhere_may_be_at_a_long_video(
    still_s: float, stuck: bool, restarting: tuple[str, ...]
) -> None:
    nodes = {"decoder": "b", "classifier": "b"}
    assert after(still_s, nodes=nodes, alive={"b"}, before={"a", "b"}, restarting=restarting) is stuck


@pytest.mark.parametrize(("still_s", "stuck"), [(SILENCE_S, False), (STUCK_S + SILENCE_S + 1, True)])
def test_a_node_that_leaves_with_actors_that_were_dismissed(still_s: float, stuck: bool) -> None:
    assert after(still_s, nodes=NODES, alive={"b"}, before={"a", "b"}) is stuck


def test_what_moves_after_a_loss_was_not_stopped_by_it() -> None:
    detector, alive = StallDetector(SILENCE_S), {"b"}
    detector.is_stuck(Snapshot(nodes={"classifier": "b"}), {"a", "b"}, set(), 0.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes={"classifier": "b"}), alive, set(), 1000.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes={"classifier": "b"}), alive, set(), 1e6)


def test_what_moves_after_a_loss_may_come_to_want_what_was_lost() -> None:
    detector, alive = StallDetector(SILENCE_S), {"b"}
    detector.is_stuck(Snapshot(nodes=NODES), {"a", "b"}, set(), 0.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, set(), 1000.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, {"decoder"}, 2000.0)
    assert detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, {"decoder"}, 2000.0 + STUCK_S + 1)
