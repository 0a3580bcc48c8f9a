"""`ray up cluster.yaml` on loopback: what EC2 is asked, what the head is given, and what the head asks for a worker.

Behind the instances of moto there is no machine: scripts in place of ssh and rsync take down what one would get. That
Docker, the packages and Ray start on a real one is not seen here.
"""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from aws_cluster import ROOT, Up, actions, asked, client, head_config, make_roles, mode, ray_up, remote, statements
from aws_env import set_aws_env
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.ray_installer import RayInstaller
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.common_pb2 import LabelSelectorOperator
from ray.core.generated.instance_manager_pb2 import Instance
from s3_server import S3Server

pytestmark = pytest.mark.cluster

STAGE = "artifactscan-stage"
TAG = "TagSpecification.1.Tag"


@pytest.fixture(scope="module")
def up(_s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Up:
    make_roles(_s3_server)
    return ray_up(_s3_server, tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="module")
def head(up: Up, _s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AutoscalingConfig]:
    """What the head's autoscaler reads, in a home with the files that it got."""
    home = tmp_path_factory.mktemp("head")
    (home / ".ray").mkdir()
    shutil.copy(up.sent / "auth_token", home / ".ray")
    for name in ("requirements.lock", "ray_bootstrap_key.pem"):
        shutil.copy(up.sent / name, home)
    with pytest.MonkeyPatch.context() as patch:
        set_aws_env(patch, _s3_server.env)
        patch.setenv("HOME", str(home))
        yield AutoscalingConfig(head_config(up))


def of(requests: list[dict[str, str]], action: str) -> list[dict[str, str]]:
    return [request for request in requests if request["Action"] == action]


def tags(request: dict[str, str]) -> dict[str, str]:
    numbers = re.findall(rf"{TAG}\.(\d+)\.Key", " ".join(request))
    return {request[f"{TAG}.{number}.Key"]: request[f"{TAG}.{number}.Value"] for number in numbers}


def check_disk_and_metadata(request: dict[str, str]) -> None:
    given = {name: value for name, value in request.items() if name.startswith(("BlockDevice", "Metadata"))}
    assert given == {
        "BlockDeviceMapping.1.DeviceName": "/dev/sda1",
        "BlockDeviceMapping.1.Ebs.VolumeType": "gp3",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "150",
        "BlockDeviceMapping.1.Ebs.Encrypted": "true",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
        "MetadataOptions.HttpEndpoint": "enabled",
        "MetadataOptions.HttpTokens": "required",
        "MetadataOptions.HttpPutResponseHopLimit": "1",
    }


def test_the_head_is_launched_on_demand_with_its_role(up: Up) -> None:
    (request,) = of(up.requests, "RunInstances")
    check_disk_and_metadata(request)
    assert request["InstanceType"] == "m6i.large"
    assert request["IamInstanceProfile.Name"] == "artifactscan-head"
    assert (request["MinCount"], request["MaxCount"]) == ("1", "1")
    assert not any("Market" in name for name in request)
    assert request["KeyName"].startswith("ray-autoscaler_")
    assert tags(request) | {"ray-launch-config": ""} == {
        "Name": "ray-artifactscan-head",
        "ray-cluster-name": "artifactscan",
        "ray-launch-config": "",
        "ray-node-status": "uninitialized",
        "ray-node-type": "head",
        "ray-user-node-type": "head",
    }


def test_the_head_is_in_the_first_zone_and_in_the_clusters_security_group(up: Up, _s3_server: S3Server) -> None:
    (request,) = of(up.requests, "RunInstances")
    (rules,) = of(up.requests, "AuthorizeSecurityGroupIngress")
    assert request["SecurityGroupId.1"] == rules["GroupId"]
    assert "SecurityGroupId.2" not in request
    (subnet,) = client(_s3_server, "ec2").describe_subnets(SubnetIds=[request["SubnetId"]])["Subnets"]
    assert subnet["AvailabilityZone"] == "us-east-1a"


def test_from_outside_only_ssh_comes_in(up: Up) -> None:
    (rules,) = of(up.requests, "AuthorizeSecurityGroupIngress")
    group = rules["GroupId"]
    assert {name: value for name, value in rules.items() if name.startswith("IpPermissions")} == {
        "IpPermissions.1.IpProtocol": "-1",
        "IpPermissions.1.FromPort": "-1",
        "IpPermissions.1.ToPort": "-1",
        "IpPermissions.1.Groups.1.GroupId": group,  # whatever its own members send
        "IpPermissions.2.IpProtocol": "tcp",
        "IpPermissions.2.FromPort": "22",
        "IpPermissions.2.ToPort": "22",
        "IpPermissions.2.IpRanges.1.CidrIp": "0.0.0.0/0",
    }
    (made,) = of(up.requests, "CreateSecurityGroup")
    assert made["TagSpecification.1.Tag.2.Key"] == "ray-cluster-name"  # by which the head's policy knows it
    assert made["TagSpecification.1.Tag.2.Value"] == "artifactscan"


def test_who_runs_it_needs_the_rights_that_the_readme_names(up: Up) -> None:
    readme = (ROOT / "deploy/README.md").read_text()
    said = re.search(r"Who runs `ray up` and `ray down` needs (.*?)\n\n", readme, re.DOTALL)
    assert said is not None
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", said[1]))
    assert named == {request["Action"] for request in up.requests} | {"TerminateInstances"}


def test_the_head_gets_the_lock_and_the_token(up: Up) -> None:
    assert (up.sent / "requirements.lock").read_text() == (ROOT / "requirements.lock").read_text()
    assert (up.sent / "auth_token").read_text() == (up.home / ".ray/auth_token").read_text()
    assert mode(up.sent / "auth_token") == 0o600


def test_the_head_runs_the_container_installs_the_lock_and_starts_ray_without_cpus(up: Up) -> None:
    pull = up.commands.index("docker pull rayproject/ray:2.60.0-py311")
    (start,) = (command for command in up.commands if command.startswith("docker run "))
    assert up.commands.index("sudo usermod -aG docker $USER") < pull < up.commands.index(start)
    assert "-v /tmp/ray_tmp_mount/artifactscan/~/.ray/auth_token:/home/ray/.ray/auth_token " in start
    assert "-e RAY_AUTH_MODE=token -e AWS_REGION=us-east-1 --ulimit nofile=65536:65536 --net=host" in start
    assert start.endswith(" rayproject/ray:2.60.0-py311 bash")
    install, stop, ray = up.commands[-3:]
    assert install == "pip install --no-cache-dir --quiet -r /home/ray/requirements.lock"
    assert stop.endswith("; ray stop")
    assert """export RAY_OVERRIDE_RESOURCES='{"CPU":0}';""" in ray
    assert "export RAY_enable_autoscaler_v2=1;" in ray
    assert ray.endswith(
        "; ray start --head --port=6379 --object-manager-port=8076 --metrics-export-port=8080 "
        "--dashboard-host=127.0.0.1 --dashboard-port=8265 --autoscaling-config=/home/ray/ray_bootstrap_config.yaml"
    )


@pytest.mark.parametrize(("stage", "needed"), [("decode", {"CPU": 1.0}), ("classify", {"CPU": 0.5, "GPU": 1.0})])
def test_from_nothing_a_node_comes_for_whatever_asks_by_label(
    stage: str, needed: dict[str, float], head: AutoscalingConfig
) -> None:
    wanted = ResourceRequestUtil.make(
        needed, label_selectors=[[(STAGE, LabelSelectorOperator.LABEL_OPERATOR_IN, [stage])]]
    )
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=head.get_node_type_configs(),
            max_num_nodes=head.get_max_num_worker_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count([wanted]),
        )
    )
    assert {launch.instance_type: launch.count for launch in reply.to_launch} == {stage: 1}
    assert reply.infeasible_resource_requests == []


def test_what_the_nodes_have_is_known_before_there_is_one(head: AutoscalingConfig) -> None:
    types = head.get_node_type_configs()
    assert types is not None
    assert types["head"].resources == {"CPU": 0}
    assert types["decode"].resources["CPU"] == 8
    assert types["classify"].resources["CPU"] == 4
    assert types["classify"].resources["GPU"] == 1
    assert types["classify"].resources["accelerator_type:L4"] == 1


class Notes:
    """In place of subprocess: takes down commands and answers as a machine with Docker would."""

    DEVNULL = None

    def __init__(self) -> None:
        self.commands: list[str] = []

    def check_call(self, command: list[str], **_: Any) -> int:
        self.commands.append(remote(" ".join(map(str, command))))
        return 0

    def check_output(self, command: list[str]) -> bytes:
        self.check_call(command)
        said = self.commands[-1]
        return b'["HOME=/home/ray"]' if "Config.Env" in said else b"/home/ray" if "printenv" in said else b"docker"


@pytest.mark.parametrize(
    ("stage", "instance_type", "options"),
    [("decode", "m6i.2xlarge", ""), ("classify", "g6.xlarge", "--gpus all ")],
)
def test_a_worker_is_launched_labelled_and_ended_within_the_heads_rights(
    stage: str, instance_type: str, options: str, head: AutoscalingConfig, _s3_server: S3Server
) -> None:
    _s3_server.faults.requests.clear()
    provider = _get_node_provider(head.get_config("provider"), head.get_config("cluster_name"))
    tags_of_autoscaler = {"ray-node-type": "worker", "ray-user-node-type": stage, "ray-node-status": "uninitialized"}
    provider.create_node_with_resources_and_labels(
        head.get_cloud_node_config(stage), tags_of_autoscaler, 1, head.get_node_resources(stage), {}
    )
    (worker,) = provider.non_terminated_nodes({"ray-user-node-type": stage})
    notes = Notes()
    installer = RayInstaller(provider, head, process_runner=notes)  # type: ignore[arg-type]
    installer.install_ray(Instance(instance_type=stage, cloud_instance_id=worker), "10.0.0.1")
    provider.terminate_nodes([worker])

    (request,) = of(asked(_s3_server), "RunInstances")
    check_disk_and_metadata(request)
    assert request["InstanceType"] == instance_type
    assert request["IamInstanceProfile.Name"] == "artifactscan-worker"
    assert request["InstanceMarketOptions.MarketType"] == "spot"
    assert (tags(request)["ray-cluster-name"], tags(request)["ray-node-type"]) == ("artifactscan", "worker")
    assert {f"ec2:{request['Action']}" for request in asked(_s3_server)} == {
        action for action in actions("autoscaler") if action.startswith("ec2:")
    }
    later = {request["Tag.1.Key"] for request in of(asked(_s3_server), "CreateTags")}
    assert later == {"ray-file-mounts-contents", "ray-node-status", "ray-runtime-config"} == noted()

    (run,) = (command for command in notes.commands if command.startswith("docker run "))
    assert f"--ulimit nofile=65536:65536 {options}" in run
    assert "pip install --no-cache-dir --quiet -r /home/ray/requirements.lock" in notes.commands[-3]
    assert f"""export RAY_OVERRIDE_LABELS='{{"{STAGE}":"{stage}"}}';""" in notes.commands[-1]
    assert "export RAY_HEAD_IP=10.0.0.1;" in notes.commands[-1]
    assert notes.commands[-1].endswith(
        "; ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 --metrics-export-port=8080"
    )


def noted() -> set[str]:
    """The tags that the head's policy lets it change on a worker."""
    conditions = [statement.get("Condition", {}) for statement in statements("autoscaler")]
    (keys,) = (
        condition["ForAllValues:StringEquals"] for condition in conditions if "ForAllValues:StringEquals" in condition
    )
    return set(keys["aws:TagKeys"])
