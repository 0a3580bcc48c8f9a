"""cluster.yaml and deploy/cluster-local.yaml as they lie: Ray's schema, versions, sums, and what must not be open."""

import re
import shlex
from typing import Any

import jsonschema
import pytest
import yaml
from paths import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config

FILES = {"aws": ROOT / "cluster.yaml", "local": ROOT / "deploy/cluster-local.yaml"}
WORKERS = ("decode", "classify")
METRICS_PORT = "8080"

Config = dict[str, Any]


def load(name: str) -> Config:
    return yaml.safe_load(FILES[name].read_text())


def node_types() -> dict[str, Config]:
    return load("aws")["available_node_types"]


def started(name: str, role: str) -> dict[str, str]:
    """The options of the `ray start` of a head or a worker."""
    words = shlex.split(load(name)[f"{role}_start_ray_commands"][-1])
    options = words[words.index("start") + 1 :]
    return {flag: value for flag, _, value in (option.partition("=") for option in options)}


def locked(package: str) -> str:
    return re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]  # type: ignore[index]


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_the_file(name: str) -> None:
    validate_config(prepare_config(load(name)))


@pytest.mark.parametrize("field", ["labels", "min_workers", "docker", "node_config"])
def test_a_misspelt_field_of_a_node_type_is_found(field: str) -> None:
    config = load("aws")
    decode = config["available_node_types"]["classify"]
    decode[f"{field}s"] = decode.pop(field)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_the_cluster_grows_from_its_head_alone_to_all_that_the_types_allow() -> None:
    types = node_types()
    assert load("aws")["head_node_type"] == "head"
    assert set(types) == {"head", *WORKERS}
    assert [types[name]["min_workers"] for name in WORKERS] == [0, 0]
    assert load("aws")["max_workers"] == sum(types[name]["max_workers"] for name in WORKERS) > 0
    assert load("aws")["idle_timeout_minutes"] > 0
    assert load("aws")["provider"]["cache_stopped_nodes"] is False, "stopped nodes go on costing their disks"


def test_the_head_does_not_work_and_the_workers_say_what_they_are_for() -> None:
    types = node_types()
    assert types["head"]["resources"] == {"CPU": 0}
    assert "labels" not in types["head"]
    assert {name: types[name]["labels"] for name in WORKERS} == {name: {"artifactscan-stage": name} for name in WORKERS}


def test_workers_are_spot_and_the_head_is_not() -> None:
    market = {name: config["node_config"].get("InstanceMarketOptions") for name, config in node_types().items()}
    assert market == {"head": None} | {name: {"MarketType": "spot"} for name in WORKERS}


def test_image_ray_and_python_are_those_of_the_lock_and_of_the_other_image() -> None:
    image = load("aws")["docker"]["image"]
    assert image == re.search(r"^FROM (\S+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)[1]  # type: ignore[index]
    assert image == f"rayproject/ray:{locked('ray')}-py311"
    assert "python3.11 -m venv" in load("local")["setup_commands"][0]
    for name in FILES:
        config = load(name)
        assert config["file_mounts"]["~/requirements.lock"] == "requirements.lock"
        assert sum("-r ~/requirements.lock" in command for command in config["setup_commands"]) == 1
        assert "pip install" not in " ".join(config.get("head_setup_commands", []))


@pytest.mark.parametrize("name", ["head", *WORKERS])
def test_disks_are_encrypted_and_go_with_the_node(name: str) -> None:
    (disk,) = node_types()[name]["node_config"]["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/sda1"
    assert disk["Ebs"] == {"VolumeType": "gp3", "VolumeSize": 150, "Encrypted": True, "DeleteOnTermination": True}


@pytest.mark.parametrize("name", ["head", *WORKERS])
def test_credentials_of_a_node_are_its_own_roles_and_are_not_read_by_request_forgery(name: str) -> None:
    config = node_types()[name]["node_config"]
    assert config["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    assert config["IamInstanceProfile"] == {"Name": "artifactscan-head" if name == "head" else "artifactscan-worker"}


@pytest.mark.parametrize("name", FILES)
def test_the_dashboard_is_not_public_and_metrics_have_one_port(name: str) -> None:
    head, worker = started(name, "head"), started(name, "worker")
    assert head["--dashboard-host"] == "127.0.0.1"
    assert "--ray-client-server-port" not in head
    assert head["--metrics-export-port"] == worker["--metrics-export-port"] == METRICS_PORT
    assert worker["--address"] == "$RAY_HEAD_IP:" + head["--port"]
    assert head["--autoscaling-config"] == "~/ray_bootstrap_config.yaml"
    assert "security_group" not in load(name)["provider"], "rules beside Ray's own, which let in ssh alone"


@pytest.mark.parametrize("name", FILES)
def test_ray_asks_for_the_laptops_token(name: str) -> None:
    config = load(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    said = config["docker"]["run_options"] if name == "aws" else config["setup_commands"]
    assert sum("RAY_AUTH_MODE=token" in line for line in said) == 1


def test_the_nodes_and_what_runs_on_them_are_in_one_region() -> None:
    provider = load("aws")["provider"]
    assert f"-e AWS_REGION={provider['region']}" in load("aws")["docker"]["run_options"]
    assert {zone[:-1] for zone in provider["availability_zone"].split(",")} == {provider["region"]}


def test_gpus_are_let_into_the_container_of_the_nodes_that_have_one() -> None:
    options = {name: config.get("docker", {}).get("worker_run_options") for name, config in node_types().items()}
    assert options == {"head": None, "decode": None, "classify": ["--gpus all"]}


def test_the_readme_gives_the_files_and_the_ports_that_are_there() -> None:
    readme = (ROOT / "deploy/README.md").read_text()
    for path in FILES.values():
        assert f"    ray up {path.relative_to(ROOT)}\n" in readme
    submits = re.findall(r"ray job submit --address http://127\.0\.0\.1:(\d+) ", readme)
    assert submits == [started(name, "head")["--dashboard-port"] for name in FILES]
    for document in re.findall(r"file://(\S+)", readme):
        assert (ROOT / document).is_file()
