"""The files in deploy/: each against its schema, and all of them in agreement."""

import copy
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from cronsim import CronSim
from crontab import CronItem, CronTab
from kuberay import DEPLOY, KUBERAY, KUBERNETES, Resource, check_rayjob, ray_job, ray_templates, resources
from paths import ROOT

from artifactscan import __version__
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.settings import AuditSettings
from artifactscan.cli.exit_codes import EXIT_LEDGER, EXIT_USAGE
from artifactscan.cli.flags import parse_settings

HOME = "/opt/artifactscan"
JOB = f"{HOME}/jobs/audit.py"
TRY_S, NIGHT_S = 7 * 3600, 24 * 3600

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def unit(name: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment]  # systemd's keys have capitals
    parser.read(DEPLOY / "systemd" / f"artifactscan-audit.{name}")
    return parser


def cron_line() -> CronItem:
    (line,) = CronTab(tabfile=str(DEPLOY / "crontab"), user=False)
    return line


def cron_job() -> Resource:
    (cronjob,) = resources("cronjob.yaml")
    return cronjob


def commands() -> dict[str, list[str]]:
    """The words of every file's command."""
    return {
        "crontab": shlex.split(cron_line().command),
        "service": shlex.split(unit("service")["Service"]["ExecStart"]),
        "rayjob": shlex.split(ray_job()["spec"]["entrypoint"]),
    }


def launcher_template() -> Resource:
    return cron_job()["spec"]["jobTemplate"]["spec"]["template"]


def renamed(resource: Any, path: tuple[str | int, ...]) -> Any:
    """A copy in which the field at ``path`` has another name."""
    changed = copy.deepcopy(resource)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[f"{path[-1]}s"] = parent.pop(path[-1])
    return changed


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", ["cronjob.yaml", "access.yaml"])
def test_kubernetes_takes_the_manifests(name: str, version: str) -> None:
    for resource in resources(name):
        assert kubernetes_validate.validate(resource, version, strict=True) == version


def test_kuberay_takes_the_rayjob() -> None:
    check_rayjob(ray_job())


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "activeDeadlineSeconds"),
        ("spec", "rayClusterSpec", "authOptions"),
        ("spec", "rayClusterSpec", "authOptions", "mode"),
        ("spec", "rayClusterSpec", "headGroupSpec", "serviceType"),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "groupName"),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 1, "template", "spec", "automountServiceAccountToken"),
        ("spec", "submitterPodTemplate", "spec", "containers", 0, "securityContext", "capabilities"),
    ],
)
def test_a_misspelt_field_of_the_rayjob_is_found(path: tuple[str | int, ...]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_rayjob(renamed(ray_job(), path))


def test_a_misspelt_field_of_the_cronjob_is_found() -> None:
    cronjob = renamed(cron_job(), ("spec", "jobTemplate", "spec", "podFailurePolicy"))
    with pytest.raises(jsonschema.ValidationError):
        kubernetes_validate.validate(cronjob, KUBERNETES[-1], strict=True)


@needs_systemd
@pytest.mark.parametrize("name", ["service", "timer"])
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    for kind in ("service", "timer"):
        text = (DEPLOY / "systemd" / f"artifactscan-audit.{kind}").read_text()
        text = text.replace(f"{HOME}/.venv/bin/python", sys.executable)  # verify wants a program that is there
        (tmp_path / f"artifactscan-audit.{kind}").write_text(text)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / f"artifactscan-audit.{name}")]
    verified = subprocess.run(command, capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
def test_the_service_has_few_rights() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager"]
    rated = subprocess.run(
        [*command, str(DEPLOY / "systemd/artifactscan-audit.service")], capture_output=True, text=True
    )
    assert rated.returncode == 0, rated.stdout[-300:]
    assert unit("service")["Service"]["User"] == "artifactscan"


def test_cron_takes_the_line() -> None:
    line = cron_line()
    assert line.is_valid()
    assert line.is_enabled()
    assert line.user == "artifactscan"
    assert "%" not in str(line.command), "cron ends the command there"


@needs_kubectl
def test_kustomize_puts_the_rayjob_into_what_the_launcher_mounts() -> None:
    command = ["kubectl", "kustomize", str(KUBERAY)]
    rendered = list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    for resource in rendered:
        kubernetes_validate.validate(resource, KUBERNETES[-1], strict=True)
    by_kind = {resource["kind"]: resource for resource in rendered}
    assert by_kind["ConfigMap"]["data"] == {"rayjob.yaml": (KUBERAY / "rayjob.yaml").read_text()}
    pod = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [volume["configMap"]["name"] for volume in pod["volumes"]] == [by_kind["ConfigMap"]["metadata"]["name"]]
    assert by_kind["RoleBinding"]["subjects"][0]["namespace"] == by_kind["Namespace"]["metadata"]["name"]


def test_all_files_run_one_command_that_the_audit_understands() -> None:
    flags = []
    for name, words in commands().items():
        assert words.count(JOB) == 1, name
        flags.append(words[words.index(JOB) + 1 :])
    assert flags[1:] == flags[:-1]
    assert (ROOT / Path(JOB).relative_to(HOME)).is_file()
    assert parse_settings(AuditSettings, flags[0], description="") == AuditSettings(
        corpus="s3://bucket/videos/", store="s3://bucket/audit/"
    )


def test_the_rayjobs_command_survives_a_shell_that_does_not_quote() -> None:
    entrypoint = ray_job()["spec"]["entrypoint"]
    assert re.fullmatch(r"[\w./:=@ -]+", entrypoint)


def calendar(expression: str) -> str:
    """What ``expression`` of systemd means in cron's five fields, once a day."""
    hour, minute = re.fullmatch(r"\*-\*-\* (\d\d):(\d\d):00 UTC", expression).groups()  # type: ignore[union-attr]
    return f"{int(minute)} {int(hour)} * * *"


def test_all_files_run_it_once_a_night_at_one_time() -> None:
    schedule = cron_job()["spec"]["schedule"]
    assert str(cron_line().slices) == schedule
    assert calendar(unit("timer")["Timer"]["OnCalendar"]) == schedule
    assert cron_job()["spec"]["timeZone"] == "Etc/UTC"
    nights = CronSim(schedule, datetime(2026, 12, 30, tzinfo=UTC))
    first, second = next(nights), next(nights)
    assert (second - first).total_seconds() == NIGHT_S


@needs_systemd
def test_systemd_reads_the_time_as_cron_does() -> None:
    expression = unit("timer")["Timer"]["OnCalendar"]
    command = ["systemd-analyze", "calendar", "--base-time=2026-12-30 00:00:00 UTC", expression]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}).stdout
    elapse = next(CronSim(cron_job()["spec"]["schedule"], datetime(2026, 12, 30, tzinfo=UTC)))
    assert f"{elapse:%Y-%m-%d %H:%M:%S} UTC" in said


def seconds(span: str) -> int:
    amount, suffix = re.fullmatch(r"(\d+)(h|min|m)", span).groups()  # type: ignore[union-attr]
    return int(amount) * (3600 if suffix == "h" else 60)


def test_time_limits_agree_and_end_before_the_next_night() -> None:
    job, service = cron_job()["spec"]["jobTemplate"]["spec"], unit("service")
    words = commands()["crontab"]
    assert seconds(words[words.index("timeout") + 3]) == TRY_S
    assert seconds(service["Service"]["RuntimeMaxSec"]) == TRY_S
    assert ray_job()["spec"]["activeDeadlineSeconds"] == TRY_S
    tries = int(service["Unit"]["StartLimitBurst"])
    assert tries == 1 + job["backoffLimit"]
    between = tries * (seconds(service["Service"]["RestartSec"]) + seconds(service["Service"]["TimeoutStopSec"]))
    assert tries * TRY_S + between < seconds(service["Unit"]["StartLimitIntervalSec"]) < NIGHT_S
    assert tries * TRY_S < job["activeDeadlineSeconds"] < NIGHT_S


def test_only_a_cut_off_is_tried_again() -> None:
    final = [EXIT_FAIL, EXIT_USAGE, EXIT_SCORER_MOVED]
    job, service = cron_job()["spec"]["jobTemplate"]["spec"], unit("service")["Service"]
    fail, ignore = job["podFailurePolicy"]["rules"]
    (container,) = job["template"]["spec"]["containers"]
    assert fail == {
        "action": "FailJob",
        "onExitCodes": {"containerName": container["name"], "operator": "In", "values": final},
    }
    assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert job["template"]["spec"]["restartPolicy"] == "Never", "a pod failure policy needs it"
    assert (service["Restart"], service["RestartForceExitStatus"]) == ("on-abnormal", str(EXIT_LEDGER))
    assert service["Type"] == "exec", "oneshot knows neither RuntimeMaxSec nor RestartForceExitStatus"
    assert ray_job()["spec"]["backoffLimit"] == 0


def test_nights_do_not_overlap() -> None:
    assert cron_job()["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_readme_lists_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d) \|", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    assert list(map(int, codes)) == [EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_LEDGER, EXIT_SCORER_MOVED]


def locked(package: str) -> str:
    return re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]  # type: ignore[index]


def test_image_and_ray_are_those_of_the_lock() -> None:
    python = re.search(r"--python-version (\d)\.(\d+)", (ROOT / "Makefile").read_text())
    assert python is not None
    tag = f"{locked('ray')}-py{python[1]}{python[2]}"
    image = f"artifactscan:{__version__}-ray{tag}"
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE) == [f"rayproject/ray:{tag}"]
    assert f"-t {image} ." in dockerfile
    assert f"-t {image} ." in (DEPLOY / "README.md").read_text()
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == locked("ray")
    templates = [launcher_template(), *ray_templates(ray_job()).values()]
    assert {container["image"] for template in templates for container in template["spec"]["containers"]} == {image}


def test_the_image_holds_what_is_run_in_it() -> None:
    copied = re.findall(r"^COPY (\S+) ", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert [path for path in copied if not (ROOT / path).exists()] == []
    ignored, *kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert ignored == "*"
    assert {f"!{path}" for path in copied} == {line for line in kept if line.startswith("!")}
    launched = launcher_template()["spec"]["containers"][0]["command"][1]
    for path in (JOB, launched):
        assert any(Path(path).relative_to(HOME).is_relative_to(parent) for parent in copied)


@pytest.mark.parametrize("name", ["launcher", "submitter", "head", "decode", "classify"])
def test_pods_have_no_rights_and_stated_resources(name: str) -> None:
    spec = {"launcher": launcher_template(), **ray_templates(ray_job())}[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is (name == "launcher")
    (container,) = spec["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]


def test_the_launcher_may_only_start_and_watch_rayjobs() -> None:
    (role,) = (resource for resource in resources("access.yaml") if resource["kind"] == "Role")
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get", "list"]}]


def test_the_head_does_not_work_and_gpus_have_a_group_of_their_own() -> None:
    cluster = ray_job()["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    gpus = {
        name: template["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for name, template in ray_templates(ray_job()).items()
    }
    assert gpus == {"submitter": None, "head": None, "decode": None, "classify": "1"}
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"] > 0


def test_ray_asks_for_a_token_everywhere() -> None:
    assert ray_job()["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH_MODE=token" in unit("service")["Service"]["Environment"].split()
    assert "RAY_AUTH_MODE=token" in (DEPLOY / "crontab").read_text().splitlines()


def test_the_dashboard_is_not_public() -> None:
    head = ray_job()["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert (head["serviceType"], head["enableIngress"]) == ("ClusterIP", False)
    (policy,) = (resource for resource in resources("access.yaml") if resource["kind"] == "NetworkPolicy")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for template in ray_templates(ray_job()).values():
        assert labels.items() <= template["metadata"]["labels"].items()
    itself, operator = policy["spec"]["ingress"]
    assert itself == {"from": [{"podSelector": {"matchLabels": labels}}]}
    assert [port["port"] for port in operator["ports"]] == [8265]


def environments() -> Iterator[tuple[str, Resource]]:
    for name, template in {"launcher": launcher_template(), **ray_templates(ray_job())}.items():
        yield from ((name, variable) for variable in template["spec"]["containers"][0].get("env", []))


def test_secrets_come_from_secrets_and_reach_only_who_needs_them() -> None:
    assert all("valueFrom" in variable for _, variable in environments())
    for secret in ("ARTIFACTSCAN_WEBHOOK", "ARTIFACTSCAN_SMTP"):
        assert [name for name, variable in environments() if variable["name"] == secret] == ["head"]
    sources = {
        name: [source["secretRef"]["name"] for source in template["spec"]["containers"][0].get("envFrom", [])]
        for name, template in ray_templates(ray_job()).items()
    }
    storage = ["artifactscan-storage"]
    assert sources == {"submitter": [], "head": storage, "decode": storage, "classify": storage}
    assert unit("service")["Service"]["EnvironmentFile"] == "/etc/artifactscan/audit.env"
    example = (DEPLOY / "audit.env.example").read_text().splitlines()
    assert all(line.startswith("#") or line.endswith('=""') for line in example)


@pytest.mark.parametrize("code", [EXIT_PASS, EXIT_FAIL, EXIT_LEDGER])
def test_crons_line_hands_on_secrets_and_the_exit_code(code: int, tmp_path: Path) -> None:
    python, secrets = tmp_path / "python", tmp_path / "audit.env"
    python.write_text(f'#!/bin/sh\necho "$ARTIFACTSCAN_WEBHOOK" "$@"\nexit {code}\n')
    python.chmod(0o700)
    secrets.write_text('ARTIFACTSCAN_WEBHOOK="https://example.com/?a=1&b=2"\n')
    line = str(cron_line().command).replace(f"{HOME}/.venv/bin/python", str(python))
    line = line.replace("/etc/artifactscan/audit.env", str(secrets))
    ran = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True)
    assert ran.returncode == code
    assert ran.stdout == (
        f"https://example.com/?a=1&b=2 {JOB} --corpus s3://bucket/videos/ --store s3://bucket/audit/\n"
    )
