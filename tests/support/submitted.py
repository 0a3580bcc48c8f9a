"""A job submitted to a cluster of this machine by `ray job submit`, from the repository's root."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from nodes import ROOT, Nodes

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class SubmittedJob:
    """A job with ``arguments`` and its own id, on ``nodes`` with a dashboard."""

    def __init__(self, nodes: Nodes, id: str, *arguments: str, name: str = "score.py"):
        self.server = f"http://127.0.0.1:{nodes.dashboard_port}"
        self.env = {key: value for key, value in nodes.env.items() if key != "RAY_ADDRESS"}
        self.python, self.id, self.arguments = nodes.python, id, arguments
        command = ("--no-wait", "--working-dir", ".", "--", "python", f"jobs/{name}", *arguments)
        self._ray("submit", "--submission-id", id, *command)

    def _ray(self, verb: str, *words: str) -> str:
        command = [self.python, "-m", "ray.scripts.scripts", "job", verb, "--address", self.server, *words]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=True).stdout

    def logs(self) -> str:
        return self._ray("logs", self.id)

    def stop(self) -> None:
        self._ray("stop", self.id)

    def said(self) -> str:
        """Its log so far, without starting a process for `ray job logs`."""
        return self._get("/logs")["logs"]

    def details(self) -> dict[str, Any]:
        return self._get("")

    def _get(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.server}/api/jobs/{self.id}{path}")
        request.add_header("Authorization", f"Bearer {self.env['RAY_AUTH_TOKEN']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 240) -> Any:
        """The first true value of ``condition``."""
        end = time.monotonic() + timeout_s
        while not (met := condition()):
            assert time.monotonic() < end, self.logs()
            time.sleep(0.3)
        return met

    def end(self, timeout_s: float = 240) -> str:
        """Waits for its end and returns its state."""
        return self.wait_for(lambda: status if (status := self.details()["status"]) in ENDED else None, timeout_s)
