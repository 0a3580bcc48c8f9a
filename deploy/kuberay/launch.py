"""Creates the RayJob of one night, waits for its end, and exits with the audit's own code.

    python launch.py rayjob.yaml

Runs in the pod of cronjob.yaml, whose Job names itself in JOB_NAME and JOB_UID. Where an earlier pod of the same Job
left a RayJob, it is waited for rather than a second one started; the RayJob goes when its Job is deleted.

Exit codes are those of jobs/audit.py: 0 pass, 1 the policy says fail, 2 wrong usage (of Kubernetes too), 4 the scorer
moved; 3 cut off, which is also the answer where the cluster was lost, the time was up or the audit was killed.
"""

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

EXIT_PASS, EXIT_USAGE, EXIT_CUT_OFF = 0, 2, 3
AUDIT_CODES = range(5)
JOB_LABEL = "batch.kubernetes.io/job-name"
IDENTITY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "https://kubernetes.default.svc"
TIMEOUT_S = 30.0
POLL_S = 15.0
LATER = (404, 408, 409, 429)
"""Of Kubernetes' 4xx answers, those that a later try need not get."""

_FAILED = re.compile(r"Job entrypoint command failed with exit code (\d+)\b")  # so Ray's job supervisor says it


@dataclass(frozen=True)
class RayJobs:
    """The RayJobs of a namespace, through the Kubernetes API with the pod's own identity."""

    server: str = SERVER
    identity: Path = IDENTITY

    def of_job(self, job: str) -> list[dict[str, Any]]:
        """Those that carry the label of the Job ``job``."""
        return self._ask("GET", params={"labelSelector": f"{JOB_LABEL}={job}"})["items"]

    def create(self, rayjob: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", json=rayjob)

    def read(self, name: str) -> dict[str, Any]:
        return self._ask("GET", f"/{name}")

    def _ask(self, method: str, path: str = "", **request: Any) -> dict[str, Any]:
        namespace, token = (self.identity.joinpath(name).read_text().strip() for name in ("namespace", "token"))
        response = requests.request(
            method,
            f"{self.server}/apis/ray.io/v1/namespaces/{namespace}/rayjobs{path}",
            headers={"Authorization": f"Bearer {token}"},
            verify=str(self.identity / "ca.crt"),
            timeout=TIMEOUT_S,
            **request,
        )
        response.raise_for_status()
        return response.json()


def launch(
    rayjobs: RayJobs,
    template: dict[str, Any],
    *,
    job: str,
    job_uid: str,
    poll_s: float = POLL_S,
) -> int:
    """Has one RayJob run to its end for the Job ``job`` and returns the audit's exit code.

    One that continues a night that was cut off waits for the lease of that night to become void.
    """
    started = max(rayjobs.of_job(job), key=lambda rayjob: rayjob["metadata"]["creationTimestamp"], default=None)
    if started is None or exit_code(started) == EXIT_CUT_OFF:
        started = rayjobs.create(_owned(template, job, job_uid))
    return _wait(rayjobs, started, poll_s)


def exit_code(rayjob: dict[str, Any]) -> int | None:
    """The audit's exit code, from the status that KubeRay keeps; None while it runs."""
    status = rayjob.get("status", {})
    ended = status.get("jobDeploymentStatus")
    if ended == "ValidationFailed":
        return EXIT_USAGE
    if ended not in ("Complete", "Failed"):
        return None
    if status.get("jobStatus") == "SUCCEEDED":
        return EXIT_PASS
    said = _FAILED.match(status.get("message", ""))
    return int(said[1]) if said and int(said[1]) in AUDIT_CODES else EXIT_CUT_OFF


def _owned(template: dict[str, Any], job: str, job_uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job_uid}
    metadata = {"generateName": f"{job}-", "labels": {JOB_LABEL: job}, "ownerReferences": [owner]}
    return {**template, "metadata": {**template.get("metadata", {}), **metadata}}


def _wait(rayjobs: RayJobs, rayjob: dict[str, Any], poll_s: float) -> int:
    name, seen = rayjob["metadata"]["name"], None
    while (code := exit_code(rayjob)) is None:
        if (now := rayjob.get("status", {}).get("jobDeploymentStatus")) != seen:
            print(f"RayJob {name}: {now}", flush=True)
            seen = now
        time.sleep(poll_s)
        try:
            rayjob = rayjobs.read(name)
        except requests.RequestException as error:
            if error.response is not None and 400 <= error.response.status_code < 500:
                raise  # deleted, or no longer ours to read; all else may pass, and the Job has a deadline
            print(f"RayJob {name}: the Kubernetes API does not answer ({type(error).__name__})", flush=True)
    status = rayjob["status"]
    print(f"RayJob {name}: {status.get('reason') or status['jobDeploymentStatus']}, code {code}", flush=True)
    print(status.get("message", ""), flush=True)
    return code


def _refused(error: requests.RequestException) -> int:
    """Says what Kubernetes answered and returns the exit code for it."""
    if error.response is None:
        print(f"error: the Kubernetes API cannot be reached ({type(error).__name__})", file=sys.stderr)
        return EXIT_CUT_OFF
    status, body = error.response.status_code, error.response.text
    print(f"error: the Kubernetes API answered {status} to {error.response.request.method}: {body}", file=sys.stderr)
    return EXIT_USAGE if 400 <= status < 500 and status not in LATER else EXIT_CUT_OFF


def main(arguments: list[str], rayjobs: RayJobs | None = None, *, poll_s: float = POLL_S) -> int:
    """Runs the launcher and returns its exit code."""
    try:
        template = yaml.safe_load(Path(arguments[0]).read_text())
        job, job_uid = os.environ["JOB_NAME"], os.environ["JOB_UID"]
    except (IndexError, KeyError, OSError, yaml.YAMLError) as error:
        print(f"error: usage: JOB_NAME=… JOB_UID=… launch.py rayjob.yaml ({error!r})", file=sys.stderr)
        return EXIT_USAGE
    try:
        return launch(rayjobs or RayJobs(), template, job=job, job_uid=job_uid, poll_s=poll_s)
    except requests.RequestException as error:
        return _refused(error)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_CUT_OFF))  # as PID 1 it would otherwise be ignored
    sys.exit(main(sys.argv[1:]))
