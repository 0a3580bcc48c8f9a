"""The KubeRay manifests of deploy/, and what checks them."""

import json
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from paths import ROOT

DEPLOY = ROOT / "deploy"
KUBERAY = DEPLOY / "kuberay"
RAYJOB_SCHEMA = json.loads((ROOT / "tests/data/rayjob.schema.json").read_text())
KUBERNETES = ("1.31", kubernetes_validate.latest_version().rpartition(".")[0])
"""1.31 is the first where podFailurePolicy is stable."""
Resource = dict[str, Any]


def resources(name: str) -> list[Resource]:
    return list(yaml.safe_load_all((KUBERAY / name).read_text()))


def ray_job() -> Resource:
    (rayjob,) = resources("rayjob.yaml")
    return rayjob


def ray_templates(rayjob: Resource) -> dict[str, Resource]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    head = cluster["headGroupSpec"]["template"]
    return {"submitter": rayjob["spec"]["submitterPodTemplate"], "head": head, **workers}


def check_rayjob(rayjob: Resource) -> None:
    """ValidationError where KubeRay would not take ``rayjob``, as far as deploy/ uses it, or Kubernetes its pods."""
    jsonschema.validate(rayjob, RAYJOB_SCHEMA, jsonschema.Draft202012Validator)
    for name, template in ray_templates(rayjob).items():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template}
        for version in KUBERNETES:
            kubernetes_validate.validate(pod, version, strict=True)
