"""Rotation, mirroring, sizes, colours and bit depth: pixels as a player shows them."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from decoded import H264, assert_identical, decode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media import draw_frame, read_number, write_clip

from artifactscan.decode.input_spec import RESIZE_KERNELS, InputSpec
from artifactscan.decode.pixels import to_full_range, to_rgb

# Pixels


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "clip.mp4", rotation=rotation, options=H264)
    frames, facts = assert_identical(path)
    assert facts.rotation_deg == rotation
    assert (facts.width, facts.height) == ((96, 160) if rotation % 180 else (160, 96))
    upright = [np.rot90(pixels, rotation // 90) for _, _, pixels in frames]
    assert [read_number(pixels) for pixels in upright] == [0, 12, 24, 36]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_mirroring_is_applied(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.set_display_rotation(-degrees, hflip=True)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_frame(0b01001101, 160, 96), format="rgb24")))
        out.mux(stream.encode(None))
    ((_, _, pixels),), _ = decode(path)
    # PyAV mirrors after turning: take the mirroring off first.
    assert read_number(np.rot90(np.fliplr(pixels), degrees // 90)) == 0b01001101


def test_any_frame_size_is_scaled_to_the_input_size(tmp_path: Path) -> None:
    for width, height in ((16, 16), (64, 1920), (1920, 64), (50, 34)):
        frames, facts = assert_identical(write_clip(tmp_path / "clip.mp4", width=width, height=height, seconds=1))
        assert (facts.width, facts.height) == (width, height)
        assert [pixels.shape for _, _, pixels in frames] == [(48, 80, 3)] * 2
    odd = write_clip(tmp_path / "odd.gif", codec="gif", pix_fmt="rgb8", width=33, height=17, fps=10)
    assert [pixels.shape for _, _, pixels in decode(odd)[0]] == [(48, 80, 3)] * 4


def _solid(width: int, height: int, colorspace: int, color_range: int) -> av.VideoFrame:
    """Limited-range BT.709 red, or what else the same numbers mean under other tags."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (63, 102, 240), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


UNTAGGED, BT709, BT601, BT2020 = 2, 1, 6, 9
LIMITED, FULL = 1, 2


@pytest.mark.parametrize(
    ("frame", "rgb"),
    [
        (_solid(320, 240, BT709, LIMITED), (255, 0, 0)),
        (_solid(1280, 720, UNTAGGED, 0), (255, 0, 0)),
        (_solid(320, 240, UNTAGGED, 0), (233, -25, 2)),
        (_solid(1280, 720, BT601, LIMITED), (233, -25, 2)),
        (_solid(320, 240, BT709, FULL), (239, 16, 15)),
        (_solid(320, 240, BT2020, LIMITED), (243, -14, -1)),
    ],
    ids=["709", "untagged HD", "untagged SD", "601", "full range", "2020"],
)
def test_colour_follows_the_tags(frame: av.VideoFrame, rgb: tuple[int, int, int]) -> None:
    pixels = to_rgb(frame, InputSpec(height=32, width=32))
    assert np.abs(pixels.astype(int) - np.clip(rgb, 0, 255)).max() <= 3


def test_ten_bits_look_like_eight(tmp_path: Path) -> None:
    eight, _ = decode(write_clip(tmp_path / "8.mp4", codec="libx265", options={"crf": "8"}))
    ten, _ = decode(write_clip(tmp_path / "10.mp4", codec="libx265", pix_fmt="yuv420p10le", options={"crf": "8"}))
    for (_, _, a), (_, _, b) in zip(eight, ten, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 3


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic", "lanczos"])
def test_shrinking_does_not_alias(kernel: str) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24")
    pixels = to_rgb(frame, InputSpec(height=64, width=64, resize=kernel))
    assert np.abs(pixels[:, 4:-4].astype(int) - 127).max() <= 3


FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv411p", "yuva420p", "nv12", "gray", "ya8", "rgb24", "pal8")
DEEP_FORMATS = ("yuv420p10le", "yuv422p10le", "yuv444p12le", "p010le", "gray10le", "gbrp10le", "rgb48le")


@given(
    st.sampled_from(FORMATS + DEEP_FORMATS),
    st.sampled_from(RESIZE_KERNELS),
    st.tuples(st.integers(16, 400), st.integers(16, 400)),
    st.tuples(st.integers(32, 300), st.integers(32, 300)),
    st.sampled_from([0, LIMITED, FULL]),
    st.integers(0, 1 << 32),
)
@example("yuv420p", "area", (64, 48), (224, 224), LIMITED, 0)
@example("yuv420p", "bilinear", (64, 225), (224, 224), LIMITED, 0)
@example("yuv420p", "bicubic", (300, 224), (224, 224), LIMITED, 0)
@example("yuv420p", "bicubic", (224, 225), (224, 224), LIMITED, 0)
@settings(max_examples=60, deadline=None)
def test_pixels_are_those_of_the_packed_conversion(
    pixel_format: str, kernel: str, size: tuple[int, int], shown: tuple[int, int], color_range: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    frame = av.VideoFrame(*size, pixel_format)
    for plane in frame.planes:
        limit = 256 if pixel_format in FORMATS else 65536 if "48" in pixel_format else 1024
        samples = random.integers(0, limit, plane.buffer_size, np.uint16)
        plane.update((samples.astype(np.uint8) if limit == 256 else samples[: plane.buffer_size // 2]).tobytes())
    frame.color_range = color_range
    pixels = to_rgb(frame, InputSpec(height=shown[1], width=shown[0], resize=kernel))
    assert np.array_equal(pixels, _packed(frame, kernel, *shown))


def _packed(frame: av.VideoFrame, kernel: str, width: int, height: int) -> np.ndarray:
    """Scaled in one pass to packed RGB, as the scores of earlier versions were made."""
    full = frame.color_range == FULL or frame.format.name.startswith(("yuvj", "rgb", "gbr"))
    exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
    scaled = (
        VideoReformatter()
        .reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation[kernel.upper()] | exact,
            threads=1,
        )
        .to_ndarray()
    )
    limited_grey = frame.color_range == LIMITED and frame.format.name.startswith(("gray", "ya"))
    return to_full_range(scaled) if limited_grey else scaled
