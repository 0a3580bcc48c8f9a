"""deploy/aws/: what the policies allow, and that a run on S3 asks for all of that and for nothing else."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from aws_cluster import ROOT, actions, grants, statements
from media import write_clip
from s3_server import Request, S3Server

from artifactscan.jobs.score import main
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

ABORT = "s3:AbortMultipartUpload"
"""Asked for only when an upload breaks off."""


def allowed(action: str, resource: str, prefix: str | None) -> bool:
    """Whether the S3 policy lets ``action`` pass; AWS takes a missing key for the prefix of a listing, too."""
    for granted, pattern, condition in grants("s3"):
        prefixes = condition.get("StringLike", {}).get("s3:prefix")
        if granted == action and fnmatchcase(resource, pattern):
            return prefixes is None or any(fnmatchcase(prefix or "", glob) for glob in prefixes)
    return False


def wanted(request: Request) -> tuple[str, str, str | None]:
    """Action, resource and prefix that AWS would check for ``request`` to the bucket `bucket`."""
    arn = "arn:aws:s3:::bucket"
    if request.key:
        action = {"PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}.get(request.method, "GetObject")
        return f"s3:{action}", f"{arn}/{request.key}", None
    assert request.method in ("GET", "HEAD"), f"{request.method} of a whole bucket"
    (prefix,) = request.query.get("prefix", [None])
    return "s3:ListBucket", arn, prefix


def test_the_actions_are_these() -> None:
    assert actions("s3") == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", ABORT}
    assert actions("autoscaler") == {
        "ec2:CreateTags",
        "ec2:DescribeInstances",
        "ec2:RunInstances",
        "ec2:TerminateInstances",
        "iam:PassRole",
        "ssm:GetParameters",
    }
    assert [(item["Principal"], item["Action"]) for item in statements("trust")] == [
        ({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")
    ]


@pytest.mark.parametrize("name", ["s3", "autoscaler"])
def test_nothing_is_granted_for_everything(name: str) -> None:
    for action, resource, _ in grants(name):
        assert "*" not in action
        assert (resource == "*") is (action == "ec2:DescribeInstances"), "which knows no resource"


def test_videos_are_read_and_only_the_store_is_written() -> None:
    for action, video, score in [
        ("s3:GetObject", True, True),
        ("s3:PutObject", False, True),
        ("s3:DeleteObject", False, True),
    ]:
        assert allowed(action, "arn:aws:s3:::bucket/videos/a.mp4", None) is video
        assert allowed(action, "arn:aws:s3:::bucket/scores/runs/x/run.json", None) is score
        assert not allowed(action, "arn:aws:s3:::bucket/secrets/a", None)
        assert not allowed(action, "arn:aws:s3:::other/videos/a.mp4", None)
    listable = {
        prefix: allowed("s3:ListBucket", "arn:aws:s3:::bucket", prefix) for prefix in ("videos/", "scores/x", "")
    }
    assert listable == {"videos/": True, "scores/x": True, "": False}


@pytest.mark.cluster
def test_a_run_needs_what_the_policy_grants(s3: S3Server, tmp_path: Path, ray_here: None) -> None:
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(tmp_path / "model"))
    clip = write_clip(tmp_path / "clip.mp4", seconds=1).read_bytes()
    arguments = ["--input", s3.uri("videos"), "--output", s3.uri("scores"), "--checkpoint", str(tmp_path / "model")]
    for name in ("one", "two"):  # the second finds a store with a run in it
        s3.put(f"videos/{name}.mp4", clip)
        s3.faults.requests.clear()
        assert main([*arguments, "--decode-actors", "1", "--quiet"]) == 0
        asked = {wanted(request) for request in s3.faults.requests}
        assert {question for question in asked if not allowed(*question)} == set()
        assert {action for action, *_ in asked} == actions("s3") - {ABORT}


def test_the_head_may_launch_the_workers_of_cluster_yaml_and_no_other_instances() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    workers = [cluster["available_node_types"][name]["node_config"] for name in ("decode", "classify")]
    conditions = {resource: condition for action, resource, condition in grants("autoscaler") if "Run" in action}
    instance = conditions["arn:aws:ec2:*:*:instance/*"]
    assert instance["StringEquals"] == {
        "aws:RequestTag/ray-cluster-name": cluster["cluster_name"],
        "aws:RequestTag/ray-node-type": "worker",
        "ec2:InstanceType": [worker["InstanceType"] for worker in workers],
        "ec2:MetadataHttpTokens": "required",
    }
    (profile,) = {worker["IamInstanceProfile"]["Name"] for worker in workers}
    assert instance["ArnLike"] == {"ec2:InstanceProfile": f"arn:aws:iam::*:instance-profile/{profile}"}
    assert conditions["arn:aws:ec2:*:*:volume/*"] == {"Bool": {"ec2:Encrypted": "true"}}
    own = {"StringEquals": {"aws:ResourceTag/ray-cluster-name": cluster["cluster_name"]}}
    assert conditions["arn:aws:ec2:*:*:security-group/*"] == own
    (image,) = {worker["ImageId"] for worker in workers}
    assert ("ssm:GetParameters", f"arn:aws:ssm:*::parameter{image.removeprefix('resolve:ssm:')}", {}) in grants(
        "autoscaler"
    )


def test_the_head_may_end_and_tag_the_workers_of_its_cluster_only_and_pass_on_one_role() -> None:
    granted = {(action, resource): condition for action, resource, condition in grants("autoscaler")}
    assert granted["ec2:TerminateInstances", "arn:aws:ec2:*:*:instance/*"]["StringEquals"] == {
        "aws:ResourceTag/ray-cluster-name": "artifactscan",
        "aws:ResourceTag/ray-node-type": "worker",
    }
    assert granted["iam:PassRole", "arn:aws:iam::*:role/artifactscan-worker"] == {
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}
    }
    tagging = [condition["StringEquals"] for action, _, condition in grants("autoscaler") if action == "ec2:CreateTags"]
    assert tagging == [
        {"aws:RequestTag/ray-cluster-name": "artifactscan", "ec2:CreateAction": "RunInstances"},
        {"aws:ResourceTag/ray-cluster-name": "artifactscan"},
    ]
