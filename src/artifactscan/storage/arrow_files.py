"""A pyarrow filesystem over `object_storage`, so that tables are read and written as everything else is."""

import io
import tempfile
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import fs

from artifactscan.storage.object_storage import ObjectStat, StoredObject, storage_of
from artifactscan.storage.uris import split_bucket

READ_WHOLE_BYTES = 8 << 20
"""Objects up to this size are read with one request; of larger ones the parts that are asked for."""
BUFFER_BYTES = 1 << 20
"""Least bytes of a request for a part."""
SPOOL_BYTES = 64 << 20
"""Bytes of an object to write that are kept in memory; more go to the temporary folder."""


def arrow_filesystem(uri: str) -> fs.FileSystem:
    """The pyarrow filesystem of a remote uri's scheme; it can be pickled."""
    return fs.PyFileSystem(ObjectFiles(uri.partition("://")[0]))


def arrow_path(uri: str) -> str:
    """The path of a remote uri in its filesystem: bucket/key."""
    return "/".join(split_bucket(uri)).rstrip("/")


class ObjectFiles(fs.FileSystemHandler):
    """Objects of one scheme as files whose paths are bucket/key."""

    def __init__(self, scheme: str):
        self.scheme = scheme

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectFiles) and other.scheme == self.scheme

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.scheme)

    def get_type_name(self) -> str:
        return self.scheme

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        uri = self._uri(selector.base_dir)
        bucket = split_bucket(uri)[0]
        storage = storage_of(uri)
        if selector.recursive:
            found = [_file(bucket, one) for one in storage.list_objects(uri) if not one.key.endswith("/")]
            found += [fs.FileInfo(folder, fs.FileType.Directory) for folder in _folders(found, selector.base_dir)]
        else:
            level = storage.list_level(uri)
            found = [fs.FileInfo(f"{bucket}/{folder}", fs.FileType.Directory) for folder in level.folders]
            found += [_file(bucket, one) for one in level.objects if not one.key.endswith("/")]
        if not found and not selector.allow_not_found:
            raise FileNotFoundError(f"{uri}: no such folder")
        return found

    def create_dir(self, path: str, recursive: bool) -> None:
        """Nothing: a folder is there when an object is."""

    def delete_dir(self, path: str) -> None:
        storage_of(self._uri(path)).remove_below(self._uri(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self.delete_dir(path)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("all buckets are not removed")

    def delete_file(self, path: str) -> None:
        storage_of(self._uri(path)).remove(self._uri(path))

    def move(self, src: str, dest: str) -> None:
        self.copy_file(src, dest)
        self.delete_file(src)

    def copy_file(self, src: str, dest: str) -> None:
        with self.open_input_stream(src) as source, self.open_output_stream(dest, None) as sink:
            while chunk := source.read(BUFFER_BYTES):
                sink.write(chunk)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        uri = self._uri(path)
        found = storage_of(uri).stat(uri)
        if found.size_bytes <= READ_WHOLE_BYTES:
            return pa.BufferReader(storage_of(uri).read(uri)[0])
        return pa.PythonFile(io.BufferedReader(_Parts(uri, found), BUFFER_BYTES), mode="r")

    def open_output_stream(self, path: str, metadata: dict[str, str] | None) -> pa.NativeFile:
        return pa.PythonFile(_Upload(self._uri(path)), mode="w")

    def open_append_stream(self, path: str, metadata: dict[str, str] | None) -> pa.NativeFile:
        raise NotImplementedError("objects cannot be appended to")

    def _uri(self, path: str) -> str:
        return f"{self.scheme}://{path}"

    def _info(self, path: str) -> fs.FileInfo:
        uri = self._uri(path)
        storage = storage_of(uri)
        if split_bucket(uri)[1]:
            try:
                found = storage.stat(uri)
                return fs.FileInfo(path, fs.FileType.File, size=found.size_bytes, mtime_ns=found.modified_us * 1000)
            except FileNotFoundError:
                pass
        below = next(iter(storage.list_objects(uri.rstrip("/"))), None)
        return fs.FileInfo(path, fs.FileType.NotFound if below is None else fs.FileType.Directory)


def _file(bucket: str, found: StoredObject) -> fs.FileInfo:
    path = f"{bucket}/{found.key}"
    return fs.FileInfo(path, fs.FileType.File, size=found.size_bytes, mtime_ns=found.modified_us * 1000)


def _folders(files: Sequence[fs.FileInfo], base: str) -> list[str]:
    """The folders between ``base`` and the files below it."""
    folders: set[str] = set()
    for file in files:
        folder = file.path.rpartition("/")[0]
        while len(folder) > len(base.rstrip("/")) and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(folders)


class _Parts(io.RawIOBase):
    """One version of a large object, read by parts."""

    def __init__(self, uri: str, found: ObjectStat):
        super().__init__()
        self._uri, self._found, self._position = uri, found, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found.size_bytes}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._found.size_bytes - self._position)
        data = storage_of(self._uri).read_range(self._uri, self._found.etag, self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _Upload(io.RawIOBase):
    """An object that is written when it is closed; one that is dropped unclosed is not."""

    def __init__(self, uri: str):
        super().__init__()
        self._uri = uri
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - closed below

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._spool.write(data)

    def tell(self) -> int:
        return self._spool.tell()

    def close(self) -> None:
        if self.closed:
            return
        try:
            storage_of(self._uri).write_file(self._uri, self._spool)
        finally:
            self._spool.close()
            super().close()

    def __del__(self) -> None:
        self._spool.close()
