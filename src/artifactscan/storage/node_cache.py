"""One copy of an object for all processes of a node: the slices of a video are decoded by several, of the same bytes.

A process that has a copy, a file without a name, notes where it is to be found below /proc. Another opens it there and
notes its own; so the copy lives until the last of them has closed it or died, however that ends.
"""

import fcntl
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

SLOTS = 1024
"""Notes on a node at most. Two objects that fall on one only have no use of it, or wait for each other."""
MOST_HOLDERS = 64
"""Of a copy, noted, the last to open it first: any of them may be the last to close it."""
_log = logging.getLogger(__name__)


class Holder(NamedTuple):
    """A process that has, or had, a copy open."""

    path: str
    identity: list[int]


def shared_copy(key: str, make: Callable[[], IO[bytes]]) -> tuple[IO[bytes], bool]:
    """The copy of object ``key`` that a process of this node holds, or what ``make`` gives; and whether it did.

    While one process makes a copy the others wait for it; where that comes to nothing each makes its own.
    """
    folder = _folder()
    if folder is None:
        return make(), True
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
    with ExitStack() as held:
        try:
            note = held.enter_context(Path(folder, str(int(digest, 16) % SLOTS)).open("a+"))
            waited = _lock(note)  # until ``note`` is closed
            holders = _noted(note, digest)
        except OSError as error:  # such as a file system without locks
            _log.warning("copies are not shared: %s", error)
            waited, holders = True, []
        for position, holder in enumerate(holders):
            if copy := _open(holder):
                _write(note, digest, copy, holders[position:])
                return copy, False
        if not waited:
            copy = make()
            _write(note, digest, copy)
            return copy, True
    return make(), True


def path_for_others(copy: IO[bytes]) -> str:
    """Where another process of this node opens ``copy``, for as long as this one keeps it open."""
    return f"/proc/{os.getpid()}/fd/{copy.fileno()}"


def _folder() -> Path | None:
    """Where the notes lie; None where copies cannot be shared."""
    if sys.platform != "linux":
        return None
    folder = Path(tempfile.gettempdir(), f"artifactscan-copies-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if found.st_uid == os.getuid() and found.st_mode & 0o777 == 0o700 and folder.is_dir() else None


def _lock(note: IO[str]) -> bool:
    """Whether somebody else had it first."""
    try:
        fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(note, fcntl.LOCK_EX)
        return True
    return False


def _noted(note: IO[str], digest: str) -> list[Holder]:
    """Who had a copy of the object when this was last asked; some may have closed it or be gone."""
    note.seek(0)
    try:
        told = json.loads(note.read())
        return [Holder(path, identity) for path, identity in told["holders"]] if told["key"] == digest else []
    except (ValueError, KeyError, TypeError):  # none yet, or half written
        return []


def _open(holder: Holder) -> IO[bytes] | None:
    """The holder's copy; None where it has closed it, though another file may stand in its place."""
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


def _write(note: IO[str], digest: str, copy: IO[bytes], others: Sequence[Holder] = ()) -> None:
    copy.flush()
    holders = [Holder(path_for_others(copy), _identity(os.fstat(copy.fileno()))), *others][:MOST_HOLDERS]
    try:
        note.truncate(0)
        json.dump({"key": digest, "holders": holders}, note)
        note.flush()
    except OSError as error:  # the copy is here all the same
        _log.warning("a copy is not shared: %s", error)


def _identity(found: os.stat_result) -> list[int]:
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
