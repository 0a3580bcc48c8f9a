"""How many actors do what, on clusters of several kinds."""

import pytest

from artifactscan.errors import UsageError
from pipelines.cluster import Resources
from pipelines.graph import DECODE_NICENESS, Pools, size_pools


def pools(cpus: int, gpus: int, *, gpu: bool, decoders: int = 0, classifiers: int = 0, nodes: int = 1) -> Pools:
    resources = Resources(cpus=cpus, gpus=gpus, nodes=nodes)
    return size_pools(resources, use_gpu=gpu, decode_actors=decoders, classify_actors=classifiers)


def booked_cpus(pools: Pools) -> float:
    return pools.decoders * pools.decoder_cpus + pools.classifiers * pools.classifier_cpus


def test_two_cores_without_a_gpu_do_both() -> None:
    sized = pools(2, 0, gpu=False)
    assert (sized.decoders, sized.classifiers, sized.classifier_threads) == (2, 1, 2)
    assert sized.classifier_gpus == 0
    assert sized.niceness == DECODE_NICENESS
    assert booked_cpus(sized) == pytest.approx(1)


def test_every_gpu_classifies_and_the_other_cores_decode() -> None:
    sized = pools(16, 2, gpu=True)
    assert (sized.decoders, sized.classifiers, sized.classifier_gpus) == (13, 2, 1.0)
    assert sized.niceness == 0


@pytest.mark.parametrize("cpus", [2, 3, 4, 64])
@pytest.mark.parametrize("gpus", [0, 1, 8])
@pytest.mark.parametrize("decoders", [0, 1, 50])
@pytest.mark.parametrize("classifiers", [0, 1, 16])
def test_every_pool_fits_into_its_cluster(cpus: int, gpus: int, decoders: int, classifiers: int) -> None:
    sized = pools(cpus, gpus, gpu=gpus > 0, decoders=decoders, classifiers=classifiers)
    assert sized.decoders == decoders or not decoders
    assert sized.classifiers == classifiers or not classifiers
    assert sized.classifiers * sized.classifier_gpus <= gpus
    assert booked_cpus(sized) <= cpus - 1 + 1e-9, "one CPU is left for Ray Data's own tasks"
    assert min(sized.decoder_cpus, sized.classifier_cpus) > 0


def test_nodes_without_a_gpu_classify_each_with_its_own_cores() -> None:
    sized = pools(64, 0, gpu=False, nodes=4)
    assert (sized.classifiers, sized.classifier_threads, sized.decoders) == (4, 16, 64)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="--device cuda: the Ray cluster has no GPU; add a GPU node, or use"):
        pools(4, 0, gpu=True)
