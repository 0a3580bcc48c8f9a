"""`ray up` of cluster.yaml against EC2 and IAM on loopback: what it asked of them and of the head; and the policies."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from paths import ROOT
from s3_server import S3Server

CLUSTER = ROOT / "cluster.yaml"
UP_S = 120.0
IMAGE_ENV = '["HOME=/home/ray"]'

_SSH = f"""#!/bin/sh
printf '%s\\n' "$*" >> "$SENT/commands"
case "$*" in
  *Config.Env*) echo '{IMAGE_ENV}' ;;
  *printenv*) echo /home/ray ;;
  *'command -v docker'*) echo docker ;;
esac
"""
_RSYNC = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
cp -p "$1" "$SENT/$(basename "$2")"
"""


@dataclass(frozen=True, kw_only=True)
class Up:
    """What one `ray up` did."""

    home: Path
    """Where it ran: the laptop's home."""
    sent: Path
    """The files that the head got, by name."""
    commands: list[str]
    """The commands that the head was given, in order."""
    requests: list[dict[str, str]]
    """What EC2 was asked, in order: Action and parameters."""


def ray_up(server: S3Server, folder: Path) -> Up:
    """Runs `ray up -y cluster.yaml` as it lies; instead of ssh and rsync, two scripts note what a head would get.

    A head on moto has no machine behind it, and its address belongs to somebody else.
    """
    home, sent, scripts = folder / "home", folder / "sent", folder / "bin"
    for path in (home / ".ray", sent, scripts):
        path.mkdir(parents=True)
    token = home / ".ray/auth_token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    for name, text in {"ssh": _SSH, "rsync": _RSYNC}.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o700)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    env |= server.env | {"HOME": str(home), "TMPDIR": str(folder), "SENT": str(sent)}
    env["PATH"] = f"{scripts}{os.pathsep}{env['PATH']}"
    server.faults.requests.clear()
    command = [str(Path(sys.executable).parent / "ray"), "up", "--yes", "--no-config-cache", str(CLUSTER)]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=UP_S)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    commands = [remote(line) for line in (sent / "commands").read_text().splitlines()]
    return Up(home=home, sent=sent, commands=commands, requests=asked(server))


def asked(server: S3Server) -> list[dict[str, str]]:
    """What the server was asked in forms so far: Action and parameters."""
    return [{name: values[0] for name, values in request.form.items()} for request in server.faults.requests]


def remote(line: str) -> str:
    """The command inside the shells in which Ray wraps it, one for the machine and one for the container."""
    while wrapped := re.fullmatch(r".*?bash --login -c -i (.+)", line):
        (script,) = shlex.split(wrapped[1])
        line = re.fullmatch(r"source ~/\.bashrc; export \S+ \S+ && \((.*)\)", script)[1]  # type: ignore[index]
        if container := re.fullmatch(r"docker exec -it  ray /bin/bash -c (.+) ", line):
            line = shlex.split(container[1])[0]
    return line


def iam_commands() -> Iterator[tuple[str, dict[str, str]]]:
    """Operation and options of deploy/README.md's `aws iam` lines, files read."""
    for line in re.findall(r"^    aws iam (.+)$", (ROOT / "deploy/README.md").read_text(), re.MULTILINE):
        operation, *options = shlex.split(line, comments=True)
        values = dict(zip(options[::2], options[1::2], strict=True))
        yield operation.replace("-", "_"), {camel(flag): content(value) for flag, value in values.items()}


def camel(flag: str) -> str:
    name = "".join(word.capitalize() for word in flag.removeprefix("--").split("-"))
    return name.replace("Aws", "AWS")


def content(value: str) -> str:
    return (ROOT / value.removeprefix("file://")).read_text() if value.startswith("file://") else value


def client(server: S3Server, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=server.endpoint, **keys)


def make_roles(server: S3Server) -> None:
    """Does what the README says is done once per account."""
    iam = client(server, "iam")
    for operation, options in iam_commands():
        getattr(iam, operation)(**options)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def head_config(up: Up) -> dict[str, Any]:
    """The file from which the head's autoscaler works."""
    return json.loads((up.sent / "ray_bootstrap_config.yaml").read_text())


def statements(name: str) -> list[dict[str, Any]]:
    document = json.loads((ROOT / f"deploy/aws/{name}-policy.json").read_text())
    assert document["Version"] == "2012-10-17"
    return document["Statement"]


def each(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def grants(name: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Action, resource and condition of whatever the policy ``name`` allows."""
    for statement in statements(name):
        assert statement["Effect"] == "Allow"
        for action in each(statement["Action"]):
            for resource in each(statement["Resource"]):
                yield action, resource, statement.get("Condition", {})


def actions(name: str) -> set[str]:
    return {action for action, *_ in grants(name)}
