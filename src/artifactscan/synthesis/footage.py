"""Reads a stretch of a clean clip, as the scoring decodes it, and writes clips that coding does not hide things in."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.decode.with_pyav import decode_pyav
from artifactscan.errors import UsageError

_ENCODER = {"crf": "12", "preset": "veryfast", "threads": "1"}
"""Visually lossless; one thread gives the same file everywhere."""
_FACTS_ONLY = DecodeSettings(input=InputSpec(height=8, width=8), sample_fps=1e-4)


_HD_HEIGHT = 720
"""Pixels; from here on untagged video is taken for BT.709, below for BT.601: the clips follow it, and say so."""


class _Enough(Exception):
    """The stretch is complete; the rest of the clip need not be decoded."""


def read_stretch(
    path: str, *, height: int, width: int, seconds: float, fps: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A stretch of a clip from a random start: its frames and their rate.

    The frames are uint8 RGB, (frames, h, w, 3), with even sides: as large as fits ``height`` × ``width`` without
    stretching or enlarging; the rate is ``fps``, or the clip's own where that is lower. Raises UsageError for a file
    that cannot be read.
    """
    facts = _decode(path, _FACTS_ONLY, lambda *_: None)
    own_height, own_width = facts.height or height, facts.width or width
    factor = min(1.0, height / own_height, width / own_width)
    spec = InputSpec(height=_even(own_height * factor), width=_even(own_width * factor))
    rate = min(fps, facts.fps or fps)
    begin_s = rng.uniform(0, max(0.0, (facts.duration_s or 0.0) - seconds))
    frames: list[np.ndarray] = []

    def keep(_index: int, pts_s: float, pixels: np.ndarray) -> None:
        if pts_s >= begin_s:
            frames.append(pixels)
        if len(frames) >= seconds * rate:
            raise _Enough

    with suppress(_Enough):
        _decode(path, DecodeSettings(input=spec, sample_fps=rate), keep)
    return np.stack(frames), rate


def write_clip(path: Path, frames: np.ndarray, fps: float) -> None:
    """Writes uint8 RGB frames, (frames, height, width, 3) with even sides, as H.264 in MP4; OSError where it cannot.

    The name is given only to a complete file.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        _encode(partial, frames, fps)
        partial.replace(path)
    except FFmpegError as error:
        raise OSError(error.errno, error.strerror or str(error)) from None
    finally:
        partial.unlink(missing_ok=True)


def _encode(path: Path, frames: np.ndarray, fps: float) -> None:
    matrix, tag = (Colorspace.ITU709, 1) if frames.shape[1] >= _HD_HEIGHT else (Colorspace.ITU601, 6)
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = cast(VideoStream, container.add_stream("libx264", rate=rate, options=_ENCODER))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, ColorRange.MPEG
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(
                stream.encode(
                    frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG, threads=1)
                )
            )
        container.mux(stream.encode())


def _decode(path: str, settings: DecodeSettings, sink) -> VideoFacts:
    try:
        return decode_pyav(path, settings, sink)
    except DecodeError as error:
        raise UsageError(f"clip {path} cannot be read: {error.reason}; replace it or take it out of --clips") from None
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"clip {path} cannot be read: {reason}; replace it or take it out of --clips") from None


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
