"""The launcher of the night's RayJob, against a Kubernetes API on loopback."""

import importlib.util
import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kuberay import KUBERAY, check_rayjob
from ray.dashboard.modules.job.job_supervisor import JobSupervisor

from artifactscan.audit.night import EXIT_FAIL, EXIT_SCORER_MOVED
from artifactscan.cli.exit_codes import EXIT_LEDGER, EXIT_OK, EXIT_USAGE

spec = importlib.util.spec_from_file_location("launch", KUBERAY / "launch.py")
assert spec is not None and spec.loader is not None
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)

NAMESPACE, TOKEN, JOB, UID = "artifactscan", "pods-own-token", "artifactscan-audit-29731427", "1234-5678"
COLLECTION = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs"
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
PASSED = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED", "message": "Job finished successfully."}


def failed(code: int) -> dict[str, str]:
    """The status that KubeRay keeps of a Ray job whose command ended with ``code``; the message is Ray's."""
    said = f"Job entrypoint command failed with exit code {code}, last available logs (truncated to 20,000 chars):\n…"
    return {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": said}


def lost(reason: str) -> dict[str, str]:
    return {"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING", "reason": reason, "message": "…"}


@dataclass
class Kubernetes:
    """RayJobs as an API server on loopback has them; each status in ``fates`` is what the next look finds."""

    url: str = ""
    fates: list[dict[str, str] | int] = field(default_factory=list)
    """A status, or an HTTP status to answer with instead."""
    rayjobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses_to_create: int = 0
    created: int = 0

    def add(self, status: dict[str, str], job: str = JOB) -> None:
        self.create({"metadata": {"generateName": f"{job}-", "labels": {launch.JOB_LABEL: job}}})
        self.rayjobs[f"{job}-{self.created}"]["status"] = status

    def create(self, rayjob: dict[str, Any]) -> dict[str, Any]:
        self.created += 1
        name = f"{rayjob['metadata']['generateName']}{self.created}"
        made = {"name": name, "creationTimestamp": f"2026-11-26T03:{self.created:02d}:00Z"}
        self.rayjobs[name] = {**rayjob, "metadata": {**rayjob["metadata"], **made}}
        return self.rayjobs[name]


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    state = Kubernetes()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.answer(401, {"message": "Unauthorized"})
            elif url.path == COLLECTION:
                (selector,) = parse_qs(url.query)["labelSelector"]
                label, _, value = selector.partition("=")
                items = [one for one in state.rayjobs.values() if one["metadata"]["labels"].get(label) == value]
                self.answer(200, {"items": items})
            else:
                rayjob = state.rayjobs[url.path.removeprefix(f"{COLLECTION}/")]
                fate = state.fates.pop(0)
                if isinstance(fate, int):
                    self.answer(fate, {"message": "not now"})
                else:
                    self.answer(200, {**rayjob, "status": fate})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if state.refuses_to_create:
                self.answer(state.refuses_to_create, {"message": "rayjobs.ray.io is forbidden"})
            else:
                self.answer(201, state.create(body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    for name, content in {"namespace": NAMESPACE, "token": f"{TOKEN}\n", "ca.crt": ""}.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("JOB_NAME", JOB)
    monkeypatch.setenv("JOB_UID", UID)
    rayjobs = launch.RayJobs(kubernetes.url, tmp_path)
    return lambda: launch.main([str(KUBERAY / "rayjob.yaml")], rayjobs, poll_s=0.01)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (PASSED, EXIT_OK),
        (failed(1), EXIT_FAIL),
        (failed(2), EXIT_USAGE),
        (failed(3), EXIT_LEDGER),
        (failed(4), EXIT_SCORER_MOVED),
        (failed(137), EXIT_LEDGER),
        (failed(13), EXIT_LEDGER),
        (lost("DeadlineExceeded"), EXIT_LEDGER),
        (lost("PreRunningDeadlineExceeded"), EXIT_LEDGER),
        (lost("SubmissionFailed"), EXIT_LEDGER),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, EXIT_LEDGER),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "…"}, EXIT_USAGE),
    ],
)
def test_it_exits_with_the_audits_code(
    end: dict[str, str], code: int, kubernetes: Kubernetes, run: Callable[[], int]
) -> None:
    kubernetes.fates = [{}, {"jobDeploymentStatus": "Initializing"}, RUNNING, RUNNING, end]
    assert run() == code
    assert kubernetes.created == 1
    assert kubernetes.fates == []


def test_the_rayjob_belongs_to_the_job_and_is_what_kuberay_takes(
    kubernetes: Kubernetes, run: Callable[[], int]
) -> None:
    kubernetes.fates = [PASSED]
    run()
    (rayjob,) = kubernetes.rayjobs.values()
    del rayjob["metadata"]["creationTimestamp"]
    check_rayjob(rayjob)
    assert rayjob["spec"] == yaml.safe_load((KUBERAY / "rayjob.yaml").read_text())["spec"]
    assert rayjob["metadata"]["ownerReferences"] == [{"apiVersion": "batch/v1", "kind": "Job", "name": JOB, "uid": UID}]


def test_a_rayjob_that_an_earlier_pod_left_running_is_waited_for(
    kubernetes: Kubernetes, run: Callable[[], int]
) -> None:
    kubernetes.add(RUNNING)
    kubernetes.fates = [RUNNING, failed(4)]
    assert run() == EXIT_SCORER_MOVED
    assert kubernetes.created == 1


def test_a_verdict_that_an_earlier_pod_did_not_report_is_not_asked_for_again(
    kubernetes: Kubernetes, run: Callable[[], int]
) -> None:
    kubernetes.add(failed(1))
    assert run() == EXIT_FAIL
    assert kubernetes.created == 1


def test_a_night_that_was_cut_off_is_continued_by_another_rayjob(
    kubernetes: Kubernetes, run: Callable[[], int]
) -> None:
    kubernetes.add(lost("DeadlineExceeded"))
    kubernetes.fates = [RUNNING, PASSED]
    assert run() == EXIT_OK
    assert kubernetes.created == 2


def test_rayjobs_of_other_nights_do_not_count(kubernetes: Kubernetes, run: Callable[[], int]) -> None:
    kubernetes.add(failed(1), job="artifactscan-audit-29729987")
    kubernetes.fates = [PASSED]
    assert run() == EXIT_OK


def test_an_api_server_that_is_away_for_a_while_ends_nothing(
    kubernetes: Kubernetes, run: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.fates = [RUNNING, 503, 500, PASSED]
    assert run() == EXIT_OK
    assert capsys.readouterr().out.count("does not answer (HTTPError)") == 2


def test_a_rayjob_that_was_deleted_is_cut_off(kubernetes: Kubernetes, run: Callable[[], int]) -> None:
    kubernetes.fates = [RUNNING, 404]
    assert run() == EXIT_LEDGER


@pytest.mark.parametrize(("status", "code"), [(403, EXIT_USAGE), (422, EXIT_USAGE), (429, EXIT_LEDGER), (500, 3)])
def test_what_kubernetes_refuses_is_wrong_usage_and_what_it_cannot_do_now_is_not(
    status: int, code: int, kubernetes: Kubernetes, run: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.refuses_to_create = status
    assert run() == code
    said = capsys.readouterr().err
    assert said.startswith(f"error: the Kubernetes API answered {status} to POST: ")
    assert "rayjobs.ray.io is forbidden" in said
    assert TOKEN not in said


def test_an_api_server_that_cannot_be_reached_is_not_wrong_usage(
    kubernetes: Kubernetes, tmp_path: Path, run: Callable[[], int]
) -> None:
    gone = launch.RayJobs("http://127.0.0.1:1", tmp_path)
    assert launch.main([str(KUBERAY / "rayjob.yaml")], gone) == EXIT_LEDGER


def test_without_a_job_it_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_NAME", raising=False)
    assert launch.main([str(KUBERAY / "rayjob.yaml")]) == EXIT_USAGE
    assert launch.main([]) == EXIT_USAGE


def test_ray_says_the_exit_code_where_the_launcher_looks() -> None:
    source = inspect.getsource(JobSupervisor)
    said = re.findall(r'"Job entrypoint command "\s+f"failed with exit code \{return_code\}[,.]', source)
    assert len(said) == 2, "this Ray words it differently: mend _FAILED in deploy/kuberay/launch.py"


@given(st.text())
def test_what_a_log_says_is_no_exit_code(log: str) -> None:
    status = {**failed(137), "message": f"{log} Job entrypoint command failed with exit code 1"}
    assert launch.exit_code({"status": status}) == EXIT_LEDGER
