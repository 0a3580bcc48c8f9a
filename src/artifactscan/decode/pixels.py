"""Converts decoded frames of every decoder to a classifier's input: size, rotation, colour."""

import math
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from artifactscan.decode.header_fields import Cropping
from artifactscan.decode.input_spec import InputSpec

_KERNELS = {
    "bicubic": Interpolation.BICUBIC,
    "bilinear": Interpolation.BILINEAR,
    "area": Interpolation.AREA,
    "lanczos": Interpolation.LANCZOS,
}
# The same pixels on every processor, and full chroma resolution: by default swscale shares one colour between two
# neighbouring output pixels, which fringes edges (mean error against resizing in RGB: 2.5 of 255 instead of 0.3).
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT

_PLANAR_KERNELS = ("bicubic", "lanczos")
"""Kernels with more than two rows to each output row, wherever the height changes."""

# A frame's tag (AVColorSpace) to swscale's matrix; constant-luminance BT.2020 has none of its own.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_LIMITED_TO_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""A grey value of limited range (16 is black, 235 white) to one of full range."""
_FULL_RANGE_FORMATS = ("yuvj", "rgb", "bgr", "gbr")
_GREY_FORMATS = ("gray", "ya")
_HD_HEIGHT = 720
"""Untagged frames at least this high are read as BT.709, lower ones as BT.601, as players do."""


def to_rgb(
    frame: av.VideoFrame, spec: InputSpec, scaler: VideoReformatter | None = None, crop: Cropping | None = None
) -> np.ndarray:
    """The whole frame as shown, stretched to the input's size: uint8 RGB, (height, width, 3), contiguous.

    One swscale pass from the decoded frame, with the card's kernel; rotated and mirrored afterwards where the
    container asks for it. Colour matrix and range follow the frame's tags; see _HD_HEIGHT for untagged ones.
    Alpha is ignored (FFmpeg paints a GIF's transparent pixels white). ``scaler``: reused for all frames of a video.
    ``crop``: what is shown of the frame; it costs another pass.
    """
    rotation_deg, mirrored = orientation(frame)
    width, height = (spec.height, spec.width) if rotation_deg % 180 else (spec.width, spec.height)
    if crop and (frame.width, frame.height) == (crop.coded_width, crop.coded_height):
        full = _scale(frame, frame.width, frame.height, spec.resize, VideoReformatter())
        frame = av.VideoFrame.from_ndarray(crop.of(full), format="rgb24")
    pixels = _scale(frame, width, height, spec.resize, scaler or VideoReformatter())
    if mirrored:
        pixels = np.fliplr(pixels)
    return np.ascontiguousarray(np.rot90(pixels, -rotation_deg // 90))


def _scale(frame: av.VideoFrame, width: int, height: int, resize: str, scaler: VideoReformatter) -> np.ndarray:
    """The coded frame as uint8 RGB, (height, width, 3)."""
    untagged = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
    full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(_FULL_RANGE_FORMATS)
    # With full chroma resolution swscale has SIMD code for planar RGB only, which saves a third of the time. The pixels
    # are the same but where an output row is made of one or two rows: there it rounds packed RGB in another way.
    planar = resize in _PLANAR_KERNELS and frame.height != height
    scaled = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="gbrp" if planar else "rgb24",
        src_colorspace=_MATRICES.get(frame.colorspace, untagged),
        src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_KERNELS[resize] | _EXACT,
        threads=1,
    )
    pixels = scaled.to_ndarray()
    # swscale takes every grey frame for one of full range; so they are where a codec without a tag has them.
    limited_grey = frame.color_range == ColorRange.MPEG and frame.format.name.startswith(_GREY_FORMATS)
    return to_full_range(pixels) if limited_grey else pixels


def to_full_range(grey: np.ndarray) -> np.ndarray:
    """Grey RGB, uint8, that was taken for full range though it has limited range, made full range."""
    return _LIMITED_TO_FULL[grey]


def shown_size(
    width: int, height: int, rotation_deg: int, pixel_shape: Fraction, crop: Cropping | None
) -> tuple[int, int]:
    """Width and height, in square pixels, at which players show a coded frame of ``width`` × ``height``.

    ``pixel_shape``: width of a pixel to its height; as in players the height stays and the width changes.
    """
    if crop and (width, height) == (crop.coded_width, crop.coded_height):
        width, height = crop.width, crop.height
    width = max(1, round(width * pixel_shape))
    return (height, width) if rotation_deg % 180 else (width, height)


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Rotation that the container asks for: clockwise degrees (0, 90, 180 or 270), and whether to mirror before it."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    # A 3×3 matrix in 16.16 fixed point: pixel (x, y) is shown at (a·x + c·y, b·x + d·y).
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored = a * d < b * c
    angle = math.atan2(-b, -a) if mirrored else math.atan2(b, a)
    return round(math.degrees(angle) / 90) * 90 % 360, mirrored
