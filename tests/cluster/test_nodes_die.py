"""Nodes that die, come late, and a storage that goes away: each run ends with the tables of an undisturbed one."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from media import write_clip
from nodes import JobRun, Nodes
from s3_server import S3Server

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.cluster

KEY = ["uri", "frame_index"]
CLIPS = 18
FLAGS = ("--segment-frames", 4, "--slice-bytes", 60_000, "--decode-actors", 2, "--classify-actors", 2)
"""Longer clips in slices, and two processes of each stage."""
DECODING, CLASSIFYING = "MapWorker(MapBatches(Decode)).submit", "MapWorker(MapBatches(Classify)).submit"
WRITING = "ray::"
"""The driver writes rows that are on the nodes, whatever their processes do."""


@pytest.fixture(scope="module")
def corpus(_s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    """Clips and a small checkpoint on the S3 server."""
    server, folder = _s3_server, tmp_path_factory.mktemp("clips")
    server.new_bucket()
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(folder / "checkpoint"))
    server.put_folder("checkpoint", folder / "checkpoint")
    kinds = [
        write_clip(folder / f"kind{n}.mp4", seconds=4 + 3 * n, width=320, height=192, options={"g": "24"}).read_bytes()
        for n in range(3)
    ]
    for number in range(CLIPS):
        server.put(f"in/clip{number:03d}.mp4", kinds[number % 3])
    return server


@pytest.fixture(scope="module")
def nodes(corpus: S3Server) -> Iterator[Nodes]:
    nodes = Nodes(corpus.env)
    yield nodes
    nodes.close()


@pytest.fixture
def two(nodes: Nodes) -> Iterator[list]:
    """Two worker nodes, less those that the test kills and takes out of the list."""
    workers = [nodes.add(), nodes.add()]
    yield workers
    for node in workers:
        nodes.kill(node)
    nodes.wait_for(1)


def arguments(corpus: S3Server, store: str) -> tuple[str, ...]:
    places = {"--input": corpus.uri("in"), "--output": corpus.uri(store), "--checkpoint": corpus.uri("checkpoint")}
    return tuple(word for pair in places.items() for word in pair)


def start(nodes: Nodes, corpus: S3Server, store: str) -> JobRun:
    return nodes.job(*arguments(corpus, store), *FLAGS)


def read(corpus: S3Server, store: str, table: str, folder: Path) -> pd.DataFrame:
    frames, keys = [], corpus.keys()
    for key in keys:
        if key.startswith(f"{store}/{table}/") and key.endswith(".parquet"):
            path = folder / key.replace("/", "_")
            path.write_bytes(corpus.client.get_object(Bucket=corpus.bucket, Key=key)["Body"].read())
            frames.append(pd.read_parquet(path))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def undisturbed(nodes: Nodes, corpus: S3Server, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    node = nodes.add()
    code, output = start(nodes, corpus, "undisturbed").end()
    nodes.kill(node)
    nodes.wait_for(1)
    assert code == 0, output
    return read(corpus, "undisturbed", "frames", tmp_path_factory.mktemp("tables")).sort_values(KEY, ignore_index=True)


def check(corpus: S3Server, store: str, undisturbed: pd.DataFrame, folder: Path) -> None:
    frames = read(corpus, store, "frames", folder).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(frames, undisturbed, atol=1e-4)
    ledger = read(corpus, store, "videos", folder)
    assert ledger["outcome"].value_counts().to_dict() == {"scored": CLIPS}


def notes(corpus: S3Server, store: str) -> list[str]:
    """Of the run that the store holds."""
    keys = list(corpus.keys())
    [key] = [key for key in keys if key.startswith(f"{store}/runs/") and key.endswith("run.json")]
    return json.loads(corpus.client.get_object(Bucket=corpus.bucket, Key=key)["Body"].read())["notes"]


def has_parts(corpus: S3Server, store: str) -> Callable[[], bool]:
    def found() -> bool:
        keys = corpus.keys()
        return any(key.startswith(f"{store}/runs/") and "/parts/" in key for key in keys)

    return found


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(DECODING, id="decoding"),
        pytest.param(CLASSIFYING, id="classifying", marks=pytest.mark.slow),
        pytest.param(WRITING, id="writing", marks=pytest.mark.slow),
    ],
)
def test_a_node_that_dies(what: str, nodes: Nodes, corpus: S3Server, undisturbed: pd.DataFrame, tmp_path: Path) -> None:
    store, two = f"dies-{len(what)}", [nodes.add(4), nodes.add(4)]  # each has room for all
    corpus.faults.delay("in/*", 2.0)  # time to be killed in
    corpus.faults.delay(f"{store}/runs/*/parts/*", 1.0)
    job = start(nodes, corpus, store)
    if what == WRITING:
        job.wait_for(has_parts(corpus, store))
    victim = job.wait_for(lambda: next((node for node in two if nodes.at_work(node, what)), None))
    nodes.kill(victim)
    two.remove(victim)
    corpus.faults.clear()
    code, output = job.end()
    nodes.kill(two.pop())
    nodes.wait_for(1)
    assert code == 0, output
    check(corpus, store, undisturbed, tmp_path)
    [line] = re.findall(r"^node .+$", output, re.MULTILINE)
    assert re.fullmatch(
        r"node [\d.]+ \(.*[0-9a-f]{8}\) died, noticed at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC( \(.+\))?: "
        r"what it had in hand is done again on the node that is left; if nothing moves for 45 s, "
        r"the rest is started again there",
        line,
    )
    assert line in notes(corpus, store)


@pytest.mark.slow
def test_a_node_that_dies_after_the_decoders_have_ended(
    nodes: Nodes, two: list, corpus: S3Server, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    decoder = "MapWorker(MapBatches(Decode))"
    corpus.faults.delay("home/runs/*/parts/*", 30.0)  # the classified rows stay on the nodes
    job = nodes.job(
        *arguments(corpus, "home"), "--segment-frames", 4, "--slice-bytes", 60_000, "--decode-actors", 1,
        "--classify-actors", 3,
    )  # fmt: skip
    job.wait_for(lambda: any(nodes.at_work(node, decoder) for node in two))
    job.wait_for(lambda: not any(nodes.at_work(node, decoder) for node in two))
    nodes.kill(two.pop())
    corpus.faults.clear()
    code, output = job.end()
    assert code == 0, output
    assert "starting the rest again" in output, "there was no room to restart the decoder"
    [line] = re.findall(r"^node .+ died, noticed at .+$", output, re.MULTILINE)
    assert line in notes(corpus, "home"), "kept, although the graph was given up"
    check(corpus, "home", undisturbed, tmp_path)


@pytest.mark.slow
def test_the_storage_is_gone_for_a_while_and_a_node_comes_late(
    nodes: Nodes, corpus: S3Server, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    late, first = None, nodes.add()
    corpus.faults.delay("in/*", 2.0)
    job = nodes.job(*arguments(corpus, "gone"), "--segment-frames", 4, "--slice-bytes", 60_000)
    job.wait_for(has_parts(corpus, "gone"))
    job.wait_for(lambda: nodes.waiting_actors() == 0)  # a pool grows when a node comes, and waits for none before
    try:
        corpus.go_away()
        try:
            gone = time.monotonic()
            late = nodes.add(4)
            time.sleep(max(0.0, 20 - (time.monotonic() - gone)))
        finally:
            corpus.come_back()
        corpus.faults.clear()
        corpus.faults.delay("in/*", 20.0)  # so that something is left when the late one is at work
        job.wait_for(lambda: nodes.at_work(late, "MapWorker"))
        corpus.faults.clear()
        code, output = job.end()
    finally:
        corpus.faults.clear()
        for node in (first, late):
            if node is not None:
                nodes.kill(node)
    assert code == 0, output
    check(corpus, "gone", undisturbed, tmp_path)


@pytest.mark.slow
def test_a_driver_that_is_killed(
    nodes: Nodes, two: list, corpus: S3Server, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    corpus.faults.delay("in/*", 2.0)
    job = start(nodes, corpus, "driver")
    job.wait_for(has_parts(corpus, "driver"))
    job.process.kill()
    assert job.end()[0] == -signal.SIGKILL
    assert not any(key.startswith("driver/") and key.endswith("run.json") for key in list(corpus.keys()))
    corpus.faults.clear()
    code, output = start(nodes, corpus, "driver").end()
    assert code == 0, output
    assert "continuing run" in output
    check(corpus, "driver", undisturbed, tmp_path)


@pytest.mark.slow
def test_a_head_that_dies(nodes: Nodes, two: list, corpus: S3Server, undisturbed: pd.DataFrame, tmp_path: Path) -> None:
    others = Nodes(corpus.env)  # those of this test only: nothing works on them afterwards
    try:
        others.add()
        corpus.faults.delay("in/*", 2.0)
        job = start(others, corpus, "headless")
        job.wait_for(has_parts(corpus, "headless"))
        others.kill_head()
        code, output = job.end()
        assert code == 3
        port = others.env["RAY_ADDRESS"].rpartition(":")[2]
        assert re.search(rf"^error: the cluster's head at \S+:{port} is gone; the same command", output, re.MULTILINE)
    finally:
        others.close()
        corpus.faults.clear()
    code, output = start(nodes, corpus, "headless").end()
    assert code == 0, output
    check(corpus, "headless", undisturbed, tmp_path)
