"""Errors of writing local files, which the system reports without saying where."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FREE_SPACE = "free some space there"
"""The way out where a file system is full."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def named_write_errors(path: str | Path) -> Iterator[None]:
    """Adds ``path`` to the OSErrors of writing to an open file, and the file system that is full."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        # In the message, as Ray gives the errors of its workers another file name.
        raise OSError(error.errno, f"{path}: {error.strerror}{describe_full(error, path)}") from error


def is_full(error: BaseException) -> bool:
    """Whether a file system, or a user's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in _FULL


def describe_full(error: OSError, path: str | Path) -> str:
    """Which file system is full, to be added to the message of ``error``; empty for other errors."""
    if not is_full(error):
        return ""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays as it was given
    while not place.exists() or not place.is_mount():
        place = place.parent
    return f"; the file system at {place} is full"
