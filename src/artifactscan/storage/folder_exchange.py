"""Exchanges two local folders in one step, so that nobody sees a moment with both or with neither."""

import ctypes
import errno
import os
from pathlib import Path

_HERE = -100
"""AT_FDCWD: relative paths are those of the process."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux's renameat2."""
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


class ExchangeUnsupportedError(OSError):
    """The system, or the file system, cannot exchange two folders."""


def exchange_folders(first: Path, second: Path) -> None:
    """Gives two folders of one file system each other's name, in one step that is on the disk on return, after the
    names of the files in them; the content of these is the caller's.

    ExchangeUnsupportedError where that is not possible, such as on NFS; then nothing has changed.
    """
    for folder in (first, second):
        _flush(folder)
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)
    if rename is None or rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE):
        code = ctypes.get_errno() if rename else errno.ENOSYS
        kind = ExchangeUnsupportedError if code in _UNSUPPORTED else OSError
        raise kind(code, os.strerror(code), str(first))
    for folder in {first.parent, second.parent}:
        _flush(folder)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
