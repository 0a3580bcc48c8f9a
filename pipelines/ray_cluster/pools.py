"""How many actors do what on a cluster, and what each of them books."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.connection import MIN_CPUS, STAGE_LABEL, Node, Resources
from artifactscan.scoring.rates import Rates

DECODE_NICENESS = 10
"""Without a GPU decoding yields to inference, whose threads wait for one another at every layer."""
SPARE_CPUS = 0.02
"""Left on each node for tasks that only write. So little that what many nodes have left would not hold another
actor, were it in one place: Ray Data adds it up, and an actor that found no node would wait for one."""
LIGHT_CPUS = SPARE_CPUS / 2
"""What such a task books."""
GROWTH = 4
"""Times its size that a pool may grow to when nodes join a cluster that was there before."""
KEEP_BUSY = 1.25
"""Decoders beyond what the GPUs could take would only hold memory; a quarter more evens out long and short videos."""
WORTH_A_DECODER_S = 600.0
"""Work that makes another core worth asking an autoscaler for: a node takes minutes to come."""
_STEP = 10_000
"""Ray counts shares of a CPU to four digits."""


@dataclass(frozen=True, kw_only=True)
class Pools:
    """How many actors do what, and the share of a CPU or GPU each one books."""

    decoders: int
    decoder_cpus: float
    classifiers: int
    classifier_cpus: float
    classifier_gpus: float
    classifier_threads: int
    """CPU threads of one classifier; 0 leaves torch's own choice."""
    cpus: int
    """Of the nodes that there are."""
    idle_places: int
    """For how many decoders more these nodes have room: where GPUs are the bound, not all cores decode."""
    most_decoders: int
    """What the pool may grow to when nodes join."""
    most_classifiers: int
    decoder_label: dict[str, str] | None = None
    """Labels of the nodes that decode; None: any."""
    classifier_label: dict[str, str] | None = None
    """Labels of the nodes that classify; None: any."""

    @property
    def scattered_cpus(self) -> float:
        """CPUs that the nodes have left in pieces, or where none may decode: no node has room for a decoder in them."""
        booked = (self.decoders + self.idle_places) * self.decoder_cpus + self.classifiers * self.classifier_cpus
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
    rates: Rates | None = None,
    frames: int | None = None,
) -> Pools:
    """Pools for a cluster: every GPU classifies and every other core decodes; without a GPU, all cores do both.

    Nodes with the label STAGE_LABEL do only what it says. What an autoscaler may add is counted as far as ``frames``
    at these ``rates`` are worth it, and there are no more decoders than the GPUs can take.
    UsageError where nothing could ever decode or classify.
    """
    decoding, classifying = kept_for("decode", resources.grown), kept_for("classify", resources.grown)
    if use_gpu:
        classifying = tuple(node for node in classifying if node.gpus)
    check_able(resources, use_gpu=use_gpu)
    apart = not set(decoding) & set(classifying)
    there = _places(kept_for("decode", resources.nodes), use_gpu=use_gpu, apart=apart)
    decoders = decode_actors or _worthwhile(there, _places(decoding, use_gpu=use_gpu, apart=apart), rates, frames)
    if use_gpu:
        gpus = sum(node.gpus for node in classifying)
        classifiers = classify_actors or _classifiers(resources, gpus, decoders, rates)
        if rates and not decode_actors:
            decoders = max(1, min(decoders, math.ceil(KEEP_BUSY * classifiers * rates.decode_s / rates.classify_s)))
        classifier_gpus = 1.0 if classifiers <= gpus else gpus / classifiers
        classifier_cpus = min(1.0, _bookable(classifying) / (2 * classifiers))
        booked = 0.0 if apart else classifiers * classifier_cpus
        decoder_cpus = min(1.0, (_bookable(decoding) - booked) / decoders)
        threads = 0
    else:
        classifiers = classify_actors or len(classifying)
        cores = sum(node.cpus for node in classifying)
        classifier_gpus, threads = 0.0, max(1, min(cores // classifiers, max(node.cpus for node in classifying)))
        if apart:
            classifier_cpus = min(1.0, _bookable(classifying) / classifiers)
            decoder_cpus = min(1.0, _bookable(decoding) / decoders)
        else:
            decoder_cpus = classifier_cpus = min(1.0, _bookable(decoding) / (classifiers + decoders))
    decoder_cpus, classifier_cpus = _share(decoder_cpus), _share(classifier_cpus)
    taken = decoders + (0 if apart else math.ceil(classifiers * classifier_cpus / decoder_cpus))
    fit = sum(int((node.cpus - SPARE_CPUS) / decoder_cpus) for node in kept_for("decode", resources.nodes))
    # Ray Data asks an autoscaler for what a pool may grow to: where that is `ray up`'s, no more than the work is worth.
    grows = GROWTH if resources.joined and not resources.room else 1
    return Pools(
        decoders=decoders,
        decoder_cpus=decoder_cpus,
        classifiers=classifiers,
        classifier_cpus=classifier_cpus,
        classifier_gpus=classifier_gpus,
        classifier_threads=threads,
        cpus=resources.cpus,
        idle_places=max(0, fit - taken),
        most_decoders=decoders if decode_actors else decoders * grows,
        most_classifiers=classifiers if classify_actors else classifiers * grows,
        decoder_label=_label("decode", resources.grown),
        classifier_label=_label("classify", resources.grown),
    )


def kept_for(stage: str, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that do ``stage``: those labelled so, or where there are none, those without a label."""
    nodes = tuple(nodes)
    return tuple(node for node in nodes if node.stage == stage) or tuple(node for node in nodes if node.stage is None)


def check_able(resources: Resources, *, use_gpu: bool) -> None:
    """UsageError, which says what is missing, where the cluster cannot decode and classify, and could not grow to."""
    if use_gpu and not any(node.gpus for node in kept_for("classify", resources.grown)):
        raise UsageError("--device cuda: the Ray cluster has no GPU; add a GPU node, or use --device cpu")
    for stage in ("decode", "classify"):
        if not any(node.cpus for node in kept_for(stage, resources.grown)):
            raise UsageError(
                f"the Ray cluster has no CPU on a node that may {stage} ({_in_words(resources)}); "
                "wait for its nodes (--node-wait-s), or add one"
            )
    if (cpus := sum(node.cpus for node in resources.grown)) < MIN_CPUS:
        raise UsageError(f"the Ray cluster has {cpus} CPUs, and {MIN_CPUS} are needed; wait for its nodes, or add one")


def _in_words(resources: Resources) -> str:
    nodes = f"{resources.alive} {'node' if resources.alive == 1 else 'nodes'}"
    return f"{nodes}, {resources.cpus} CPUs and {resources.gpus} GPUs in all"


def _label(stage: str, nodes: Iterable[Node]) -> dict[str, str] | None:
    return {STAGE_LABEL: stage} if any(node.stage == stage for node in nodes) else None


def _places(nodes: Iterable[Node], *, use_gpu: bool, apart: bool) -> int:
    """Decoders for which these nodes have a core."""
    if use_gpu and not apart:
        return sum(max(1, node.cpus - node.gpus - 1) for node in nodes if node.cpus)
    return sum(node.cpus for node in nodes)


def _worthwhile(there: int, at_most: int, rates: Rates | None, frames: int | None) -> int:
    """Decoders to start: all that have a core now, and those of an autoscaler that the work is worth."""
    if rates is None or frames is None:
        return max(1, at_most)
    return max(1, there, min(at_most, math.ceil(frames * rates.decode_s / WORTH_A_DECODER_S)))


def _classifiers(resources: Resources, gpus: int, decoders: int, rates: Rates | None) -> int:
    """GPUs to use: all there are now, and those of an autoscaler that the decoders can keep busy."""
    there = sum(node.gpus for node in kept_for("classify", resources.nodes))
    if rates is None:
        return gpus
    return max(1, there, min(gpus, math.ceil(decoders * rates.classify_s / rates.decode_s)))


def _bookable(nodes: Iterable[Node]) -> float:
    """CPUs that actors may book so that each node keeps its spare ones, however actors are spread over them."""
    cores = [node.cpus for node in nodes if node.cpus]
    return min((n - SPARE_CPUS) / n for n in cores) * sum(cores)


def _share(cpus: float) -> float:
    return max(1, math.floor(cpus * _STEP)) / _STEP
