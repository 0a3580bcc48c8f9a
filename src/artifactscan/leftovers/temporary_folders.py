"""Temporary folders that a later run removes where their owner was killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifactscan.leftovers.owned_records import OwnedRecord, take_abandoned_records

_KIND = "folder"


class TemporaryFolder:
    """A new folder below TMPDIR: ``path``. A later run removes it if this process is killed before it does."""

    def __init__(self, prefix: str = "artifactscan-"):
        remove_abandoned_folders()
        self.path = tempfile.mkdtemp(prefix=prefix)
        self._record = OwnedRecord(_KIND, path=self.path)

    def remove(self) -> None:
        """Removes the folder with what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._record.remove()

    def keep(self) -> None:
        """Leaves the folder to the user: no run removes it."""
        self._record.remove()


@contextmanager
def temporary_folder(prefix: str = "artifactscan-") -> Iterator[str]:
    """The path of a new folder below TMPDIR, which is removed after the block."""
    folder = TemporaryFolder(prefix)
    try:
        yield folder.path
    finally:
        folder.remove()


def remove_abandoned_folders() -> None:
    """Removes the temporary folders of runs of this user that are dead."""
    for facts in take_abandoned_records(_KIND):
        path = Path(str(facts.get("path")))
        if path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)
