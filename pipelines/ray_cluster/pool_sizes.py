"""Sizes the actor pools of a cluster: how many decoders and classifiers, and the CPUs and GPUs that each books."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.resources import MIN_CPUS, STAGE_LABEL, Node, Resources
from artifactscan.scoring.frame_costs import FrameCosts

DECODE_NICENESS = 10
"""Niceness of decoders without a GPU: inference goes first, whose threads wait for each other at every layer."""
SPARE_CPUS = 0.02
"""CPUs left on each node for tasks that only write. Ray Data adds up what all nodes have left: if the sum were enough
for an actor, it would start one that no node has room for."""
LIGHT_CPUS = SPARE_CPUS / 2
"""CPUs that a task which only writes books."""
GROWTH = 4
"""Factor by which a pool may grow when nodes join a cluster that the job has joined."""
KEEP_BUSY = 1.25
"""Decoders per decoder that the GPUs can serve: a quarter more evens out long and short videos, and further ones would
only hold memory."""
MOST_PER_CORE = 32
"""Processes of a pool for each CPU or GPU of its nodes, beyond which they only take memory and minutes to start."""
WORTH_A_DECODER_S = 600.0
"""Seconds of decoding for which another core is asked of an autoscaler: a node takes minutes to start."""
MOST_DECODERS_PER_GPU = 8
"""Decoders that share a GPU with `--decoder nvdec`. Each keeps one of its engines busy (an H100 has seven, an A100
five, an L4 four) but while its core scales a frame, and takes about half a GB of the GPU's memory. Not measured."""
_STEP = 10_000
"""Ray rounds fractions of a CPU or GPU to four digits."""


@dataclass(frozen=True, kw_only=True)
class PoolSizes:
    """The number of decoders and classifiers, and the fraction of a CPU and of a GPU that each books."""

    decoders: int
    decoder_cpus: float
    classifiers: int
    classifier_cpus: float
    decoder_gpus: float
    classifier_gpus: float
    classifier_threads: int
    """CPU threads of one classifier; 0 leaves torch's choice."""
    cpus: int
    """CPUs of the nodes that are there."""
    room_for_decoders: int
    """Decoders for which these nodes still have room: where GPUs are the bottleneck, not all cores decode."""
    most_decoders: int
    """The size that the pool may grow to when nodes join."""
    most_classifiers: int
    decoder_label: dict[str, str] | None = None
    """Labels of the nodes that decode; None: any."""
    classifier_label: dict[str, str] | None = None
    """Labels of the nodes that classify; None: any."""

    @property
    def device(self) -> Literal["cuda", "cpu"]:
        """What the classifiers run on."""
        return "cuda" if self.classifier_gpus else "cpu"

    @property
    def fragmented_cpus(self) -> float:
        """CPUs that no decoder can use: fragments of less than it books, and those of nodes that may not decode."""
        booked = (self.decoders + self.room_for_decoders) * self.decoder_cpus + self.classifiers * self.classifier_cpus
        return max(0.0, self.cpus - booked)

    @property
    def niceness(self) -> int:
        return 0 if self.classifier_gpus else DECODE_NICENESS


def size_pools(
    resources: Resources,
    *,
    use_gpu: bool,
    decode_actors: int,
    classify_actors: int,
    costs: FrameCosts | None = None,
    frames: int | None = None,
    decode_on_gpu: bool = False,
) -> PoolSizes:
    """Pool sizes for a cluster: every GPU classifies and every other core decodes; without a GPU, all cores do both.

    Nodes with the label STAGE_LABEL do only that stage. ``costs`` and ``frames``, the sampled frames to expect,
    limit the decoders to those that the GPUs can serve, and the nodes of an autoscaler to those that the work is worth.
    ``decode_actors`` and ``classify_actors``: numbers to use instead, if not 0. ``decode_on_gpu``: decoders are started
    on nodes with GPUs only, and share these with the classifiers.
    UsageError where no node, now or later, may decode or classify, and for numbers that they cannot hold.
    """
    decoding, classifying = (
        nodes_for("decode", resources.possible_nodes),
        nodes_for("classify", resources.possible_nodes),
    )
    if use_gpu:
        classifying = tuple(node for node in classifying if node.gpus)
    check_sufficient(resources, use_gpu=use_gpu)
    if decode_on_gpu:
        decoding = _with_gpu(decoding)
    check_count("--decode-actors", decode_actors, cpus=sum(node.cpus for node in decoding))
    if use_gpu:
        check_count("--classify-actors", classify_actors, gpus=sum(node.gpus for node in classifying))
    else:
        check_count("--classify-actors", classify_actors, cpus=sum(node.cpus for node in classifying))
    apart = not set(decoding) & set(classifying)
    here = nodes_for("decode", resources.nodes)
    there, at_most = (
        _cores_for_decoders(nodes, use_gpu=use_gpu, apart=apart, on_gpu=decode_on_gpu) for nodes in (here, decoding)
    )
    decoders = decode_actors or _count_decoders(there, at_most, costs, frames)
    per_gpu = _most_decoders_on_a_gpu(decoding, decode_actors) if decode_on_gpu else 0
    if use_gpu:
        gpus = sum(node.gpus for node in classifying)
        classifiers = classify_actors or _count_gpu_classifiers(resources, gpus, decoders, costs)
        if costs and not decode_actors:
            decoders = max(1, min(decoders, math.ceil(KEEP_BUSY * classifiers * costs.decode_s / costs.classify_s)))
        classifier_gpus = 1.0 if classifiers <= gpus else gpus / classifiers
        classifier_cpus = min(1.0, _bookable_cpus(classifying) / (2 * classifiers))
        booked = 0.0 if apart else classifiers * classifier_cpus
        decoder_cpus = min(1.0, (_bookable_cpus(decoding) - booked) / decoders)
        threads = 0
    else:
        classifiers = classify_actors or len(classifying)
        cores = sum(node.cpus for node in classifying)
        classifier_gpus, threads = 0.0, max(1, min(cores // classifiers, max(node.cpus for node in classifying)))
        if apart:
            classifier_cpus = min(1.0, _bookable_cpus(classifying) / classifiers)
            decoder_cpus = min(1.0, _bookable_cpus(decoding) / decoders)
        else:
            decoder_cpus = classifier_cpus = min(1.0, _bookable_cpus(decoding) / (classifiers + decoders))
    decoder_cpus, classifier_cpus = _round_down(decoder_cpus), _round_down(classifier_cpus)
    taken = decoders + (0 if apart else math.ceil(classifiers * classifier_cpus / decoder_cpus))
    room_on = [int((node.cpus - SPARE_CPUS) / decoder_cpus) for node in here]
    decoder_gpus = 0.0
    if decode_on_gpu:
        room_on = [min(room, per_gpu * node.gpus) for room, node in zip(room_on, here, strict=True)]
        # Ray fills one GPU of a node before it takes the next: so none has room for more than ``per_gpu`` decoders, and
        # beside these for one classifier, which books half as much.
        decoder_gpus = _round_down(1 / (per_gpu + 0.5))
        if use_gpu and not apart:
            classifier_gpus = _round_down(min(classifier_gpus, 1.0) * decoder_gpus / 2)
    # Ray Data asks an autoscaler for the largest size of a pool: where there is one, that is what the work is worth.
    grows = GROWTH if resources.joined and not resources.addable else 1
    return PoolSizes(
        decoders=decoders,
        decoder_cpus=decoder_cpus,
        classifiers=classifiers,
        classifier_cpus=classifier_cpus,
        decoder_gpus=decoder_gpus,
        classifier_gpus=classifier_gpus,
        classifier_threads=threads,
        cpus=resources.cpus,
        room_for_decoders=max(0, sum(room_on) - taken),
        most_decoders=decoders if decode_actors else decoders * grows,
        most_classifiers=classifiers if classify_actors else classifiers * grows,
        decoder_label=_label("decode", resources.possible_nodes),
        classifier_label=_label("classify", resources.possible_nodes),
    )


def nodes_for(stage: str, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that do ``stage``: those with its label, or if there are none, those without a label."""
    nodes = tuple(nodes)
    return tuple(node for node in nodes if node.stage == stage) or tuple(node for node in nodes if node.stage is None)


def _with_gpu(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Those of the nodes that decode with `--decoder nvdec`; UsageError where there is none."""
    if found := tuple(node for node in nodes if node.gpus and node.cpus):
        return found
    raise UsageError(
        "--decoder nvdec: the Ray cluster has no GPU on a node that may decode; add one, or use --decoder auto"
    )


def check_sufficient(resources: Resources, *, use_gpu: bool) -> None:
    """UsageError, naming what is missing, where the cluster cannot decode and classify even with nodes to be added."""
    if use_gpu and not any(node.gpus for node in nodes_for("classify", resources.possible_nodes)):
        raise UsageError("--device cuda: the Ray cluster has no GPU; add a GPU node, or use --device cpu")
    for stage in ("decode", "classify"):
        if not any(node.cpus for node in nodes_for(stage, resources.possible_nodes)):
            raise UsageError(
                f"the Ray cluster has no CPU on a node that may {stage} ({_describe(resources)}); "
                "wait for its nodes (--node-wait-s), or add one"
            )
    if (cpus := sum(node.cpus for node in resources.possible_nodes)) < MIN_CPUS:
        raise UsageError(f"the Ray cluster has {cpus} CPUs, and {MIN_CPUS} are needed; wait for its nodes, or add one")


def check_count(flag: str, processes: int, *, cpus: int = 0, gpus: int = 0) -> None:
    """UsageError where a flag asks for more processes than the ``cpus`` or ``gpus`` that they share can hold."""
    cores, kind = (gpus, "GPUs") if gpus else (cpus, "CPUs")
    if processes > MOST_PER_CORE * cores:
        raise UsageError(
            f"{flag} is {processes}; the nodes for them have {cores} {kind}, which hold at most "
            f"{MOST_PER_CORE * cores:,} of them, {MOST_PER_CORE} each; give fewer"
        )


def _describe(resources: Resources) -> str:
    nodes = f"{resources.alive} {'node' if resources.alive == 1 else 'nodes'}"
    return f"{nodes}, {resources.cpus} CPUs and {resources.gpus} GPUs in all"


def _label(stage: str, nodes: Iterable[Node]) -> dict[str, str] | None:
    return {STAGE_LABEL: stage} if any(node.stage == stage for node in nodes) else None


def _cores_for_decoders(nodes: Iterable[Node], *, use_gpu: bool, apart: bool, on_gpu: bool) -> int:
    """The number of decoders for which these nodes have a core, and a GPU where they decode ``on_gpu``."""
    shared = use_gpu and not apart
    cores = [(node, max(1, node.cpus - node.gpus - 1) if shared else node.cpus) for node in nodes if node.cpus]
    return sum(min(count, MOST_DECODERS_PER_GPU * node.gpus) if on_gpu else count for node, count in cores)


def _most_decoders_on_a_gpu(nodes: Iterable[Node], decode_actors: int) -> int:
    """Decoders that a GPU of these nodes has room for: MOST_DECODERS_PER_GPU, or fewer where cores are few."""
    gpus = {node: min(MOST_DECODERS_PER_GPU, math.ceil(node.cpus / node.gpus)) for node in nodes}
    asked = math.ceil(decode_actors / sum(node.gpus for node in nodes))
    return max(1, asked, *gpus.values())


def _count_decoders(there: int, at_most: int, costs: FrameCosts | None, frames: int | None) -> int:
    """Decoders to start: one for each core now, and those on an autoscaler's nodes that the work is worth."""
    if costs is None or frames is None:
        return max(1, at_most)
    return max(1, there, min(at_most, math.ceil(frames * costs.decode_s / WORTH_A_DECODER_S)))


def _count_gpu_classifiers(resources: Resources, gpus: int, decoders: int, costs: FrameCosts | None) -> int:
    """GPUs to use: all there are now, and those of an autoscaler that the decoders can keep busy."""
    there = sum(node.gpus for node in nodes_for("classify", resources.nodes))
    if costs is None:
        return gpus
    return max(1, there, min(gpus, math.ceil(decoders * costs.classify_s / costs.decode_s)))


def _bookable_cpus(nodes: Iterable[Node]) -> float:
    """CPUs that actors may book so that each node keeps SPARE_CPUS, however Ray spreads the actors."""
    cores = [node.cpus for node in nodes if node.cpus]
    return min((n - SPARE_CPUS) / n for n in cores) * sum(cores)


def _round_down(share: float) -> float:
    return max(1, math.floor(share * _STEP)) / _STEP
