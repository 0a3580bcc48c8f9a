"""What is said of nodes that are gone; tests/cluster has those that die for real."""

from datetime import UTC, datetime
from typing import Any

import pytest

from artifactscan.pipelines.ray_cluster.node_losses import NodeLosses

NOW = datetime(2026, 11, 26, 10, 11, 2, tzinfo=UTC)
AGAIN = "; if nothing moves for 45 s, the rest is started again there"


def node(name: str, *, alive: bool = True, cpus: float = 4.0, **more: Any) -> dict[str, Any]:
    return {
        "NodeID": name * 28,
        "Alive": alive,
        "NodeManagerAddress": f"10.0.0.{ord(name)}",
        "NodeManagerHostname": f"host-{name}",
        "Resources": {"CPU": cpus} if alive else {},
        "DeathReason": 0,
        "DeathReasonMessage": "",
        **more,
    }


HEAD = node("h", cpus=0.0)


def lost(*after: dict[str, Any], again_s: float | None = 45.0) -> list[str]:
    """What is said when ``after`` are the nodes, of those that were a, b and c on three hosts, and a head."""
    losses = NodeLosses(again_s)
    assert losses.since_last([HEAD, node("a"), node("b"), node("c")], NOW) == []
    return losses.since_last([HEAD, *after], NOW)


def test_a_node_that_died_is_named_with_when_why_and_what_comes() -> None:
    gone = node("a", alive=False, DeathReason=2, DeathReasonMessage="health check failed\n due to timeouts")
    assert lost(gone, node("b"), node("c")) == [
        "node 10.0.0.97 (host-a, aaaaaaaa) died, noticed at 2026-11-26 10:11:02 UTC (health check failed due to "
        f"timeouts): what it had in hand is done again on the 2 nodes that are left{AGAIN}"
    ]


def test_two_at_once_are_two_sentences() -> None:
    said = lost(node("a", alive=False), node("b", alive=False), node("c"))
    assert [line.split(" died")[0] for line in said] == [
        "node 10.0.0.97 (host-a, aaaaaaaa)",
        "node 10.0.0.98 (host-b, bbbbbbbb)",
    ]
    assert all(line.endswith(f"done again on the node that is left{AGAIN}") for line in said)


def test_a_node_that_ray_has_forgotten_is_gone_too() -> None:
    [said] = lost(node("b"), node("c"))
    assert said.startswith("node 10.0.0.97 (host-a, aaaaaaaa) died, noticed at")


def test_the_last_node_that_can_work() -> None:
    said = lost(*(node(name, alive=False) for name in "abc"))
    assert said[0].endswith(
        "no node is left that can do its work, which waits for new ones; after 45 s without progress the rest is "
        "started again on them"
    ), "the head has no CPUs"


def test_a_graph_that_is_not_started_again_says_nothing_of_it() -> None:
    [said] = lost(node("a", alive=False), node("b"), node("c"), again_s=None)
    assert said.endswith("what it had in hand is done again on the 2 nodes that are left")


@pytest.mark.parametrize(
    ("reason", "words"), [(0, "died"), (1, "was shut down"), (2, "died"), (3, "was taken away by its provider")]
)
def test_how_it_went(reason: int, words: str) -> None:
    [said] = lost(node("a", alive=False, DeathReason=reason), node("b"), node("c"))
    assert said.startswith(f"node 10.0.0.97 (host-a, aaaaaaaa) {words}, noticed at")


def test_the_reasons_are_those_of_rays_protocol() -> None:
    from ray.core.generated.common_pb2 import NodeDeathInfo

    names = ["UNSPECIFIED", "EXPECTED_TERMINATION", "UNEXPECTED_TERMINATION", "AUTOSCALER_DRAIN_PREEMPTED"]
    assert [NodeDeathInfo.Reason.Value(name) for name in (*names, "AUTOSCALER_DRAIN_IDLE")] == [0, 1, 2, 3, 4]


def test_of_an_idle_node_that_the_autoscaler_ended_nothing_is_said() -> None:
    assert lost(node("a", alive=False, DeathReason=4), node("b"), node("c")) == []


def test_it_is_said_once_and_a_node_that_joined_meanwhile_is_known() -> None:
    losses = NodeLosses(None)
    losses.since_last([node("a")], NOW)
    losses.since_last([node("a"), node("b")], NOW)
    gone = [node("a"), node("b", alive=False)]
    assert len(losses.since_last(gone, NOW)) == 1
    assert losses.since_last(gone, NOW) == []


def test_names_are_made_safe_to_print() -> None:
    [said] = lost(node("a", alive=False, NodeManagerHostname="a\x1b[31m"), node("b"), node("c"))
    assert "\x1b" not in said and "(a\\x1b[31m, aaaaaaaa)" in said
