"""When a graph counts as stuck since a node was lost, and when it is only slow."""

import pytest

from artifactscan.pipelines.ray_cluster.node_watch import STUCK_S, StallDetector
from artifactscan.scoring.progress import Snapshot

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


def test_a_graph_is_never_stuck_without_a_lost_node() -> None:
    assert not after(1e6, nodes=NODES, alive={"a", "b"}, before={"a", "b"})
    assert not after(1e6, nodes=NODES, alive={"a", "b", "late"}, before={"a", "b"})


@pytest.mark.parametrize("actor", ["decoder", "one that never began"])
def test_a_restarting_actor_alone_does_not_count_as_stuck(actor: str) -> None:
    assert not after(1e6, nodes=NODES, alive={"a", "b"}, before={"a", "b"}, restarting=(actor,))


@pytest.mark.parametrize(("still_s", "stuck"), [(STUCK_S - 1, False), (STUCK_S + 1, True)])
@pytest.mark.parametrize("actor", ["decoder", "one that never began"])
def test_actors_of_a_lost_node_without_room_elsewhere(still_s: float, stuck: bool, actor: str) -> None:
    assert after(still_s, nodes=NODES, alive={"b"}, before={"a", "b"}, restarting=(actor,)) is stuck


@pytest.mark.parametrize(("still_s", "stuck"), [(SILENCE_S, False), (STUCK_S + SILENCE_S + 1, True)])
@pytest.mark.parametrize("restarting", [(), ("decoder",)])
def test_restarted_actors_may_be_silent_for_a_long_video(
    still_s: float, stuck: bool, restarting: tuple[str, ...]
) -> None:
    nodes = {"decoder": "b", "classifier": "b"}
    assert after(still_s, nodes=nodes, alive={"b"}, before={"a", "b"}, restarting=restarting) is stuck


@pytest.mark.parametrize(("still_s", "stuck"), [(SILENCE_S, False), (STUCK_S + SILENCE_S + 1, True)])
def test_a_lost_node_whose_actors_had_ended(still_s: float, stuck: bool) -> None:
    assert after(still_s, nodes=NODES, alive={"b"}, before={"a", "b"}) is stuck


def test_progress_after_a_loss_shows_that_the_graph_is_not_stuck() -> None:
    detector, alive = StallDetector(SILENCE_S), {"b"}
    detector.is_stuck(Snapshot(nodes={"classifier": "b"}), {"a", "b"}, set(), 0.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes={"classifier": "b"}), alive, set(), 1000.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes={"classifier": "b"}), alive, set(), 1e6)


def test_a_graph_may_get_stuck_later_when_it_needs_a_lost_actor() -> None:
    detector, alive = StallDetector(SILENCE_S), {"b"}
    detector.is_stuck(Snapshot(nodes=NODES), {"a", "b"}, set(), 0.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, set(), 1000.0)
    assert not detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, {"decoder"}, 2000.0)
    assert detector.is_stuck(Snapshot(frames=1, nodes=NODES), alive, {"decoder"}, 2000.0 + STUCK_S + 1)
