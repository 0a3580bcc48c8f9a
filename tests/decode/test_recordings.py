"""Where the recordings of a joined file begin."""

import io
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import write_clip
from odd_media import join

from artifactscan.decode import recordings
from artifactscan.decode.recordings import FilePart, find_recordings

HEADS = st.sampled_from(
    [b"FLV\x01", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", b"RIFF", b"OggS", b""]
)


@pytest.mark.parametrize("name", ["clip.flv", "clip.mkv", "live.mkv", "clip.webm", "clip.ogv"])
@pytest.mark.parametrize("chunk_bytes", [64, 8 << 20])
def test_each_recording_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk_bytes: int) -> None:
    """In chunks of any size: a header may lie across two."""
    monkeypatch.setattr(recordings, "_CHUNK_BYTES", chunk_bytes)
    recordings._find_recordings.cache_clear()
    codec = {".webm": "libvpx-vp9", ".ogv": "libvpx"}.get(Path(name).suffix, "libx264")
    muxer = {"live": "1"} if name == "live.mkv" else {}
    part = write_clip(tmp_path / name, seconds=0.2, muxer=muxer, codec=codec)
    size = part.stat().st_size
    assert find_recordings(str(part)) == [(0, size)]
    whole = join(tmp_path / f"joined-{name}", part, part, part)
    assert find_recordings(str(whole)) == [(0, size), (size, 2 * size), (2 * size, 3 * size)]


def test_what_is_no_recording_after_a_matroska_file_is_left_with_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", seconds=0.2)
    path.write_bytes(path.read_bytes() + b"\x1a\x45\xdf\xa3" + bytes(200))
    assert find_recordings(str(path)) == [(0, path.stat().st_size)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.avi"])
def test_other_containers_are_read_as_one(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, seconds=0.2)
    whole = join(tmp_path / f"joined-{name}", path, path)
    assert find_recordings(str(whole)) == [(0, whole.stat().st_size)]


@given(HEADS, st.binary(max_size=300))
def test_any_bytes_are_at_least_one_recording(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + rest)
    parts = find_recordings(str(path))
    assert parts[0][0] == 0 and parts[-1][1] == len(head + rest)
    assert all(end == start for (_, end), (start, _) in pairwise(parts))


def test_a_part_reads_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with io.FileIO(path) as file:
        part = FilePart(file, 2, 7)
        assert (part.read(2), part.read(), part.read(1)) == (b"23", b"456", b"")
        assert part.seek(-2, os.SEEK_END) == 3 and part.read(9) == b"56"
        assert part.seek(1) == 1 and part.seek(2, os.SEEK_CUR) == part.tell() == 3
        assert part.seek(99) == 99 and part.read(1) == b""
