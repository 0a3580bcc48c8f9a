"""`ray up` of deploy/cluster-local.yaml over real ssh, down to a job that both machines have a part in.

What is not as on real machines: addresses, user and key are those of two namespaces of this host, and instead of making
a virtual environment and installing requirements.lock, each links this one.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from subprocess import DEVNULL

import pandas as pd
import pytest
import yaml
from media import write_clip
from own_machines import HEAD, ROOT, SHARED, WORKER, OwnMachines, skip_where_impossible

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.cluster

YAML = f"{SHARED}/cluster.yaml"
DASHBOARD = "http://127.0.0.1:8265"
WORKER_S = 120.0
"""Seconds in which the head has started the worker."""
NODES = """
import json, ray

ray.init()
print("nodes", json.dumps(sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])))
"""
FETCH = """
import sys, urllib.error, urllib.request

for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=10).status)
    except urllib.error.HTTPError as error:
        print(error.code)
    except urllib.error.URLError as error:
        print(error.reason.strerror)
"""
DOWN_S = 90.0
"""Seconds in which a worker gives up a head that is gone; Ray's own limit is 60."""
SUBMIT = f"RAY_AUTH_MODE=token ray job submit --address {DASHBOARD}"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMachines]:
    """The cluster, up: the README's commands have been given and the dashboard is forwarded."""
    skip_where_impossible()
    folder = tmp_path_factory.mktemp("machines")
    (folder / "cluster.yaml").write_text(yaml.safe_dump(cluster()))
    with OwnMachines(folder) as machines:
        token = machines.laptop("ray get-auth-token --generate >/dev/null && chmod 600 ~/.ray/auth_token")
        assert token.returncode == 0, token.stderr
        up = machines.laptop(f"ray up --yes {YAML}")
        assert up.returncode == 0, up.stdout[-3000:] + up.stderr[-3000:]
        forwarding = machines.command(f"ray dashboard {YAML}")
        forward = subprocess.Popen(forwarding, env=machines.env, stdout=DEVNULL, stderr=DEVNULL)
        try:
            wait_for_two_nodes(machines)
            yield machines
        finally:
            forward.kill()


def cluster() -> dict:
    """deploy/cluster-local.yaml for these machines."""
    config = yaml.safe_load((ROOT / "deploy/cluster-local.yaml").read_text())
    config["provider"] |= {"head_ip": HEAD, "worker_ips": [WORKER]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": f"{SHARED}/key"}
    make, install, *rest = config["setup_commands"]
    assert (make.split()[1:3], install.split()[1]) == (["-m", "venv"], "install")
    config["setup_commands"] = [f"ln -sfn {sys.prefix} ~/.artifactscan", *rest]
    return config


def wait_for_two_nodes(machines: OwnMachines) -> None:
    end = time.monotonic() + WORKER_S
    while "2 local.cluster.node" not in (status := machines.laptop(f"ray exec {YAML} 'ray status'").stdout):
        assert time.monotonic() < end, status
        time.sleep(1)


def test_every_machine_is_set_up_alike(machines: OwnMachines) -> None:
    token = machines.laptop("cat ~/.ray/auth_token").stdout
    for address in (HEAD, WORKER):
        said = machines.machine(address, "stat --format=%a ~/.ray/auth_token; cat ~/.ray/auth_token")
        assert said == f"600\n{token}"
        lock = machines.machine(address, "cat ~/requirements.lock")
        assert lock == (ROOT / "requirements.lock").read_text()


def test_a_submitted_job_runs_with_the_token_only(machines: OwnMachines) -> None:
    (machines.folder / "job.py").write_text(NODES)
    ran = machines.laptop(f"{SUBMIT} -- python {SHARED}/job.py")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    (line,) = re.findall(r"^nodes (.*)$", ran.stdout, re.MULTILINE)
    assert json.loads(line) == [HEAD, WORKER]
    refused = machines.laptop(f"{SUBMIT} -- python {SHARED}/job.py".replace("=token", "=disabled"))
    assert refused.returncode == 1
    assert "Missing authentication token" in refused.stderr


def test_from_outside_only_metrics_are_to_be_had(machines: OwnMachines) -> None:
    (machines.folder / "fetch.py").write_text(FETCH)

    def fetch(*urls: str) -> list[str]:
        said = machines.laptop(f"python {SHARED}/fetch.py {' '.join(urls)}")
        assert said.returncode == 0, said.stderr
        return said.stdout.splitlines()

    assert fetch(f"{DASHBOARD}/api/jobs/", f"http://{HEAD}:8265/api/jobs/") == ["401", "Connection refused"]
    assert fetch(f"http://{HEAD}:8080/metrics", f"http://{WORKER}:8080/metrics") == ["200", "200"]


@pytest.mark.slow
def test_a_submitted_job_scores_clips_on_both_machines(machines: OwnMachines) -> None:
    clips = machines.folder / "clips"
    clips.mkdir()
    for name in ("one", "two"):
        write_clip(clips / f"{name}.mp4", seconds=1)
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(machines.folder / "model"))
    arguments = f"--input {SHARED}/clips --output {SHARED}/scores --checkpoint {SHARED}/model --shared-filesystem"
    ran = machines.laptop(f"{SUBMIT} --working-dir . -- python jobs/score.py {arguments}")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    ledger = pd.read_parquet(machines.folder / "scores/videos")
    assert dict(zip(ledger["uri"], ledger["outcome"], strict=True)) == {
        f"{SHARED}/clips/one.mp4": "scored",
        f"{SHARED}/clips/two.mp4": "scored",
    }
    assert len(pd.read_parquet(machines.folder / "scores/frames")) == 4
    for address in (HEAD, WORKER):
        actors = machines.machine(address, "grep -rhoa :actor_name:MapWorker.* /tmp/ray/session_latest/logs")
        assert {f":actor_name:MapWorker(MapBatches({name}))" for name in ("Decode", "Classify")} == set(actors.split())


@pytest.mark.slow
def test_ray_down_ends_the_head_and_the_workers_follow(machines: OwnMachines) -> None:  # last: the others want them up
    def raylets(address: str) -> list[str]:
        return machines.machine(address, "pgrep -x raylet || true").split()

    assert len(raylets(WORKER)) == 1
    down = machines.laptop(f"ray down --yes {YAML}")
    assert down.returncode == 0, down.stdout[-3000:] + down.stderr[-3000:]
    assert raylets(HEAD) == []
    end = time.monotonic() + DOWN_S
    while raylets(WORKER):
        assert time.monotonic() < end, "the worker did not notice that its head is gone"
        time.sleep(1)
