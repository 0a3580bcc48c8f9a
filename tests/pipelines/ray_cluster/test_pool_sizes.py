"""How many actors do what, on clusters of several kinds."""

import re
from collections.abc import Iterable

import pytest

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.pool_sizes import (
    DECODE_NICENESS,
    GROWTH,
    MOST_DECODERS_PER_GPU,
    MOST_PER_CORE,
    SPARE_CPUS,
    PoolSizes,
    size_pools,
)
from artifactscan.pipelines.ray_cluster.resources import Node, Resources
from artifactscan.scoring.frame_costs import FrameCosts

DECODE, CLASSIFY = {"artifactscan-stage": "decode"}, {"artifactscan-stage": "classify"}


def pools(*nodes: Node, gpu: bool, decoders: int = 0, classifiers: int = 0, **values) -> PoolSizes:
    resources = Resources(nodes, **{name: values.pop(name) for name in ("addable", "joined") if name in values})
    return size_pools(resources, use_gpu=gpu, decode_actors=decoders, classify_actors=classifiers, **values)


def costs(decode_s: float, classify_s: float) -> FrameCosts:
    return FrameCosts(decode_s=decode_s, fetch_s=0.0, classify_s=classify_s, device="cuda", basis="a test")


def booked_cpus(pools: PoolSizes) -> float:
    return pools.decoders * pools.decoder_cpus + pools.classifiers * pools.classifier_cpus


def test_two_cores_without_a_gpu_do_both() -> None:
    sized = pools(Node(2), gpu=False)
    assert (sized.decoders, sized.classifiers, sized.classifier_threads) == (2, 1, 2)
    assert sized.classifier_gpus == 0
    assert sized.niceness == DECODE_NICENESS
    assert booked_cpus(sized) == pytest.approx(2 - SPARE_CPUS, abs=1e-3)
    assert sized.decoder_cpus > SPARE_CPUS, "no fourth actor finds room"


def test_every_gpu_classifies_and_the_other_cores_decode() -> None:
    sized = pools(Node(16, 2), gpu=True)
    assert (sized.decoders, sized.classifiers, sized.classifier_gpus) == (13, 2, 1.0)
    assert sized.niceness == 0


@pytest.mark.parametrize("cpus", [2, 3, 4, 64])
@pytest.mark.parametrize("gpus", [0, 1, 8])
@pytest.mark.parametrize("decoders", [0, 1, 50])
@pytest.mark.parametrize("classifiers", [0, 1, 16])
@pytest.mark.parametrize("count", [1, 3])
def test_pools_fit_into_their_cluster(cpus: int, gpus: int, decoders: int, classifiers: int, count: int) -> None:
    sized = pools(*[Node(cpus, gpus)] * count, gpu=gpus > 0, decoders=decoders, classifiers=classifiers)
    assert sized.decoders == decoders or not decoders
    assert sized.classifiers == classifiers or not classifiers
    assert sized.classifiers * sized.classifier_gpus <= gpus * count + 1e-9
    assert booked_cpus(sized) <= count * (cpus - SPARE_CPUS) + 1e-9, "room is left for tasks that write"
    assert min(sized.decoder_cpus, sized.classifier_cpus) > 0


def test_nodes_without_a_gpu_classify_each_with_its_own_cores() -> None:
    sized = pools(*[Node(16)] * 4, gpu=False)
    assert (sized.classifiers, sized.classifier_threads, sized.decoders) == (4, 16, 64)
    assert 17 * sized.decoder_cpus <= 16 - SPARE_CPUS, "what one node is meant to hold leaves room there"


def test_labelled_nodes_do_only_their_stage() -> None:
    sized = pools(Node(16, 0, "decode"), Node(16, 0, "decode"), Node(8, 1, "classify"), gpu=True)
    assert (sized.decoders, sized.classifiers) == (32, 1)
    assert (sized.decoder_label, sized.classifier_label) == (DECODE, CLASSIFY)
    assert 16 * sized.decoder_cpus <= 16 - SPARE_CPUS
    unlabelled = pools(Node(16), Node(8, 1), gpu=True)
    assert (unlabelled.decoders, unlabelled.decoder_label, unlabelled.classifier_label) == (21, None, None)


def test_a_node_without_a_label_does_the_other_stages() -> None:
    sized = pools(Node(16), Node(8, 1, "classify"), gpu=True)
    assert (sized.decoders, sized.decoder_label, sized.classifier_label) == (16, None, CLASSIFY)


def test_no_more_decoders_than_the_gpus_can_serve() -> None:
    nodes = [Node(64, 0, "decode"), Node(8, 2, "classify")]
    assert pools(*nodes, gpu=True, costs=costs(0.05, 0.001)).decoders == 64
    assert pools(*nodes, gpu=True, costs=costs(0.05, 0.01)).decoders == 13, "a quarter more than the ten they take"
    assert pools(*nodes, gpu=True, costs=costs(0.05, 0.01), decoders=40).decoders == 40


def test_an_autoscaler_is_asked_for_what_the_work_is_worth() -> None:
    room = (*[Node(16, 0, "decode")] * 10, *[Node(8, 1, "classify")] * 4)
    few = pools(gpu=True, addable=room, joined=True, costs=costs(0.05, 0.01), frames=20_000)
    assert (few.decoders, few.classifiers) == (2, 1), "1,000 s of decoding are worth two cores"
    assert (few.most_decoders, few.most_classifiers) == (2, 1), "and Ray Data asks for no more"
    many = pools(gpu=True, addable=room, joined=True, costs=costs(0.05, 0.01), frames=10_000_000)
    assert (many.decoders, many.classifiers) == (25, 4), "four GPUs take twenty decoders, and a quarter more"
    there = pools(
        Node(16, 0, "decode"), Node(8, 1, "classify"), gpu=True, addable=room, costs=costs(0.05, 0.001), frames=1
    )
    assert (there.decoders, there.classifiers) == (16, 1), "what is there is used"


def test_pools_grow_with_a_joined_cluster_unless_their_size_is_set() -> None:
    alone, joined = pools(Node(4), gpu=False), pools(Node(4), gpu=False, joined=True)
    assert (alone.most_decoders, alone.most_classifiers) == (alone.decoders, alone.classifiers)
    assert (joined.most_decoders, joined.most_classifiers) == (4 * GROWTH, GROWTH)
    fixed = pools(Node(4), gpu=False, joined=True, decoders=3, classifiers=2)
    assert (fixed.most_decoders, fixed.most_classifiers) == (3, 2)


def test_more_processes_than_the_nodes_hold_are_refused() -> None:
    assert pools(Node(2), gpu=False, decoders=2 * MOST_PER_CORE).decoders == 2 * MOST_PER_CORE
    said = "--decode-actors is 100000; the nodes for them have 2 CPUs, which hold at most 64 of them, 32 each; give"
    with pytest.raises(UsageError, match=re.escape(said)):
        pools(Node(2), gpu=False, decoders=100_000)
    nodes = Node(4, 0, "decode"), Node(2, 1, "classify")
    with pytest.raises(UsageError, match=r"--decode-actors is 129; the nodes for them have 4 CPUs, .* at most 128"):
        pools(*nodes, gpu=True, decoders=129)
    with pytest.raises(UsageError, match=r"--classify-actors is 33; the nodes for them have 1 GPUs, .* at most 32"):
        pools(*nodes, gpu=True, classifiers=33)
    with pytest.raises(UsageError, match=r"--classify-actors is 65; the nodes for them have 2 CPUs, .* at most 64"):
        pools(*nodes, gpu=False, classifiers=65)
    later = pools(Node(2), gpu=False, addable=(Node(16),) * 4, joined=True, decoders=2_000)
    assert later.decoders == 2_000, "nodes that an autoscaler may add count"


def test_a_cluster_that_is_not_sufficient_is_refused() -> None:
    with pytest.raises(UsageError, match="--device cuda: the Ray cluster has no GPU; add a GPU node, or use"):
        pools(Node(4), gpu=True)
    with pytest.raises(
        UsageError, match=r"no CPU on a node that may decode \(1 node, 8 CPUs and 1 GPUs in all\); wait"
    ):
        pools(Node(8, 1, "classify"), gpu=True)
    with pytest.raises(UsageError, match="no CPU on a node that may decode"):
        pools(gpu=False)
    with pytest.raises(UsageError, match="has 1 CPUs, and 2 are needed"):
        pools(Node(1), gpu=False)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize(("cpus", "gpus"), [(16, 1), (64, 1), (4, 1), (32, 4), (128, 8)])
def test_decoders_on_gpus_share_them_evenly(cpus: int, gpus: int, nodes: int) -> None:
    sized = pools(*[Node(cpus, gpus)] * nodes, gpu=True, decode_on_gpu=True)
    each = min(MOST_DECODERS_PER_GPU * gpus, cpus - gpus - 1)
    assert (sized.decoders, sized.classifiers, sized.device) == (each * nodes, gpus * nodes, "cuda")
    assert booked_cpus(sized) <= nodes * (cpus - SPARE_CPUS) + 1e-9
    free = [1.0] * gpus  # of a node: Ray takes the GPU that has least left, and decoders come first
    decoders, classifiers = (
        [take(free, share) for _ in range(count)]
        for share, count in ((sized.decoder_gpus, each), (sized.classifier_gpus, gpus))
    )
    assert max(map(decoders.count, range(gpus))) <= MOST_DECODERS_PER_GPU
    assert sorted(classifiers) == list(range(gpus)), "each classifier has a GPU of its own"
    if cpus - gpus - 1 >= MOST_DECODERS_PER_GPU * gpus:
        assert {decoders.count(number) for number in range(gpus)} == {MOST_DECODERS_PER_GPU}


def take(free: list[float], share: float) -> int:
    """The number of the GPU that Ray gives to an actor."""
    left, chosen = min((left, number) for number, left in enumerate(free) if left >= share - 1e-9)
    free[chosen] = left - share
    return chosen


def test_decoders_on_gpus_are_on_no_other_node() -> None:
    sized = pools(Node(64), Node(8, 1), gpu=True, decode_on_gpu=True)
    assert (sized.decoders, sized.classifiers) == (6, 1)
    assert pools(Node(64), Node(8, 1), gpu=True).decoder_gpus == 0
    on_cpu = pools(Node(64), Node(8, 1), gpu=False, decode_on_gpu=True)
    assert (on_cpu.decoders, on_cpu.classifier_gpus, on_cpu.device) == (8, 0, "cpu")
    apart = pools(Node(16, 1, "decode"), Node(8, 2, "classify"), gpu=True, decode_on_gpu=True)
    assert (apart.decoders, apart.classifiers, apart.classifier_gpus) == (8, 2, 1.0)
    for cluster in ((Node(8),), (Node(8, 0, "decode"), Node(8, 1, "classify"))):
        with pytest.raises(UsageError, match="--decoder nvdec: the Ray cluster has no GPU on a node that may decode"):
            pools(*cluster, gpu=False, decode_on_gpu=True)


def test_as_many_decoders_share_a_gpu_as_are_asked_for() -> None:
    sized = pools(Node(16, 1), gpu=True, decode_on_gpu=True, decoders=20, classifiers=2)
    assert (sized.decoders, sized.classifiers) == (20, 2)
    assert 20 * sized.decoder_gpus + 2 * sized.classifier_gpus <= 1


SLOW_CLASSIFIER = costs(0.05, 0.01)
"""Five decoders keep one busy."""
CLUSTERS = [
    ((Node(2),), False),
    ((Node(4),), False),
    ((Node(16),), False),
    ((Node(16, 1),), True),
    ((Node(64, 1),), True),
    ((Node(16, stage="decode"), Node(8, 1, stage="classify")), True),
    ((Node(64, stage="decode"), Node(8, 2, stage="classify")), True),
    ((Node(4, stage="decode"), Node(2, stage="classify")), False),
]


@pytest.mark.parametrize("pack", [True, False], ids=["packed", "spread"])
@pytest.mark.parametrize("times", [1, 3, 16])
@pytest.mark.parametrize(("kinds", "gpu"), CLUSTERS)
def test_ray_data_starts_no_decoder_that_no_node_has_room_for(
    kinds: tuple[Node, ...], gpu: bool, times: int, pack: bool
) -> None:
    """At the start, and when as many nodes have joined; of what is free it only knows the sum."""
    sized = pools(*kinds * times, gpu=gpu, joined=True, costs=SLOW_CLASSIFIER if gpu else None)
    apart = sized.decoder_label is not None
    cluster = Placed(kinds * times, pack and (apart or not gpu))  # Ray packs to half of a node, and then spreads
    for count, cpus, gpus, label in (
        (sized.decoders, sized.decoder_cpus, 0.0, sized.decoder_label),
        (sized.classifiers, sized.classifier_cpus, sized.classifier_gpus, sized.classifier_label),
    ):
        assert all(cluster.place(cpus, gpus, label) for _ in range(count)), "the pools themselves have room"

    def wanted() -> int:
        return int((cluster.free_cpus - sized.fragmented_cpus) / sized.decoder_cpus + 1e-6)

    def hold(label: dict[str, str] | None) -> int:
        return cluster.room(sized.decoder_cpus, label)

    assert wanted() <= hold(sized.decoder_label)
    assert wanted() >= hold(sized.decoder_label) - times, "of idle cores, one a node may stay so"
    cluster.join(node for node in kinds * times if node.stage != "classify")
    assert wanted() <= hold(sized.decoder_label)


class Placed:
    """Nodes on which actors are placed, one after the other, where Ray may place them."""

    def __init__(self, nodes: Iterable[Node], pack: bool):
        self.pack = pack
        self.nodes: list[Node] = []
        self.free: list[list[float]] = []
        self.join(nodes)

    def join(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.nodes.append(node)
            self.free.append([float(node.cpus), float(node.gpus)])

    @property
    def free_cpus(self) -> float:
        return sum(cpus for cpus, _ in self.free)

    def place(self, cpus: float, gpus: float, label: dict[str, str] | None) -> bool:
        fit = [
            free
            for node, free in zip(self.nodes, self.free, strict=True)
            if label in (None, {"artifactscan-stage": node.stage}) and cpus <= free[0] + 1e-9 and gpus <= free[1] + 1e-9
        ]
        if not fit:
            return False
        chosen = (min if self.pack else max)(fit)
        chosen[0] -= cpus
        chosen[1] -= gpus
        return True

    def room(self, cpus: float, label: dict[str, str] | None) -> int:
        """How many more of them the nodes hold."""
        return sum(
            int(free[0] / cpus + 1e-6)
            for node, free in zip(self.nodes, self.free, strict=True)
            if label in (None, {"artifactscan-stage": node.stage})
        )
