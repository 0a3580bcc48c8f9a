"""Reads a stretch of a clip, as scoring decodes it, and writes clips."""

from collections.abc import Iterable, Mapping
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

VISUALLY_LOSSLESS = {"crf": "12", "preset": "veryfast", "threads": "1", "rc-lookahead": "0"}
"""Options of libx264. Several threads, or looking ahead, give different files for the same frames."""
_FACTS_ONLY = DecodeSettings(input=InputSpec(height=8, width=8), sample_fps=1e-4)
_HD_HEIGHT = 720
"""Pixels; players take untagged video for BT.709 from here on, below for BT.601: the clips follow it, and say so."""


class _StretchComplete(Exception):
    """The rest of the clip need not be decoded."""


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
    spec = InputSpec(height=_round_to_even(own_height * factor), width=_round_to_even(own_width * factor))
    rate = min(fps, facts.fps or fps)
    begin_s = rng.uniform(0, max(0.0, (facts.duration_s or 0.0) - seconds))
    frames: list[np.ndarray] = []

    def keep(_index: int, pts_s: float, pixels: np.ndarray) -> None:
        if pts_s >= begin_s:
            frames.append(pixels)
        if len(frames) >= seconds * rate:
            raise _StretchComplete

    with suppress(_StretchComplete):
        _decode(path, DecodeSettings(input=spec, sample_fps=rate), keep)
    return np.stack(frames), rate


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] = VISUALLY_LOSSLESS,
) -> None:
    """Writes frames, uint8 RGB, (height, width, 3) with even sides; the container follows the name: mp4 or webm.

    The name is given only to a complete file. Raises OSError where it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with av.open(str(partial), "w", format=path.suffix[1:]) as container:
            rate = Fraction(fps).limit_denominator(1001)
            stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=dict(options)))
            for pixels in frames:
                height, width = pixels.shape[:2]
                matrix, tag = (Colorspace.ITU709, 1) if height >= _HD_HEIGHT else (Colorspace.ITU601, 6)
                if not stream.codec_context.is_open:
                    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
                    stream.codec_context.colorspace, stream.codec_context.color_range = tag, ColorRange.MPEG
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG, threads=1
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        partial.replace(path)
    except FFmpegError as error:
        raise OSError(error.errno, error.strerror or str(error)) from None
    finally:
        partial.unlink(missing_ok=True)


def _decode(path: str, settings: DecodeSettings, sink) -> VideoFacts:
    try:
        return decode_pyav(path, settings, sink)
    except (DecodeError, OSError) as error:
        reason = error.reason if isinstance(error, DecodeError) else error.strerror or error
        raise UsageError(f"clip {path} cannot be read: {reason}; replace it or take it out of --clips") from None


def _round_to_even(side: float) -> int:
    return max(2, round(side / 2) * 2)
