"""The part of MLflow's REST API that runs are logged by, on loopback and in memory, with faults for single runs.

with mlflow_stub() as server:
    server.refuse("audit one", 400)             # every request that writes this run
    server.refuse("audit one", 403, to="delete")
    server.runs                                 # those that were not deleted
    server.down = True                          # 503 to all
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from loopback import QuietHandler, serving

_CODES = {400: "INVALID_PARAMETER_VALUE", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST"}


@dataclass
class StubRun:
    id: str
    name: str
    tags: dict[str, str]
    status: str = "RUNNING"
    deleted: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        info = {"run_id": self.id, "run_uuid": self.id, "run_name": self.name, "status": self.status}
        info |= {"experiment_id": "1", "start_time": 1, "lifecycle_stage": "active", "artifact_uri": "x"}
        data = {"tags": self.tags, "metrics": self.metrics, "params": self.params}
        return {"info": info, "data": {kind: _as_list(values) for kind, values in data.items()}}


def _as_list(values: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value": value} for key, value in values.items()]


@dataclass
class StubServer:
    url: str = ""
    down: bool = False
    every_run: list[StubRun] = field(default_factory=list)
    faults: dict[tuple[str, str], int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """The last words of their paths."""

    @property
    def runs(self) -> list[StubRun]:
        return [run for run in self.every_run if not run.deleted]

    def refuse(self, run_name: str, status: int, *, to: str = "create") -> None:
        self.faults[run_name, to] = status

    def answer(self, action: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and content for one request."""
        if self.down:
            return 503, {}
        if action == "get-by-name":
            return 200, {"experiment": {"experiment_id": "1", "name": "nightly", "lifecycle_stage": "active"}}
        if action == "search":
            return 200, {"runs": [run.as_json() for run in self.runs]}
        run = next((run for run in self.every_run if run.id == asked.get("run_id")), None)
        name = run.name if run else asked["run_name"]
        if status := self.faults.get((name, action)):
            return status, {"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": f"no {action} of {name}"}
        if run is None:
            tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
            run = StubRun(f"{len(self.every_run):032x}", name, tags)
            self.every_run.append(run)
        elif action == "log-batch":
            run.metrics |= {one["key"]: one["value"] for one in asked.get("metrics", ())}
            run.params |= {one["key"]: one["value"] for one in asked.get("params", ())}
        elif action == "set-tag":
            run.tags[asked["key"]] = asked["value"]
        elif action == "update":
            run.status = asked.get("status", run.status)
        elif action == "delete":
            run.deleted = True
        return 200, {"run": run.as_json(), "run_info": run.as_json()["info"]}


@contextmanager
def mlflow_stub() -> Iterator[StubServer]:
    """A running one, whose experiment is `nightly`."""
    server = StubServer()

    class Handler(QuietHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            action = urlsplit(self.path).path.rpartition("/")[2]
            server.requests.append(action)
            status, content = server.answer(action, json.loads(body or b"{}"))
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = reply

    with serving(Handler) as url:
        server.url = url
        yield server
