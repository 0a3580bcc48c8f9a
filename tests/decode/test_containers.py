"""Truncated files: what the container declares against what the file has."""

from pathlib import Path

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from media import write_clip

from artifactscan.decode import header_fields
from artifactscan.decode.video import DecodeSettings, VideoFacts
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav
from artifactscan.model.checkpoint import InputSpec

SETTINGS = DecodeSettings(input=InputSpec(height=96, width=160), sample_fps=2.0)
SECONDS = 8


def part_of(folder: Path, name: str, share: float, *, audio: bool = False) -> str:
    """The first ``share`` of a clip of 16 sampled frames."""
    codec = {"webm": "libvpx-vp9", "mkv": "libx264", "avi": "mpeg4", "ts": "libx264"}[name]
    data = write_clip(folder / f"whole.{name}", seconds=SECONDS, codec=codec, audio=audio).read_bytes()
    path = folder / f"part.{name}"
    path.write_bytes(data[: round(share * len(data))])
    return str(path)


def decoded(path: str, decode=decode_pyav) -> VideoFacts:
    return decode(path, SETTINGS, lambda *_: None)


@pytest.mark.parametrize("decode", [decode_pyav, full_decode_pyav])
@pytest.mark.parametrize("name", ["webm", "mkv", "avi"])
def test_the_missing_frames_of_a_truncated_file_are_counted_as_lost(tmp_path: Path, name: str, decode) -> None:
    facts = decoded(part_of(tmp_path, name, 0.5), decode)
    assert facts.frames_sampled == 16
    assert facts.frames_decoded is not None and 5 <= facts.frames_decoded <= 9
    assert facts.packets_damaged is not None and facts.packets_damaged > 80
    assert facts.duration_s == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize(
    ("name", "audio"), [("webm", False), ("mkv", False), ("mkv", True), ("avi", False), ("ts", True)]
)
def test_a_complete_file_loses_no_frame(tmp_path: Path, name: str, audio: bool) -> None:
    facts = decoded(part_of(tmp_path, name, 1.0, audio=audio))
    assert (facts.frames_sampled, facts.frames_decoded, facts.packets_damaged) == (16, 16, 0)


def test_missing_frames_are_counted_up_to_the_end_of_the_video_stream(tmp_path: Path) -> None:
    """Not by the end of a longer sound, nor with the time before the first frame counted twice."""
    path = tmp_path / "clip.mkv"
    write_clip(path, fps=10, pts_s=[3 + n / 10 for n in range(60)])
    path.write_bytes(path.read_bytes()[:-4])
    facts = decoded(str(path))
    assert facts.frames_sampled == facts.frames_decoded == 12
    long = part_of(tmp_path, "mkv", 1.0, audio=True)
    with av.open(long) as container:
        assert len(container.streams) == 2
    Path(long).write_bytes(Path(long).read_bytes()[:-4])
    facts = decoded(long)
    assert facts.frames_sampled == facts.frames_decoded == 16


def test_a_truncated_file_without_a_declared_length_loses_no_frame(tmp_path: Path) -> None:
    facts = decoded(part_of(tmp_path, "ts", 0.5))
    assert facts.frames_sampled == facts.frames_decoded == 8


@example(b"\x1a\x45\xdf\xa3", b"\x01\x04\x00\x00\x00\x00\x00\x00")  # a size to which no file system can go
@given(st.one_of(st.just(b""), st.just(b"\x1a\x45\xdf\xa3"), st.just(b"RIFF")), st.binary(max_size=40))
def test_any_bytes_can_be_checked_for_truncation(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + rest)
    assert header_fields.is_truncated(str(path)) in (True, False)


@pytest.mark.parametrize(
    ("size", "there", "cut_off"),
    [
        (b"\x84", 4, False),
        (b"\x84", 3, True),
        (b"\x40\x04", 4, False),  # the same number in two bytes
        (b"\x40\x04", 3, True),
        (b"\x01" + b"\xff" * 7, 3, False),  # not known: a live recording
        (b"\xff", 3, False),
        (b"\x01" + b"\xff" * 6 + b"\xfe", 3, True),
    ],
)
def test_a_matroska_segment_longer_than_the_file(tmp_path: Path, size: bytes, there: int, cut_off: bool) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67" + size + b"x" * there)
    assert header_fields.is_truncated(str(path)) is cut_off


@pytest.mark.parametrize(("there", "cut_off"), [(0, False), (12, True), (19, True), (20, False)])
def test_an_avi_with_an_incomplete_chunk(tmp_path: Path, there: int, cut_off: bool) -> None:
    """OpenDML 1.02; ``there``: bytes of the second of two chunks of 20."""
    path = tmp_path / "any"
    chunks = b"RIFF\x0b\0\0\0AVI 1234567\0", b"RIFF\x0c\0\0\0AVIX12345678"
    path.write_bytes(chunks[0] + chunks[1][:there])
    assert header_fields.is_truncated(str(path)) is cut_off
