"""What is read from headers beside FFmpeg: any bytes give an answer, and only a sound one counts."""

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from media import write_clip
from odd_media import clean_aperture, pixel_crop

from artifactscan.decode import header_fields
from artifactscan.decode.header_fields import Cropping, is_truncated, read_cropping, read_ebml_header

BOX = st.sampled_from([b"ftyp", b"moov", b"trak", b"tkhd", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"clap"])
HEADS = st.sampled_from([b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x16\x54\xae\x6b", b""])


@example(b"\x1a\x45\xdf\xa3", b"\x01\x04\x00\x00\x00\x00\x00\x00")  # a size to which no file system can go
@example(b"", struct.pack(">I4sQ", 1, b"ftyp", 2**63))
@example(b"", struct.pack(">I4sI4s", 8, b"ftyp", 0xFFFFFFFF, b"moov") + b"clap")
@given(
    HEADS, st.one_of(st.binary(max_size=120), st.lists(BOX, max_size=12).map(lambda names: _nested(names) + b"clap"))
)
def test_any_bytes_can_be_read(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + rest)
    found = read_cropping(str(path), 1, 0)
    assert found is None or 0 < found.width <= found.coded_width
    assert is_truncated(str(path)) in (True, False)


def _nested(names: list[bytes]) -> bytes:
    data = bytes(100)
    for name in names:
        data = struct.pack(">I4s", 8 + len(data), name) + data
    return struct.pack(">I4s", 8, b"ftyp") + data


def test_cropping_is_that_of_the_track_asked_for(tmp_path: Path) -> None:
    matroska = pixel_crop(tmp_path / "clip.mkv", bottom=24, top=6, left=3)
    assert read_cropping(str(matroska), 0, 0) == Cropping(160, 96, 3, 6, 157, 66)
    assert read_cropping(str(matroska), 0, 1) is None
    mp4 = clean_aperture(tmp_path / "clip.mp4", 100, 60, right=10, down=-4)
    assert read_cropping(str(mp4), 1, 0) == Cropping(160, 96, 40, 14, 100, 60)
    assert read_cropping(str(mp4), 2, 0) is None


def test_a_hostile_header_costs_a_bounded_number_of_elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all levels together: ten tracks of 9,000 void elements each."""
    calls = []
    monkeypatch.setattr(header_fields, "read_ebml_header", lambda file: calls.append(1) or read_ebml_header(file))
    unknown = b"\x01" + b"\xff" * 7
    track = b"\xae" + struct.pack(">I", 0x10000000 | 18_000) + b"\xec\x80" * 9_000
    tracks = b"\x16\x54\xae\x6b" + struct.pack(">I", 0x10000000 | 10 * len(track)) + track * 10
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + unknown + tracks)
    assert read_cropping(str(path), 1, 0) is None
    assert 9_000 < len(calls) <= 10_000


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts"])
def test_most_files_crop_nothing(tmp_path: Path, name: str) -> None:
    assert read_cropping(str(write_clip(tmp_path / name, seconds=0.2)), 1, 0) is None
