"""Records of the Ray that a run started on its machine: its processes by their mark, and its session folder."""

import os
import re
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from artifactscan.leftovers.marked_processes import end_marked_processes
from artifactscan.leftovers.owned_records import OwnedRecord, take_abandoned_records

_KIND = "ray"
_SESSION_NAME = re.compile(r"session_(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6})_(\d+)")
"""When the session began, in local time, and the process id of its driver."""
_START_LIMIT_S = 600.0
"""Seconds that Ray may take from the record to its session folder."""


class RaySession:
    """The Ray that this process is about to start, recorded for later runs in case this one is killed.

    ``token``: the mark of its processes (MARK_VARIABLE).
    """

    def __init__(self, token: str, *, ray_folder: str):
        """``ray_folder``: where Ray makes its session folders."""
        self.token = token
        self._record = OwnedRecord(_KIND, token=token, pid=os.getpid(), begun_s=time.time(), ray_folder=ray_folder)

    def set_folder(self, folder: str) -> None:
        """Records the session folder, once Ray has made it."""
        self._record.update(folder=folder)

    def end_processes(self, *, grace_s: float) -> list[int]:
        """Ends its processes, those that do not end within ``grace_s`` by SIGKILL; returns the ids of these."""
        return end_marked_processes(self.token, grace_s=grace_s)

    def close(self) -> None:
        """Leaves the session folder, with Ray's logs, to be removed by the next run."""
        self._record.close()


def end_abandoned_sessions() -> None:
    """Ends the Ray processes of this user's runs that are dead, and removes the session folders of runs that ended."""
    for facts in take_abandoned_records(_KIND):
        if token := facts.get("token"):
            end_marked_processes(str(token), grace_s=0.0)
        for folder in _session_folders(facts):
            shutil.rmtree(folder, ignore_errors=True)


def _session_folders(facts: dict[str, Any]) -> list[Path]:
    """The session folder; by process id and time for a run that was killed before it had recorded it."""
    try:
        pid, begun_s = int(facts["pid"]), float(facts["begun_s"])
        if "folder" in facts:
            candidates = [Path(facts["folder"])]
        elif psutil.pid_exists(pid):  # another process by now, which may have begun a session of its own
            candidates = []
        else:
            candidates = list(Path(facts["ray_folder"]).glob(f"session_*_{pid}"))
    except (KeyError, TypeError, ValueError):
        return []
    return [folder for folder in candidates if _is_session_of(folder, pid, begun_s)]


def _is_session_of(folder: Path, pid: int, begun_s: float) -> bool:
    match = _SESSION_NAME.fullmatch(folder.name)
    if match is None or int(match[2]) != pid or folder.is_symlink() or not folder.is_dir():
        return False
    made_s = datetime.strptime(match[1], "%Y-%m-%d_%H-%M-%S_%f").timestamp()
    return folder.lstat().st_uid == os.getuid() and -1.0 <= made_s - begun_s <= _START_LIMIT_S
