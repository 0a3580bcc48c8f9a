"""Identity of a process across containers and restarts, so that another process can tell whether it has ended.

A host name and a pid do not identify a process: containers may share the first and each counts pids from 1. The boot
of the kernel and the namespaces do; where they are not those of this process, nothing is said of the other one.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_NAMESPACES = ("pid", "time")
"""Namespaces in which a pid and a start time mean something."""
_STATE, _STARTED_TICKS = 0, 19
"""Fields of /proc/<pid>/stat, counted from the first one after the name; see proc(5)."""
_ENDED_STATES = frozenset("ZX")


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """A process; the fields beside ``pid`` are empty where the system does not give them."""

    pid: int
    started_ticks: int = 0
    """Clock ticks from the boot to its start, which no change of the clock changes."""
    boot: str = ""
    """Random id of the running kernel."""
    namespaces: str = ""

    @staticmethod
    def of_this_process() -> "ProcessIdentity":
        pid = os.getpid()
        try:
            if os.readlink("/proc/self") != str(pid):  # noqa: PTH115 - /proc of another namespace
                return ProcessIdentity(pid=pid)
            return ProcessIdentity(
                pid=pid,
                started_ticks=int(_stat_fields(pid)[_STARTED_TICKS]),
                boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                namespaces=" ".join(_namespace(name) for name in _NAMESPACES),
            )
        except (OSError, ValueError, IndexError):  # no Linux, or a kernel without these
            return ProcessIdentity(pid=pid)

    def is_of_another_container(self) -> bool:
        """Whether it is known to run under this kernel in other namespaces, where its pid is another than here."""
        here = ProcessIdentity.of_this_process()
        known = bool(here.boot and here.namespaces and self.namespaces)
        return known and here.boot == self.boot and here.namespaces != self.namespaces

    def is_running(self) -> bool | None:
        """Whether the process runs; None where this process cannot know, for example in another container."""
        here = ProcessIdentity.of_this_process()
        if not here.boot or (here.boot, here.namespaces) != (self.boot, self.namespaces):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it is another user's
        try:
            fields = _stat_fields(self.pid)
            return fields[_STATE] not in _ENDED_STATES and int(fields[_STARTED_TICKS]) == self.started_ticks
        except (OSError, ValueError, IndexError):
            return None  # /proc may hide other users' processes


def _namespace(name: str) -> str:
    """Empty on a kernel that has no namespaces of this kind, of time for example before Linux 5.6."""
    try:
        return os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115
    except FileNotFoundError:
        return ""


def _stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
