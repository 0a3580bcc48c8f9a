"""Finds the recordings in a file that was joined of several, as with ``cat one.mkv two.mkv``: FLV, Matroska and Ogg.

FFmpeg stops at the header of the second one in an FLV, reads the second one in a Matroska file with the parameter sets
of the first, and gives out the headers of the second one in an Ogg as if they were frames. MPEG-TS, MPEG-PS and AVI it
reads as one; of joined mp4 files every player shows the first.
"""

import os
import re
from functools import lru_cache
from io import FileIO
from pathlib import Path

from artifactscan.decode.header_fields import SEGMENT, read_ebml_header

_FLV_HEADER = re.compile(rb"FLV\x01[\x00\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00")
"""The header and the size of the tag before the first one (Adobe Flash Video File Format, annex E.2 and E.3)."""
_EBML_HEADER = re.compile(rb"\x1a\x45\xdf\xa3.{1,64}?\x42\x82.(?:matroska|webm)", re.DOTALL)
"""An EBML header with the types of document that are read (RFC 8794, 11.2; RFC 9559, 4)."""
_OGG_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x06].{8}.{4}\x00\x00\x00\x00", re.DOTALL)
"""The header of the first page of a logical stream, which has the number 0 (RFC 3533, 6)."""
_OGG_HEADER_BYTES = 27
"""Of a page, before the sizes of its segments."""
_HEADER_BYTES = 96
"""More than the longest match of any."""
_CHUNK_BYTES = 8 << 20
_MAX_RECORDINGS = 1000


class FilePart:
    """A part of a file, for reading by FFmpeg."""

    def __init__(self, file: FileIO, start: int, end: int):
        self._file, self._start, self._size = file, start, end - start
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; none at the end of the part."""
        most = max(0, self._size - self._position)
        self._file.seek(self._start + self._position)
        data = self._file.read(most if size < 0 else min(size, most))
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position in the part, and returns it."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        """The position in the part."""
        return self._position


def find_recordings(path: str) -> list[tuple[int, int]]:
    """Start and end in bytes of each recording in a file; the whole file where it is not one of several."""
    status = Path(path).stat()
    return list(_find_recordings(path, status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=2)  # a file is opened several times, and an FLV is read to its end for this
def _find_recordings(path: str, size: int, _modified_ns: int, _inode: int) -> tuple[tuple[int, int], ...]:
    with FileIO(path) as file:
        head = file.read(4)
        if head == b"FLV\x01":
            starts = _matches(file, _FLV_HEADER, 1)
        elif head == b"\x1a\x45\xdf\xa3":
            starts = _matroska_starts(file, size)
        elif head == b"OggS":
            starts = _ogg_starts(file)
        else:
            starts = []
    starts = [0, *starts[:_MAX_RECORDINGS]]
    return tuple(zip(starts, [*starts[1:], size], strict=True))


def _matroska_starts(file: FileIO, size: int) -> list[int]:
    """Where later EBML headers are: each at the end of the segment before, where that declares its size."""
    starts: list[int] = []
    start = 0
    while len(starts) < _MAX_RECORDINGS:
        file.seek(start)
        ebml = read_ebml_header(file)
        if ebml is None or ebml[1] is None or file.tell() + ebml[1] > size:
            return starts
        file.seek(ebml[1], os.SEEK_CUR)
        segment = read_ebml_header(file)
        if segment is None or segment[0] != SEGMENT:
            return starts
        if segment[1] is None:
            return starts + _matches(file, _EBML_HEADER, file.tell())
        start = file.tell() + segment[1]
        if start + _HEADER_BYTES > size:
            return starts
        file.seek(start)
        if not _EBML_HEADER.match(file.read(_HEADER_BYTES)):
            return starts
        starts.append(start)
    return starts


def _ogg_starts(file: FileIO) -> list[int]:
    """Where later links of a chained Ogg begin: the first pages of the streams of a link follow each other."""
    starts: list[int] = []
    end = 0
    for start in _matches(file, _OGG_FIRST_PAGE, 0):
        if start != end:
            starts.append(start)
        file.seek(start)
        header = file.read(_OGG_HEADER_BYTES)
        sizes = file.read(header[-1])
        end = start + len(header) + len(sizes) + sum(sizes)
    return starts


def _matches(file: FileIO, pattern: re.Pattern[bytes], start: int) -> list[int]:
    """Where ``pattern`` is found from ``start`` on."""
    found: list[int] = []
    tail = b""
    file.seek(start)
    while (chunk := file.read(_CHUNK_BYTES)) and len(found) < _MAX_RECORDINGS:
        data = tail + chunk
        positions = [start - len(tail) + match.start() for match in pattern.finditer(data)]
        found += [position for position in positions if not found or position > found[-1]]
        start += len(chunk)
        tail = data[-_HEADER_BYTES:]
    return found
