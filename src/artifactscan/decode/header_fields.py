"""Reads what FFmpeg does not tell of a container: whether the file was cut off, and how players crop its frames.

Every number is checked against the file; nothing here fails on any bytes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

_MAX_RIFF_CHUNKS = 64
"""Most chunks read in an AVI file; in larger OpenDML files each holds a gigabyte."""
_EBML, SEGMENT, _CLUSTER, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B
"""Ids of elements of a Matroska file (RFC 9559)."""
_TRACK_ENTRY, _TRACK_TYPE, _VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xAE, 0x83, 0xE0, 0xB0, 0xBA
_VIDEO_TRACK = 1
_CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_SAMPLE_ENTRY_BYTES = 78
"""Fields of a visual sample entry before its boxes (ISO/IEC 14496-12, 12.1.3)."""
_MAX_ELEMENTS = 10_000
"""Most elements or boxes looked at in a file, of all levels together."""
_Budget = Iterator[int]
"""Gives out a number for each element or box that may still be looked at."""
_MAX_HEADER_BYTES = 16 << 20
"""Most bytes of a header that are read into memory."""


@dataclass(frozen=True)
class Cropping:
    """The part of the coded frames that a container has players show, in pixels."""

    coded_width: int
    """Of the frames that this applies to; others, which the decoder has cropped already, are left as they are."""
    coded_height: int
    left: int
    top: int
    width: int
    height: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The shown part of (coded height, coded width, channels), contiguous."""
        rows = slice(self.top, self.top + self.height)
        return np.ascontiguousarray(picture[rows, self.left : self.left + self.width])


def is_truncated(path: str, start: int = 0) -> bool:
    """Whether the container that begins at byte ``start`` declares more bytes than the file has."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        for _ in range(_MAX_RIFF_CHUNKS):
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX"):
                break
            length = int.from_bytes(head[4:8], "little")
            if file.tell() - 4 + length > size:
                return True
            file.seek(length + length % 2 - 4, os.SEEK_CUR)
        file.seek(start)
        if (ebml := read_ebml_header(file)) is None or ebml[0] != _EBML or ebml[1] is None or ebml[1] > size:
            return False
        file.seek(ebml[1], os.SEEK_CUR)
        if (segment := read_ebml_header(file)) is None or segment[0] != SEGMENT or segment[1] is None:
            return False
        return file.tell() + segment[1] > size


def read_ebml_header(file: BinaryIO) -> tuple[int, int | None] | None:
    """Id and content size of the element that begins here (RFC 8794); size None where it is declared unknown."""
    numbers = []
    for most in (4, 8):
        first = file.read(1)
        length = 9 - first[0].bit_length() if first else 9
        rest = file.read(length - 1)
        if length > most or len(rest) < length - 1:
            return None
        numbers.append((int.from_bytes(first + rest, "big"), 1 << 7 * length))
    (name, _), (size, marker) = numbers
    return name, None if size - marker == marker - 1 else size - marker


def read_cropping(path: str, track: int, position: int) -> Cropping | None:
    """How the container has players crop the frames of a video track; None where it does not.

    Matroska's PixelCrop elements (RFC 9559, 5.1.4.1.28), of the video track at this ``position`` (0, 1, …), and the
    clean aperture of mp4 and mov (ISO/IEC 14496-12, 12.1.4), of the ``track`` with this id.
    """
    with Path(path).open("rb") as file:
        head = file.read(12)
        file.seek(0)
        found, budget = None, iter(range(_MAX_ELEMENTS))
        if head[:4] == _EBML.to_bytes(4, "big"):
            found = _matroska_cropping(file, position, budget)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            found = _clean_aperture(file, track, budget)
    if found is None or (found.width, found.height) == (found.coded_width, found.coded_height):
        return None
    inside = found.left + found.width <= found.coded_width and found.top + found.height <= found.coded_height
    return found if inside and min(found.left, found.top) >= 0 < min(found.width, found.height) else None


def _matroska_cropping(file: BinaryIO, position: int, budget: _Budget) -> Cropping | None:
    for name, size in _elements(file, budget):
        if name == SEGMENT:
            continue  # its content follows, at once
        if name == _CLUSTER or size is None:
            return None  # tracks stand before the first cluster
        if name != _TRACKS:
            if not _skip(file, size):
                return None
            continue
        entries = _children(file.read(min(size, _MAX_HEADER_BYTES)), _TRACK_ENTRY, budget)
        videos = [entry for entry in entries if _number(entry, _TRACK_TYPE, budget) == _VIDEO_TRACK]
        fields = next(_children(videos[position], _VIDEO, budget), b"") if position < len(videos) else b""
        width, height = _number(fields, _PIXEL_WIDTH, budget), _number(fields, _PIXEL_HEIGHT, budget)
        left, right = _number(fields, _CROP_LEFT, budget), _number(fields, _CROP_RIGHT, budget)
        top, bottom = _number(fields, _CROP_TOP, budget), _number(fields, _CROP_BOTTOM, budget)
        return Cropping(width, height, left, top, width - left - right, height - top - bottom)
    return None


def _elements(file: BinaryIO, budget: _Budget) -> Iterator[tuple[int, int | None]]:
    """Id and size of each EBML element; the caller reads or skips the content before the next one."""
    for _ in budget:
        if (header := read_ebml_header(file)) is None:
            return
        yield header


def _children(data: bytes, name: int, budget: _Budget) -> Iterator[bytes]:
    """Contents of the elements of that id."""
    file = BytesIO(data)
    for found, size in _elements(file, budget):
        content = file.read(len(data) if size is None else min(size, len(data)))
        if found == name:
            yield content


def _number(data: bytes, name: int, budget: _Budget) -> int:
    """The number in the element of that id; 0 where there is none."""
    return next((int.from_bytes(content[:8], "big") for content in _children(data, name, budget)), 0)


def _clean_aperture(file: BinaryIO, track: int, budget: _Budget) -> Cropping | None:
    movie = _first_box(file, b"moov", budget)
    if movie is None or b"clap" not in movie:
        return None
    for trak in _boxes(movie, b"trak", budget):
        header = next(_boxes(trak, b"tkhd", budget), b"")
        at = 20 if header[:1] == b"\1" else 12
        if int.from_bytes(header[at : at + 4], "big") != track:
            continue
        content = trak
        for name in (b"mdia", b"minf", b"stbl", b"stsd"):
            content = next(_boxes(content, name, budget), b"")
        entry = next(_boxes(content[8:], None, budget), b"")
        aperture = next(_boxes(entry[_SAMPLE_ENTRY_BYTES:], b"clap", budget), b"")
        if len(aperture) < 32:
            return None
        numbers = [int.from_bytes(aperture[n : n + 4], "big", signed=True) for n in range(0, 32, 4)]
        if 0 in numbers[1::2]:
            return None
        width, height, right, down = (Fraction(numbers[n], numbers[n + 1]) for n in (0, 2, 4, 6))
        coded_width, coded_height = int.from_bytes(entry[24:26], "big"), int.from_bytes(entry[26:28], "big")
        left, top = (coded_width - width) / 2 + right, (coded_height - height) / 2 + down
        return Cropping(coded_width, coded_height, round(left), round(top), round(width), round(height))
    return None


def _first_box(file: BinaryIO, name: bytes, budget: _Budget) -> bytes | None:
    """The content of the first box of that name at the top of a file; None where there is none, or it is too long."""
    for _ in budget:
        head = file.read(8)
        size, head_bytes = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, head_bytes = int.from_bytes(file.read(8), "big"), 16
        if len(head) < 8 or (size < head_bytes and size != 0):
            return None
        if head[4:] == name:
            return file.read(size - head_bytes) if 0 < size <= _MAX_HEADER_BYTES else None
        if size == 0 or not _skip(file, size - head_bytes):
            return None
    return None


def _skip(file: BinaryIO, size: int) -> bool:
    """Goes ``size`` bytes on; False where the file ends before."""
    if file.tell() + size > os.fstat(file.fileno()).st_size:
        return False
    file.seek(size, os.SEEK_CUR)
    return True


def _boxes(data: bytes, name: bytes | None, budget: _Budget) -> Iterator[bytes]:
    """Contents of the boxes of that name, or of all."""
    start = 0
    for _ in budget:
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 8 or start + 8 > len(data):
            return
        if name is None or data[start + 4 : start + 8] == name:
            yield data[start + 8 : start + size]
        start += size
