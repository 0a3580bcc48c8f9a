"""Chained Ogg, as ``cat one.ogv two.ogv`` makes it: each link follows the one before, and no header is a frame."""

from pathlib import Path

import av
import pytest
from decoded import assert_identical, decode
from hypothesis import given
from hypothesis import strategies as st
from media import read_number, truncate, write_clip
from odd_media import join, joined, write_second_half
from paths import ROOT

from artifactscan.decode.packet_notes import add_extradata
from artifactscan.decode.theora_headers import header_packets

FOUR_SECONDS = [0, 12, 24, 36, 48, 60, 72, 84]
THEORA = ROOT / "tests/data/theora"
"""Encoded with FFmpeg's program, as PyAV has no encoder: first.ogv has frames 0 to 47 at 80×48, second.ogv frames 48 to
95 at 128×64, and a sound in Vorbis."""


def shown(path: Path) -> tuple[list[int], list[int], list[float]]:
    """Index, number on the picture and time of each sampled frame; fails where any is lost."""
    frames, facts = assert_identical(path)
    assert (facts.frames_sampled, facts.packets_damaged) == (len(frames), 0)
    return (
        [index for index, _, _ in frames],
        [read_number(pixels) for _, _, pixels in frames],
        [seconds for _, seconds, _ in frames],
    )


def link(folder: Path, codec: str, number: int) -> Path:
    """The first or second of two recordings, of two sizes."""
    if codec == "theora":
        return THEORA / ("first.ogv", "second.ogv")[number]
    if number == 0:
        return write_clip(folder / "first.ogv", codec="libvpx")
    return write_second_half(folder / "second.ogv", codec="libvpx", width=320, height=240)


@pytest.mark.parametrize("codec", ["vp8", "theora"])
def test_links_of_different_sizes_follow_each_other(tmp_path: Path, codec: str) -> None:
    path = join(tmp_path / "clip.ogv", *(link(tmp_path, codec, number) for number in range(2)))
    assert shown(path) == (FOUR_SECONDS, FOUR_SECONDS, [n / 2 for n in range(8)])
    _, facts = decode(path)
    assert (facts.frames_in_video, facts.duration_s) == (96, 4.0)


@pytest.mark.parametrize("codec", ["vp8", "theora"])
@pytest.mark.parametrize("number", [0, 1])
def test_three_links_with_one_serial_number(tmp_path: Path, codec: str, number: int) -> None:
    """The second recording in Theora has sound: the first pages of its streams belong to one link."""
    part = link(tmp_path, codec, number)
    indices, numbers, _ = shown(join(tmp_path / "clip.ogv", part, part, part))
    assert indices == list(range(0, 144, 12))
    assert numbers == FOUR_SECONDS[4 * number : 4 * number + 4] * 3


def test_a_vp8_recording_of_the_same_size_follows(tmp_path: Path) -> None:
    assert shown(joined(tmp_path / "clip.ogv", codec="libvpx"))[:2] == (FOUR_SECONDS, FOUR_SECONDS)


def test_theora_headers_are_found_as_ogg_and_as_matroska_keep_them() -> None:
    with av.open(str(THEORA / "first.ogv")) as container:
        kept = bytes(container.streams.video[0].codec_context.extradata or b"")
    headers, rest = [], kept
    while rest:
        size = int.from_bytes(rest[:2], "big")
        headers.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    sizes = b"".join(b"\xff" * (len(header) // 255) + bytes([len(header) % 255]) for header in headers[:2])
    for extradata in (kept, b"\2" + sizes + b"".join(headers)):
        packet = av.Packet(b"picture")
        add_extradata(packet, extradata)
        assert [bytes(header) for header in header_packets(packet)] == [headers[0], headers[2]]
    assert header_packets(av.Packet(b"picture")) == []


@given(st.binary(max_size=300))
def test_any_bytes_can_be_searched_for_theora_headers(extradata: bytes) -> None:
    packet = av.Packet(b"picture")
    add_extradata(packet, extradata)
    assert len(header_packets(packet)) <= len(extradata)


def test_a_link_of_another_codec_is_counted_as_lost(tmp_path: Path) -> None:
    path = join(tmp_path / "clip.ogv", link(tmp_path, "theora", 0), link(tmp_path, "vp8", 1))
    frames, facts = assert_identical(path)
    assert [read_number(pixels) for _, _, pixels in frames] == [0, 12, 24, 36]
    assert (facts.frames_sampled, facts.packets_damaged) == (8, 48)


@pytest.mark.parametrize("codec", ["vp8", "theora"])
def test_a_last_link_that_is_cut_off_shows_what_is_there(tmp_path: Path, codec: str) -> None:
    whole = join(tmp_path / "clip.ogv", *(link(tmp_path, codec, number) for number in range(2)))
    indices, numbers, _ = shown(truncate(whole, keep=0.8))
    assert indices == numbers == FOUR_SECONDS[: len(numbers)]
    assert 5 <= len(numbers) < 8
