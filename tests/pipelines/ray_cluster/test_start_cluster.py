"""Preparing a cluster: checks, messages, and waiting for nodes; without starting Ray."""

import io
from dataclasses import replace

import pytest
from checkpoints import CHECKPOINT
from rich.console import Console

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster import connection, node_wait, shared_paths
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
from artifactscan.pipelines.ray_cluster.resources import Node, Resources
from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster
from artifactscan.pipelines.score import ray_executor as module
from artifactscan.pipelines.score.ray_executor import prepare_cluster
from artifactscan.pipelines.score.request import make_job
from artifactscan.pipelines.score.run import check_cluster
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.training.settings import FinetuneSettings

DECODING, CLASSIFYING = Node(8, 0, "decode"), Node(4, 1, "classify")


@pytest.mark.parametrize(
    ("decode_actors", "message"),
    [(3, ""), (50, "51 decoding and classifying processes share 2 CPUs: they get in each other's way\n")],
)
def test_more_processes_than_the_cpus_can_run_are_reported(
    monkeypatch: pytest.MonkeyPatch, decode_actors: int, message: str
) -> None:
    monkeypatch.setattr(connection, "connect", lambda **_: Resources((Node(2, 0),)))
    settings = ScoreSettings(input="s3://bucket/in", output="s3://bucket/out", decode_actors=decode_actors)
    out = io.StringIO()
    job = make_job(settings, CHECKPOINT, Console(file=out, width=200))
    prepared = prepare_cluster(job, frames=9, local_uri=None, device="cpu")
    assert (prepared.pools.decoders, prepared.pools.device) == (decode_actors, "cpu")
    assert out.getvalue() == message


@pytest.mark.parametrize(
    ("nodes", "complete"),
    [((4, 2, 2), True), ((2, 2, 4, 8), True), ((2, 2, 2), False), ((2, 4), False), ((8, 8, 8), False)],
)
def test_pools_fit_while_each_node_or_an_equal_one_is_there(
    monkeypatch: pytest.MonkeyPatch, nodes: tuple[int, ...], complete: bool
) -> None:
    monkeypatch.setattr(connection, "connect", lambda **_: Resources((Node(2), Node(2), Node(4)), joined=True))
    job = make_job(ScoreSettings(input="s3://bucket/in", output="s3://bucket/out"), CHECKPOINT, Console())
    prepared = prepare_cluster(job, frames=9, local_uri=None)
    monkeypatch.setattr(module, "read_resources", lambda: Resources(tuple(map(Node, nodes)), joined=True))
    assert prepared.is_complete() is complete


def test_a_job_waits_for_a_gpu_for_each_of_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PoolSizes] = []

    def wait_for_nodes(
        resources: Resources, *, use_gpu: bool, gpus: int, wanted: PoolSizes, wait_s: float, out: Console
    ) -> Resources:
        assert (use_gpu, gpus, wait_s) == (True, 3, node_wait.NODE_WAIT_S)
        asked.append(wanted)
        return Resources((DECODING, CLASSIFYING, CLASSIFYING, CLASSIFYING), joined=True, alive=5)

    empty = Resources((), addable=(DECODING, *[CLASSIFYING] * 4), joined=True, alive=1)
    monkeypatch.setattr(connection, "connect", lambda **_: empty)
    monkeypatch.setattr(node_wait, "wait_for_nodes", wait_for_nodes)
    settings = FinetuneSettings(labels=("s3://bucket/labels.csv",), output="s3://bucket/out", workers=3)

    def sized(there: Resources) -> PoolSizes:
        return size_pools(there, use_gpu=True, decode_actors=1, classify_actors=3)

    resources = start_cluster(settings, settings.output, device="auto", sized=sized, out=Console(), gpus=3)
    assert resources.gpus == 3
    assert [(wanted.decoders, wanted.classifiers, wanted.classifier_gpus) for wanted in asked] == [(1, 3, 1.0)]


@pytest.mark.parametrize(
    ("nodes", "lacking"),
    [
        ((), ["a CPU to decode on", "4 of 4 GPUs"]),
        ((DECODING, CLASSIFYING), ["3 of 4 GPUs"]),
        ((DECODING, Node(16, 4, "classify")), []),
    ],
)
def test_find_missing(nodes: tuple[Node, ...], lacking: list[str]) -> None:
    assert node_wait.find_missing(Resources(nodes), use_gpu=True, gpus=4) == lacking


def test_check_cluster_asks_only_the_cluster_in_ray_address(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ScoreSettings(input="/clips", output="/store")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connection, "connect", lambda **_: pytest.fail("a Ray of this machine alone comes later"))
    check_cluster(here, "/clips", "/store")

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(connection, "connect", lambda **_: Resources((), joined=True, alive=2))
    check_cluster(here, "/clips.parquet", "s3://bucket/store")  # the driver reads a manifest
    with pytest.raises(UsageError, match="/clips is a local path, and the Ray cluster has 2 nodes"):
        check_cluster(here, "/clips", "s3://bucket/store")
    probed: list[str] = []
    monkeypatch.setattr(shared_paths, "_check_same_on_all_nodes", probed.append)
    check_cluster(replace(here, shared_filesystem=True), "/not-there", "/store")
    assert probed == ["/store"]
    monkeypatch.setattr(connection, "connect", lambda **_: pytest.fail("no cluster takes part"))
    check_cluster(replace(here, executor="local"), "/clips", "/store")
