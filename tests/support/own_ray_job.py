"""A scoring job that starts its own Ray, in a folder for its temporary files, and what it leaves there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil
from paths import ROOT
from signals import heed_signals

TIMEOUT_S = 240.0


class OwnRayJob:
    """A running `jobs/score.py`; ``tmpdir``: short, as Ray's sockets are below it, and of this test alone."""

    def __init__(self, tmpdir: Path, *arguments: object, **env: str):
        self.tmpdir = tmpdir
        usual = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "jobs" / "score.py"), "--executor", "ray", *map(str, arguments), "--quiet"],
            env={**usual, "TMPDIR": str(tmpdir), **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,
        )

    def __enter__(self) -> "OwnRayJob":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for(self, title: str) -> psutil.Process:
        """Waits until a process of the job has ``title`` in its command line, and returns it."""
        end = time.monotonic() + TIMEOUT_S
        while not (found := [one for one in processes_of(self.tmpdir) if title in _command(one)]):
            assert self.process.poll() is None, f"the job ended before: {self.process.communicate()}"
            assert time.monotonic() < end, f"no {title} in {TIMEOUT_S} s"
            time.sleep(0.05)
        return found[0]

    def signal(self, *signals: signal.Signals, pause_s: float = 0.7) -> None:
        """Sends signals to all processes of the terminal, as Ctrl-C does, ``pause_s`` apart."""
        for number, signal_ in enumerate(signals):
            if number:
                time.sleep(pause_s)
            os.killpg(self.process.pid, signal_)

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said on stderr."""
        said = self.process.communicate(timeout=TIMEOUT_S)[1]
        return self.process.returncode, said


def processes_of(tmpdir: Path) -> list[psutil.Process]:
    """The living processes that have this TMPDIR, whatever else is known of them."""
    return [one for one in psutil.process_iter() if _is_below(one, str(tmpdir))]


def end_all(tmpdir: Path) -> None:
    """Ends what a failed test has left."""
    for process in processes_of(tmpdir):
        _ignoring_errors(process.kill)


def _is_below(process: psutil.Process, tmpdir: str) -> bool:
    try:
        return process.environ().get("TMPDIR") == tmpdir and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _ignoring_errors(do: Callable[[], None]) -> None:
    try:
        do()
    except psutil.Error:
        return
