"""Frames as players show them: cropped, of square pixels, in the right range; and codecs with hidden frames."""

from pathlib import Path

import numpy as np
import pytest
from decoded import assert_identical, decode
from media import draw_frame, read_number, write_clip
from odd_media import clean_aperture, green_bar, pixel_crop

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeSettings

TWO_SECONDS = [0, 12, 24, 36]


def shown(path: Path, height: int, width: int) -> np.ndarray:
    """The second sampled frame at that size, frame 12."""
    frames, facts = assert_identical(path, DecodeSettings(input=InputSpec(height=height, width=width)))
    assert (facts.height, facts.width) == (height, width)
    assert [read_number(pixels) for _, _, pixels in frames] == TWO_SECONDS
    return frames[1][2].astype(int)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_matroska_crops_its_frames(tmp_path: Path, codec: str) -> None:
    picture = shown(pixel_crop(tmp_path / "clip.mkv", bottom=24, codec=codec, draw=green_bar), 72, 160)
    assert np.abs(picture[4:-4] - draw_frame(12, 160, 72)[4:-4]).mean() < 12


def test_all_sides_are_cropped(tmp_path: Path) -> None:
    path = pixel_crop(tmp_path / "clip.mkv", bottom=24, top=6, left=3, draw=green_bar)
    picture = shown(path, 66, 157)
    assert np.abs(picture[4:-4] - draw_frame(12, 160, 72)[6:, 3:][4:-4]).mean() < 12


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.mov", "libx264"), ("h.mp4", "libx265")])
def test_a_clean_aperture_crops_frames(tmp_path: Path, name: str, codec: str) -> None:
    picture = shown(clean_aperture(tmp_path / name, 160, 72, down=-12, codec=codec, draw=green_bar), 72, 160)
    assert np.abs(picture[4:-4] - draw_frame(12, 160, 72)[4:-4]).mean() < 12


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_the_decoder_cropped_is_not_cropped_again(tmp_path: Path, codec: str) -> None:
    """Frames of 90 rows are coded as 96, which a container may say as well."""
    cropped = pixel_crop(tmp_path / "cropped.mkv", bottom=6, height=90, codec=codec)
    data = bytearray(cropped.read_bytes())
    at = data.index(b"\xba\x81\x5a", data.index(b"\x54\xb2\x81\x04") - 20)
    data[at + 2] = 96
    cropped.write_bytes(data)
    picture = shown(cropped, 90, 160)
    assert np.abs(picture[4:-4] - draw_frame(12, 160, 90)[4:-4]).mean() < 12


def test_a_rotated_clip_is_cropped_before_it_is_turned(tmp_path: Path) -> None:
    path = clean_aperture(tmp_path / "clip.mp4", 160, 72, down=-12, rotation=90, draw=green_bar)
    frames, facts = assert_identical(path, DecodeSettings(input=InputSpec(height=160, width=72)))
    assert (facts.width, facts.height, facts.rotation_deg) == (72, 160, 90)
    upright = np.rot90(frames[1][2].astype(int))
    assert np.abs(upright[4:-4] - draw_frame(12, 160, 72)[4:-4]).mean() < 12


@pytest.mark.parametrize("clap", [(0, 72), (160, 0), (4000, 72), (160, 4000), (2**31 - 1, 2**31 - 1)])
def test_an_impossible_cropping_is_ignored(tmp_path: Path, clap: tuple[int, int]) -> None:
    _, facts = decode(clean_aperture(tmp_path / "clip.mp4", *clap))
    assert (facts.width, facts.height) == (160, 96)


@pytest.mark.parametrize(
    ("name", "clip", "width"),
    [
        ("h264.mp4", {"options": {"x264-params": "sar=64/45"}}, 228),
        ("h264.mkv", {"options": {"x264-params": "sar=64/45"}}, 228),
        ("h264.ts", {"options": {"x264-params": "sar=64/45"}}, 228),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "sar=5"}}, 194),
        ("narrow.mp4", {"options": {"x264-params": "sar=8/9"}}, 142),
        ("mpeg2.ts", {"codec": "mpeg2video", "options": {"aspect": "16/15"}}, 171),
        ("nonsense.mp4", {"options": {"x264-params": "sar=1/60"}}, 160),
    ],
)
def test_pixels_that_are_not_square(tmp_path: Path, name: str, clip: dict, width: int) -> None:
    path = write_clip(tmp_path / name, **clip)
    _, facts = assert_identical(path)
    assert (facts.width, facts.height) == (width, 96)


def test_pixels_that_are_not_square_in_a_rotated_clip(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", rotation=90, options={"x264-params": "sar=64/45"})
    _, facts = decode(path)
    assert (facts.width, facts.height) == (96, 228)


@pytest.mark.parametrize(
    ("name", "clip", "dark", "light"),
    [
        ("hevc.mp4", {"codec": "libx265", "pix_fmt": "gray"}, 0, 255),
        ("hevc10.mp4", {"codec": "libx265", "pix_fmt": "gray10le"}, 0, 255),
        ("hevc-full.mp4", {"codec": "libx265", "pix_fmt": "gray", "options": {"x265-params": "range=full"}}, 16, 235),
        ("h264.mp4", {"pix_fmt": "gray"}, 0, 255),
        ("h264-full.mp4", {"pix_fmt": "gray", "options": {"x264-params": "fullrange=on"}}, 16, 235),
        ("lossless.mkv", {"codec": "ffv1", "pix_fmt": "gray"}, 16, 235),
        ("raw.avi", {"codec": "rawvideo", "pix_fmt": "gray"}, 16, 235),
        ("jpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, 16, 235),
        ("h264-yuvj.mp4", {"pix_fmt": "yuvj420p"}, 16, 235),
    ],
)
def test_light_and_dark_of_grey_and_full_range_clips(
    tmp_path: Path, name: str, clip: dict, dark: int, light: int
) -> None:
    """The bars of the code are coded as 235 and 16, which are white and black in limited range."""
    path = write_clip(tmp_path / name, **clip)
    frames, _ = assert_identical(path, DecodeSettings(input=InputSpec(height=96, width=160)))
    for index, _, pixels in frames:
        bars = pixels[2:10].astype(int).reshape(8, 8, 20, 3)[:, :, 6:14].mean(axis=(0, 2, 3))
        expected = [light if index >> bit & 1 else dark for bit in range(8)]
        assert np.abs(bars - expected).max() <= 4


# Codecs with hidden frames


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("vp8.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "24"}}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "24"}}),
        ("vp9.mp4", {"codec": "libvpx-vp9", "options": {"g": "24"}}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=24"}}),
        ("av1.mkv", {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=24:pred-struct=1"}}),
        ("av1-grain.mp4", {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=24:film-grain=20"}}),
    ],
)
def test_slices_of_codecs_with_hidden_frames(tmp_path: Path, name: str, clip: dict) -> None:
    path = write_clip(tmp_path / name, seconds=6, width=192, height=128, **clip)
    whole, facts = assert_identical(path)
    assert [read_number(pixels) for _, _, pixels in whole] == list(range(0, 144, 12))
    parts = [decode(path, slice=Slice(number, 3)) for number in range(3)]
    assert all(part for part, _ in parts)
    frames = [frame for part, _ in parts for frame in part]
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in whole]
    assert all(np.array_equal(one[2], other[2]) for one, other in zip(frames, whole, strict=True))
    assert sum(part.frames_sampled or 0 for _, part in parts) == facts.frames_sampled
