"""One copy of an object for all processes of a node, as several of them decode slices of the same video.

The copy is a file without a name. A process that has it open writes its path below /proc into a note. Another process
opens the copy at that path and adds its own; so the copy exists until the last of them has closed it or died.
"""

import fcntl
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from artifactscan.leftovers.private_folder import private_folder

SLOTS = 1024
"""Most notes on a node. Two objects with the same note only lose the benefit, or wait for each other."""
MAX_HOLDERS = 64
"""Most processes in a note, the latest first: any of them may be the last to close the copy."""
_log = logging.getLogger(__name__)


class CopyHolder(NamedTuple):
    """A process that has, or had, a copy open."""

    path: str
    identity: list[int]


def shared_copy(key: str, make: Callable[[], IO[bytes]]) -> tuple[IO[bytes], bool]:
    """The copy of object ``key`` that a process of this node has open, else a new one; and whether ``make`` made it.

    While one process makes a copy the others wait for it; if it fails, each makes its own.
    """
    folder = _notes_folder()
    if folder is None:
        return make(), True
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
    with ExitStack() as held:
        try:
            note = held.enter_context(Path(folder, str(int(digest, 16) % SLOTS)).open("a+"))
            waited = _lock(note)  # until ``note`` is closed
            holders = _read_holders(note, digest)
        except OSError as error:  # such as a file system without locks
            _log.warning("copies are not shared: %s", error)
            waited, holders = True, []
        for position, holder in enumerate(holders):
            if copy := _open_copy(holder):  # the holders before this one have closed it
                _write_holders(note, digest, copy, holders[position:])
                return copy, False
        if not waited:
            copy = make()
            _write_holders(note, digest, copy)
            return copy, True
    return make(), True


def path_for_others(copy: IO[bytes]) -> str:
    """The path at which another process of this node can open ``copy``, as long as this one keeps it open."""
    return f"/proc/{os.getpid()}/fd/{copy.fileno()}"


def _notes_folder() -> Path | None:
    """The folder of the notes, which only this user can write to; None where copies cannot be shared."""
    if sys.platform != "linux":
        return None
    return private_folder("copies")


def _lock(note: IO[str]) -> bool:
    """Locks the note until it is closed; whether another process had it locked."""
    try:
        fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(note, fcntl.LOCK_EX)
        return True
    return False


def _read_holders(note: IO[str], digest: str) -> list[CopyHolder]:
    """The processes that had a copy of the object when the note was written; they may have closed it or ended."""
    note.seek(0)
    try:
        read = json.loads(note.read())
        return [CopyHolder(path, identity) for path, identity in read["holders"]] if read["key"] == digest else []
    except (ValueError, KeyError, TypeError):  # empty, or only partly written
        return []


def _open_copy(holder: CopyHolder) -> IO[bytes] | None:
    """The holder's copy; None where it has closed it, even if its descriptor is another file now."""
    try:
        if _identity(os.stat(holder.path)) != holder.identity:  # noqa: PTH116 - opening a pipe would wait
            return None
        copy = Path(holder.path).open("rb")  # noqa: SIM115 - the caller closes it
    except (OSError, TypeError, ValueError):
        return None
    if _identity(os.fstat(copy.fileno())) == holder.identity:
        return copy
    copy.close()
    return None


def _write_holders(note: IO[str], digest: str, copy: IO[bytes], others: Sequence[CopyHolder] = ()) -> None:
    copy.flush()
    holders = [CopyHolder(path_for_others(copy), _identity(os.fstat(copy.fileno()))), *others][:MAX_HOLDERS]
    try:
        note.truncate(0)
        json.dump({"key": digest, "holders": holders}, note)
        note.flush()
    except OSError as error:  # the copy itself is complete
        _log.warning("a copy is not shared: %s", error)


def _identity(found: os.stat_result) -> list[int]:
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
