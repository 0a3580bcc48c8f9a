"""A laptop and two machines on this one: namespaces with a network between them, an sshd and an own /tmp each.

What runs in them sees no process and no port of the host, so that even `ray stop` is harmless there.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from paths import ROOT

SCRIPTS = ROOT / "tests/machines"
NAMESPACES = ("--pid", "--fork", "--kill-child", "--net", "--mount", "--mount-proc")
SHARED = "/mnt"
"""Where all machines see one and the same folder."""
HEAD, WORKER = "10.77.0.2", "10.77.0.3"
START_S = 20.0


def skip_where_impossible() -> None:
    """Skips the test, saying why, on a machine that has no sshd or does not let one make namespaces."""
    missing = [
        name for name in ("unshare", "nsenter", "ip", "ssh", "ssh-keygen", "rsync") if shutil.which(name) is None
    ]
    missing += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    probe = ["unshare", *NAMESPACES, "sh", "-c", "mount -t tmpfs tmpfs /tmp && ip link add bridge type bridge"]
    tried = subprocess.run(probe, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no namespaces for two machines and a network here: {tried.stderr.strip()}")


class OwnMachines:
    """Started on entering, gone with all their processes on leaving."""

    def __init__(self, folder: Path):
        self.folder = folder
        """The host's name of the folder that the machines share."""
        for script in SCRIPTS.iterdir():
            shutil.copy(script, folder)
        for key in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        kept = {str(path) for path in (ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve())}
        script = ["bash", str(folder / "network.sh"), str(folder), "2 3", *sorted(kept)]
        self._process = subprocess.Popen(["unshare", *NAMESPACES, *script])

    def __enter__(self) -> "OwnMachines":
        end = time.monotonic() + START_S
        logs = [self.folder / f"machine{number}/sshd.log" for number in (2, 3)]
        while not (self.folder / "network").exists() or not all(log.exists() and log.read_text() for log in logs):
            assert time.monotonic() < end and self._process.poll() is None, "the machines did not start"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it passes SIGKILL on to the first process in there, with which all others go
        self._process.wait()

    def command(self, script: str) -> list[str]:
        """The command line that runs ``script`` on the laptop, in the repository."""
        (first,) = psutil.Process(self._process.pid).children()
        return ["nsenter", f"--target={first.pid}", "--net", "--mount", "--pid", f"--wd={ROOT}", "bash", "-c", script]

    @property
    def env(self) -> dict[str, str]:
        """The laptop's environment: this Python's commands, and nothing of the host's Ray or cloud."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
        return env | {"HOME": f"{SHARED}/laptop", "PATH": path, "NO_COLOR": "1"}

    def laptop(self, script: str, *, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs ``script`` on the laptop."""
        return subprocess.run(
            self.command(script), env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def machine(self, address: str, script: str) -> str:
        """What ``script`` prints when it is run on a machine over ssh."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        said = self.laptop(f"ssh {options} -i {SHARED}/key root@{address} '{script}'")
        assert said.returncode == 0, said.stderr
        return said.stdout
