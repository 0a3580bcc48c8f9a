"""A Ray cluster of several nodes on this machine, which can be added and killed, and jobs on it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from paths import ROOT

START_TIMEOUT_S = 120.0


class Nodes:
    """A head without work, and the nodes that are added, each by `ray start`.

    ``env`` is in the environment of all, and goes before what is set here; ``python`` is the Python of all.
    """

    def __init__(self, env: Mapping[str, str], *, dashboard: bool = False, python: str = sys.executable):
        self.python = python
        self.folder = tempfile.mkdtemp(prefix="nodes-", dir="/tmp")  # sockets below it have room for 107 bytes
        path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])  # where `python` is ours
        usual = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
        self.env = {**usual, "PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        self.env |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
        # A node counts as dead after three seconds rather than fifteen.
        self.env |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
        self.dashboard_port, self.metrics_port, self.worker_metrics_port = _free_port(), _free_port(), _free_port()
        self.env |= {"RAY_metrics_report_interval_ms": "2000", **env}
        port = _free_port()
        self.env["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        self._running: list[subprocess.Popen] = []
        self._added = 0
        try:
            self._start_head(port, dashboard)
        except BaseException:
            self.close()
            raise

    def _start_head(self, port: int, dashboard: bool) -> None:
        self.head = self._start(
            *(
                "--head",
                f"--port={port}",
                "--num-cpus=0",
                f"--temp-dir={self.folder}",
                f"--include-dashboard={dashboard}",
            ),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"),
            f"--metrics-export-port={self.metrics_port}",
        )

    def add(self, cpus: int = 2, *arguments: str, within: tuple[str, ...] = ()) -> subprocess.Popen:
        """Adds a node and waits until it has joined; ``within``: a command to run it in, such as `unshare --mount`."""
        self._added += 1
        # With the head's folder it would overwrite the working directory of jobs that run on the head.
        folder = f"--temp-dir={self.folder}/{self._added}"
        address = f"--address={self.env['RAY_ADDRESS']}"
        return self._start(address, folder, f"--num-cpus={cpus}", *arguments, within=within)

    def kill(self, node: subprocess.Popen) -> None:
        """Kills a node with all its processes at once."""
        tree: list[psutil.Process] = []
        with suppress(psutil.Error):  # it may have ended by itself
            tree = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        for signal_ in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none reacts to the end of another
            for process in tree:
                with suppress(psutil.Error):
                    process.send_signal(signal_)
        node.wait()
        self._running.remove(node)

    def kill_head(self) -> None:
        """Kills the GCS server of the head, as when it is out of memory; its other processes run on."""
        starter = psutil.Process(self.head.pid)
        starter.suspend()  # it would end the others
        next(child for child in starter.children(recursive=True) if "gcs_server" in child.name()).kill()

    def at_work(self, node: subprocess.Popen, title: str) -> bool:
        """Whether a process of the node has ``title`` in the title that Ray gives it."""
        for child in psutil.Process(node.pid).children(recursive=True):
            with suppress(psutil.Error):
                if title in " ".join(child.cmdline()):
                    return True
        return False

    def alive(self) -> int:
        """The number of nodes that are alive."""
        return self._count("node['Alive'] for node in ray.nodes()")

    def waiting_actors(self) -> int:
        """The number of actors that are starting or wait for room on a node."""
        return self._count("actor['State'] == 'PENDING_CREATION' for actor in ray._private.state.actors().values()")

    def _count(self, which: str) -> int:
        """The number of true values, counted by a process that joins the cluster."""
        code = f"import ray; ray.init(log_to_driver=False); print(sum({which}))"
        run = subprocess.run([self.python, "-c", code], env=self.env, capture_output=True, text=True, check=True)
        return int(run.stdout.split()[0])

    def wait_for(self, count: int, timeout_s: float = 120) -> None:
        """Waits until so many nodes are alive."""
        end = time.monotonic() + timeout_s
        while (alive := self.alive()) != count:
            assert time.monotonic() < end, f"{alive} nodes, not {count}"

    def job(self, *arguments: object, name: str = "score.py", **env: str) -> "JobRun":
        """Starts a job with this cluster as its RAY_ADDRESS."""
        return JobRun([self.python, str(ROOT / "jobs" / name), *map(str, arguments)], {**self.env, **env})

    def close(self) -> None:
        for node in reversed(list(self._running)):
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *arguments: str, within: tuple[str, ...] = ()) -> subprocess.Popen:
        command = [
            *within,
            self.python,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            "--disable-usage-stats",
            *arguments,
        ]
        command += [f"--object-store-memory={200 << 20}", f"--dashboard-agent-listen-port={_free_port()}"]
        env = {name: value for name, value in self.env.items() if name != "RAY_ADDRESS"}
        name = f"{len(self._running)}-{secrets.token_hex(4)}"
        env["TMPDIR"] = str(Path(self.folder, f"tmp-{name}"))  # a machine of its own shares no copies
        Path(env["TMPDIR"]).mkdir()
        said = Path(self.folder, f"start-{name}.txt")
        with said.open("w") as file:
            node = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT)
        self._running.append(node)
        end = time.monotonic() + START_TIMEOUT_S
        while "Ray runtime started" not in said.read_text():
            assert node.poll() is None and time.monotonic() < end, f"a node does not start: {said.read_text()}"
            time.sleep(0.1)
        return node


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class JobRun:
    """A job in its own process, with its output captured."""

    def __init__(self, command: list[str], env: Mapping[str, str]):
        self.process = subprocess.Popen(
            command, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 300) -> Any:
        """The first true value of ``condition`` while the job runs."""
        end = time.monotonic() + timeout_s
        while not (met := condition()):
            assert self.process.poll() is None, f"the job ended before it could be disturbed: {self.end()[1]}"
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError(f"nothing of the kind in {timeout_s} s: {self.end()[1]}")
            time.sleep(0.1)
        return met

    def end(self, timeout_s: float = 400) -> tuple[int, str]:
        """Its exit code and output, once it has ended."""
        try:
            output = self.process.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the job did not end in {timeout_s} s: {self.process.communicate()[0]}") from None
        return self.process.returncode, output
