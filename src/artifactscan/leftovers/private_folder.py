"""Temporary folders that only this user can write to."""

import os
import tempfile
from pathlib import Path


def private_folder(purpose: str, *, below: str | None = None) -> Path | None:
    """The folder of this user for ``purpose``, to which nobody else can write; None where there can be none.

    ``below``: instead of TMPDIR.
    """
    folder = Path(below or tempfile.gettempdir(), f"artifactscan-{purpose}-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if found.st_uid == os.getuid() and found.st_mode & 0o777 == 0o700 and folder.is_dir() else None
