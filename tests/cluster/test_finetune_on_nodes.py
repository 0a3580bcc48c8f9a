"""A submitted fine-tuning with workers on several nodes and everything on S3; one of the nodes dies in the middle."""

import json
from collections.abc import Iterator

import pytest
from labelled_clips import write_labelled
from nodes import Nodes
from s3_server import S3Server
from submitted import ENDED, SubmittedJob

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SMALL = "test_resnet.r160_in1k"
EPOCHS = 30


@pytest.fixture(scope="module")
def labels(_s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    server, table = _s3_server, write_labelled(tmp_path_factory.mktemp("data") / "set", clips=6)
    server.new_bucket()
    for file in [table, *(table.parent / "clips").iterdir()]:
        server.put(f"set/{file.relative_to(table.parent)}", file.read_bytes())
    return server


@pytest.fixture(scope="module")
def nodes(labels: S3Server) -> Iterator[Nodes]:
    nodes = Nodes(labels.env, dashboard=True)
    yield nodes
    nodes.close()


def test_a_node_that_dies_while_its_worker_trains(nodes: Nodes, labels: S3Server) -> None:
    workers = [nodes.add(2) for _ in range(3)]
    small = "--backbone", SMALL, "--init", "none", "--height", "48", "--width", "80", "--batch-frames", "8"
    flags = "--epochs", str(EPOCHS), "--patience", "0", "--protocol", "none", "--workers", "2", "--resamples", "20"
    places = "--labels", labels.uri("set/labels.csv"), "--clips", labels.uri("set"), "--output", labels.uri("out")
    job = SubmittedJob(nodes, "finetune", *places, *small, *flags, name="finetune.py")
    job.wait_for(lambda: f"epoch 5/{EPOCHS}" in job.said() or job.details()["status"] in ENDED)
    victim = next(node for node in workers if nodes.at_work(node, "RayTrainWorker"))
    nodes.kill(victim)
    assert job.end(400) == "SUCCEEDED", job.said()
    assert "going on after epoch" in job.said()
    keys = list(labels.keys())
    assert {f"out/{SMALL}/checkpoint/card.json", "out/finetune.json"} <= set(keys)
    assert not [key for key in keys if "/training/" in key]
    card = json.loads(
        labels.client.get_object(Bucket=labels.bucket, Key=f"out/{SMALL}/checkpoint/card.json")["Body"].read()
    )
    assert card["trained"] is True
