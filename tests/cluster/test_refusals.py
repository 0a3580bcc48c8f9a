"""Clusters that a job cannot use are refused with one sentence, before anything is done."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import write_clip
from nodes import Nodes
from s3_server import S3Server

pytestmark = pytest.mark.cluster

CLUSTER_METADATA = """
import json, os
from ray._raylet import GcsClient
client = GcsClient(address=os.environ["RAY_ADDRESS"])
metadata = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", b"cluster"))
metadata.update(json.loads(os.environ["SAY"]))
client.internal_kv_put(b"CLUSTER_METADATA", json.dumps(metadata).encode(), True, b"cluster")
"""
"""Makes the cluster report other versions, as one does that was started with them."""


@pytest.fixture(scope="module")
def clips(_s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    _s3_server.new_bucket()
    clip = write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=1)
    _s3_server.put("in/clip.mp4", clip.read_bytes())
    return _s3_server


@pytest.fixture(scope="module")
def nodes(clips: S3Server) -> Iterator[Nodes]:
    nodes = Nodes(clips.env)
    yield nodes
    nodes.close()


def refusal(nodes: Nodes, server: S3Server, *flags: str, store: str = "", env: dict[str, str] | None = None) -> str:
    """The sentence with which the job ends, with exit code 2 and without having written anything."""
    store = store or server.uri("out")
    code, output = nodes.job("--input", server.uri("in"), "--output", store, *flags, **(env or {})).end(120)
    assert code == 2, output
    assert "Traceback" not in output
    assert [key for key in list(server.keys()) if key.startswith("out")] == []
    # What does not depend on the number of nodes is refused before the plan.
    assert ("Plan" in output) == any(words in output for words in ("has no CPU", "has no GPU", "still lacks"))
    return output.splitlines()[-1]


@pytest.mark.parametrize("env", [{"RAY_AUTH_TOKEN": "of-another-cluster"}, {"RAY_AUTH_MODE": "disabled"}])
def test_a_token_that_is_wrong_or_not_given(nodes: Nodes, clips: S3Server, env: dict[str, str]) -> None:
    assert refusal(nodes, clips, env=env) == (
        f"error: RAY_ADDRESS {nodes.env['RAY_ADDRESS']}: the Ray cluster cannot be joined (no token that it accepts "
        "was found); start it, give its token in ~/.ray/auth_token or RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token, or "
        "unset RAY_ADDRESS to work on this machine alone"
    )


def test_a_cluster_without_enough_nodes(nodes: Nodes, clips: S3Server, tmp_path: Path) -> None:
    said = refusal(nodes, clips)
    assert said == (
        "error: the Ray cluster has no CPU on a node that may decode (1 node, 0 CPUs and 0 GPUs in all); "
        "wait for its nodes (--node-wait-s), or add one"
    )
    said = refusal(nodes, clips, "--node-wait-s", "3")
    assert "still lacks a CPU to decode on and a CPU to classify on; see `ray status`" in said

    nodes.add(2)
    assert refusal(nodes, clips, "--device", "cuda") == (
        "error: --device cuda: the Ray cluster has no GPU; add a GPU node, or use --device cpu"
    )
    assert refusal(nodes, clips, store=str(tmp_path / "store")) == (
        f"error: {tmp_path}/store is a local path, and the Ray cluster has 2 nodes, which would each use their own "
        "disk; give s3://bucket/prefix, or --shared-filesystem where all of them mount it"
    )
    assert not (tmp_path / "store").exists()


def test_versions_that_differ(nodes: Nodes, clips: S3Server) -> None:
    import ray

    python = ".".join(map(str, sys.version_info[:3]))
    for metadata, theirs in (
        ('{"ray_version": "2.40.0"}', f"Ray 2.40.0 and Python {python}"),
        ('{"python_version": "3.9.1"}', f"Ray {ray.__version__} and Python 3.9.1"),
    ):
        subprocess.run([sys.executable, "-c", CLUSTER_METADATA], env={**nodes.env, "SAY": metadata}, check=True)
        assert refusal(nodes, clips) == (
            f"error: RAY_ADDRESS {nodes.env['RAY_ADDRESS']}: the cluster runs {theirs}, this process Ray "
            f"{ray.__version__} and Python {python}; install requirements.lock under the same Python on both, or use "
            "`ray job submit`, which runs on the cluster"
        )
        back = f'{{"ray_version": "{ray.__version__}", "python_version": "{python}"}}'
        subprocess.run([sys.executable, "-c", CLUSTER_METADATA], env={**nodes.env, "SAY": back}, check=True)


def test_a_path_that_differs_on_one_of_the_nodes(nodes: Nodes, clips: S3Server, tmp_path: Path) -> None:
    """A node in a mount namespace of its own, in which the store's folder is another file system."""
    store = tmp_path / "store"
    store.mkdir()
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine does not let a process have mounts of its own")
    other = nodes.add(2, within=("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {store} && exec "$@"', "sh"))
    said = refusal(nodes, clips, "--shared-filesystem", store=str(store))
    nodes.kill(other)
    assert said.startswith(f"error: {store} is not the same on node ")
    assert said.endswith("; mount it there, or give s3://bucket/prefix")
