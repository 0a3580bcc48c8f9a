"""`ray job submit` from the repository's root: waiting for nodes, metadata, metrics, stopping, and the package sent."""

import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from media import write_clip
from nodes import ROOT, Nodes
from s3_server import S3Server
from scraped import families
from submitted import SubmittedJob

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint
from artifactscan.pipelines.ray_cluster import metrics

pytestmark = pytest.mark.cluster

CLIPS = 8
STAGES = ("decode", "classify")


@pytest.fixture(scope="module")
def corpus(_s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    server, folder = _s3_server, tmp_path_factory.mktemp("clips")
    server.new_bucket()
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(folder / "checkpoint"))
    server.put_folder("checkpoint", folder / "checkpoint")
    clip = write_clip(folder / "clip.mp4", seconds=4, width=320, height=192).read_bytes()
    for number in range(CLIPS):
        server.put(f"in/clip{number}.mp4", clip)
    server.put("in/broken.mp4", b"no video")
    return server


@pytest.fixture(scope="module")
def nodes(corpus: S3Server) -> Iterator[Nodes]:
    nodes = Nodes(corpus.env, dashboard=True)
    yield nodes
    nodes.close()


def submit(nodes: Nodes, corpus: S3Server, store: str) -> SubmittedJob:
    places = ("--input", corpus.uri("in"), "--output", corpus.uri(store), "--checkpoint", corpus.uri("checkpoint"))
    flags = ("--max-failed", "0.5", "--log-format", "json", "--node-wait-s", "200")
    return SubmittedJob(nodes, f"{store}-job", *places, *flags)


def committed(corpus: S3Server, store: str) -> dict[str, Any]:
    keys = corpus.keys()
    [key] = [key for key in keys if key.startswith(f"{store}/runs/") and key.endswith("run.json")]
    return json.loads(corpus.client.get_object(Bucket=corpus.bucket, Key=key)["Body"].read())


def scrape(nodes: Nodes) -> set[str]:
    """Names of what the nodes serve now."""
    found: set[str] = set()
    for port in (nodes.metrics_port, nodes.worker_metrics_port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found |= set(families(answer.read().decode()))
    return found


def test_a_submitted_job_waits_for_a_node_runs_and_records_its_metadata(nodes: Nodes, corpus: S3Server) -> None:
    corpus.faults.status("in/clip0.mp4", 503, times=2, methods=("GET",))
    corpus.faults.delay("in/clip7.mp4", 15.0, times=1)  # time to be looked at
    job = submit(nodes, corpus, "waited")
    job.wait_for(lambda: "waiting for a CPU to decode on and a CPU to classify on (0 of at most 200 s)" in job.logs())
    nodes.add(2, f"--metrics-export-port={nodes.worker_metrics_port}")  # as an autoscaler would
    ours = {metric.exported for metric in metrics.METRICS}
    seen: set[str] = set()

    def all_there() -> bool:
        seen.update(scrape(nodes) & ours)
        return seen == ours or job.details()["status"] != "RUNNING"

    job.wait_for(all_there)
    state, log = job.end(), job.logs()
    assert state == "SUCCEEDED", log
    corpus.faults.clear()

    record = committed(corpus, "waited")
    assert record["outcomes"] == {"scored": CLIPS, "undecodable": 1}
    details = job.details()
    assert {name: details["metadata"][f"artifactscan_{name}"] for name in ("run", "store", "verdict")} == {
        "run": record["run"],
        "store": corpus.uri("waited"),
        "verdict": "0 all well",
    }
    progress = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert progress[-1]["run"] == record["run"] and progress[-1]["videos"] == CLIPS + 1
    assert "Outcomes" in log and "Traceback" not in log

    assert seen == ours, f"never scraped: {ours - seen}"

    [line] = {line for line in worker_logs(nodes) if '"uri"' in line and "broken.mp4" in line}
    entry = json.loads(line)
    assert (entry["run"], entry["outcome"], entry["uri"]) == (record["run"], "undecodable", corpus.uri("in/broken.mp4"))
    assert len(entry["video_id"]) == 32
    keys = corpus.keys()
    assert f"waited/runs/{record['run']}/ray_data_stats.txt" in list(keys)


def worker_logs(nodes: Nodes) -> list[str]:
    files = Path(nodes.folder).glob("**/session_*/logs/worker-*.err")
    return [line for file in files for line in file.read_text(errors="replace").splitlines()]


@pytest.mark.slow
def test_a_job_that_is_stopped_is_continued(nodes: Nodes, corpus: S3Server) -> None:
    if nodes.alive() < 2:  # the test before this one adds a node
        nodes.add(2)
    corpus.faults.delay("in/clip7.mp4", 60.0, times=1)
    job = submit(nodes, corpus, "stopped")
    job.wait_for(lambda: any("stopped/runs/" in key and "/parts/" in key for key in list(corpus.keys())))
    job.stop()
    assert job.end() == "STOPPED"
    entries = [json.loads(line) for line in job.logs().splitlines() if line.startswith("{")]
    assert [entry["message"] for entry in entries if entry["level"] == "error"] == [
        "interrupted; the same command goes on with what is not done yet"
    ]
    assert "stopped/lease.json" not in list(corpus.keys())
    corpus.faults.clear()
    code, output = nodes.job(*job.arguments).end()
    assert code == 0, output
    assert "continuing run" in output
    assert committed(corpus, "stopped")["outcomes"] == {"scored": CLIPS, "undecodable": 1}


def test_runtime_env_lists_the_packages_of_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.runtime_env import RuntimeEnv

    monkeypatch.chdir(ROOT)
    environment = RuntimeEnv(**yaml.safe_load((ROOT / "runtime_env.yaml").read_text()))
    lock = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    assert environment["pip"]["packages"] == lock


def test_the_working_directory_contains_only_what_a_job_needs(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    package = tmp_path / "package.zip"
    create_package(str(ROOT), package, include_gitignore=True)
    names = zipfile.ZipFile(package).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"jobs", "pipelines", "src"} <= tops
    assert not tops & {"tests", "docs", "deploy", "benchmarks", "demo", ".git", ".venv"}
    assert "src/artifactscan/model/builtin/model.safetensors" in names
    assert package.stat().st_size < 20 << 20
