"""Lets PyIceberg read and write object storages as everything else here does (`storage.arrow_files`)."""

from functools import lru_cache

from pyarrow.fs import FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

from artifactscan.storage.arrow_files import arrow_filesystem
from artifactscan.storage.uris import REMOTE_SCHEMES


class StorageFileIO(PyArrowFileIO):
    """PyIceberg's FileIO with the project's storages behind s3://, gs:// and az://."""

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> FileSystem:
        return _remote(scheme) if scheme in REMOTE_SCHEMES else super()._initialize_fs(scheme, netloc)


@lru_cache
def _remote(scheme: str) -> FileSystem:
    return arrow_filesystem(f"{scheme}://")
