"""Records of what a process has begun on its machine and must end: each a file that is locked while its owner lives.

The kernel drops the lock however the owner ends. So a record that can be locked belongs to a process that is dead, even
where process ids were given out again, or belong to another container that shares the folder. File systems of a network
may keep locks to one machine, so that a record counts only where its owner ran on this one.
"""

import fcntl
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from artifactscan.leftovers.private_folder import private_folder

_held: set[str] = set()
"""Names of the records of this process: a network's file system may let it lock them twice."""


def records_folder() -> Path | None:
    """The folder of this user's records, to which nobody else can write; None where there can be none."""
    return private_folder("runs")


class OwnedRecord:
    """Facts about one thing that this process has begun, readable for later ones once it is dead.

    Where no record can be written, on a full disk say, it is kept in memory only.
    """

    def __init__(self, kind: str, **facts: Any):
        """Writes the record; ``kind`` says what the facts are about."""
        self.facts = {"kind": kind, "machine": _machine(), **facts}
        self._file: IO[str] | None = None
        self._path: Path | None = None
        if (folder := records_folder()) is None:
            return
        name = secrets.token_hex(8)
        being_written = folder / f".{name}"
        try:
            self._file = being_written.open("x")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.update()
            self._path = folder / f"{name}.json"
            _held.add(self._path.name)
            being_written.rename(self._path)  # only now do others see it
        except OSError:  # the record is in memory only
            with suppress(OSError):
                being_written.unlink(missing_ok=True)
            self.close()

    def update(self, **facts: Any) -> None:
        """Adds ``facts``."""
        self.facts |= facts
        if self._file is not None:
            with suppress(OSError):
                self._file.seek(0)
                json.dump(self.facts, self._file)
                self._file.truncate()
                self._file.flush()

    def close(self) -> None:
        """Leaves the record to later processes, as if this one were dead."""
        if self._path is not None:
            _held.discard(self._path.name)
        if self._file is not None:
            with suppress(OSError):  # a full disk
                self._file.close()
            self._file = None

    def remove(self) -> None:
        """Removes the record: what it is about has ended, or is to be kept."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.close()


def take_abandoned_records(kind: str) -> Iterator[dict[str, Any]]:
    """Yields the facts of the records of ``kind`` whose owner is dead, and removes each after its turn.

    A record stays where its turn raises an exception; others do not see it meanwhile.
    """
    folder = records_folder()
    for path in sorted(folder.glob("*.json")) if folder else ():
        if path.name in _held:
            continue
        with suppress(OSError), path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError where the owner lives
            facts = _parse(file.read())
            if facts and not _ran_here(facts.get("machine")):
                continue
            if facts.get("kind") == kind:
                yield facts
                path.unlink(missing_ok=True)
            elif not facts:  # cut off by a full disk
                path.unlink(missing_ok=True)


def _machine() -> dict[str, str]:
    """Host name, and the random id of the running kernel."""
    boot = ""
    with suppress(OSError):  # no Linux
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"host": socket.gethostname(), "boot": boot}


def _ran_here(machine: Any) -> bool:
    """Whether a record is of this kernel, or of this host before it was started again."""
    here = _machine()
    if not isinstance(machine, dict):
        return False
    return machine.get("host") == here["host"] or (bool(here["boot"]) and machine.get("boot") == here["boot"])


def _parse(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
