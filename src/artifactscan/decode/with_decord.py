"""Decoding with decord 0.6, the alternative to PyAV.

Its limits: decord stops at a damaged packet, or silently returns another frame in its place, so losses are not counted
in full; it converts every frame as BT.601; it cannot open GIF and AV1. Its seeks land on wrong frames where groups of
pictures are open or an edit list cuts: such files are read from front to back, slowly. Files of which it would take
another stream, or miss or count other frames, and those with cropping are refused; docs/media.md has the table.
"""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from artifactscan.decode.containers import OpenVideo, has_known_signature, open_video
from artifactscan.decode.output import Sink
from artifactscan.decode.packet_notes import PacketReader
from artifactscan.decode.packets import SELECTIVE_CODECS, groups_are_closed, times_are_made_up
from artifactscan.decode.pixels import shown_size, to_full_range, to_rgb
from artifactscan.decode.sampling import sampled_frames, samples_per_tick
from artifactscan.decode.size_limits import check_duration, check_pixels
from artifactscan.decode.slices import WHOLE, NotSliceableError, Slice
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

_TICKS_PER_S = 10_000
"""decord gives times as 32-bit floats of seconds; finer ticks would show their rounding."""

_NO_TIME_S = 1e9
"""decord reports a missing time as a number far above this."""

_MEANINGS = {
    "Cannot create buffer source": "it cannot tell the size or pixel format of the frames",
    "av_read_frame failed": "it stops at a packet that cannot be read",
    "avcodec_send_packet": "its decoder refuses a packet",
    "is out of bounds for axis 0 with size 0": "it lists no frames",
    "cannot find video stream": "it finds no video stream that it can decode",
}
"""Parts of decord's messages, which quote its source, and what they mean."""
_SOURCE_PLACE = re.compile(r"\w\.(?:cc|cpp|cxx|cu|h|hpp):\d+")

_SEEKABLE_CODECS = ("h264", "hevc", "mpeg4", "mjpeg")
"""Others are read from front to back."""


def decode_decord(
    path: str, settings: DecodeSettings, sink: Sink, slice: Slice = WHOLE, _context_sink: Sink | None = None
) -> VideoFacts:
    """Gives ``sink`` each distinct frame on screen at a sampling time, in order; returns the video's facts.

    Where decord stops early, the frames up to there count. Raises DecodeError (UNDECODABLE, TOO_LARGE), and
    NotSliceableError for any slice; MemoryError and OSError propagate.
    """
    import decord  # here, so that only decoding processes load its FFmpeg

    if slice != WHOLE:
        raise NotSliceableError
    facts = VideoFacts(decoder="decord")
    with open_video(path, settings.limits, facts) as video:
        _check_container(path, facts)
        source = _Source(video, facts)
        if video.cropping:
            raise DecodeError(Outcome.UNDECODABLE, "decord ignores that the container crops its frames", facts)
        if source.made_up_times:
            reason = "decord shows frames in the wrong order where their times are those of decoding"
            raise DecodeError(Outcome.UNDECODABLE, reason, facts)
    decord.logging.set_level(decord.logging.QUIET)
    # decord's FFmpeg gets this path, so the file's own name has no meaning for it.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = decord.VideoReader(f"/dev/fd/{descriptor}", num_threads=1)
        _decode(reader, settings, sink, facts, source)
    except (decord.DECORDError, StopIteration, IndexError) as error:
        if not facts.frames_decoded:
            reason = f"decord could not decode it: {_plainly(error)}"
            raise DecodeError(Outcome.UNDECODABLE, reason, facts) from None
    finally:
        os.close(descriptor)
    return facts


class _Source:
    """What the file says of the stream that decord should give."""

    def __init__(self, video: OpenVideo, facts: VideoFacts):
        context = video.stream.codec_context
        notes = list(PacketReader(context).notes(video.packets()))
        self.exact_seeks = facts.codec in _SEEKABLE_CODECS and groups_are_closed(notes)
        self.frames = sum(note.shown for note in notes) if facts.codec in SELECTIVE_CODECS else None
        """Frames presented; None where the packets do not show it."""
        reorders = facts.codec == "hevc" and bool(context.has_b_frames)
        self.made_up_times = self.frames is not None and times_are_made_up(notes, reorders=reorders)
        self.size, self.pixel_shape = (context.width, context.height), video.pixel_shape
        is_grey = (context.pix_fmt or "").startswith("gray")
        self.limited_grey = is_grey and context.color_range == ColorRange.MPEG

    def check_frames(self, counted: int) -> None:
        """Raises IndexError where decord counts other frames: it shows another stream, or not all of this one."""
        if self.frames is not None and counted != self.frames:
            raise IndexError(f"it counts {counted} frames, the file has {self.frames}")

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown of decord's pictures, which it has rotated."""
        rotated = width != height and (height, width) == self.size
        coded = (height, width) if rotated else (width, height)
        return shown_size(*coded, 90 if rotated else 0, self.pixel_shape, None)


def _decode(reader: Any, settings: DecodeSettings, sink: Sink, facts: VideoFacts, source: _Source) -> None:
    starts, end = _timeline(reader)
    source.check_frames(len(starts))
    sampled = sampled_frames(starts, end, samples_per_tick(Fraction(1, _TICKS_PER_S), settings.sample_fps))
    facts.frames_in_video, facts.frames_sampled = len(starts), len(sampled)
    facts.duration_s = (end - starts[0]) / _TICKS_PER_S
    facts.fps = len(starts) / facts.duration_s
    check_duration((starts[-1] - starts[0]) / _TICKS_PER_S, settings.limits, facts)

    facts.frames_decoded = 0
    scaler = VideoReformatter()
    for index, picture in _pictures(reader, sampled, source.exact_seeks):
        height, width = picture.shape[:2]
        check_pixels(width, height, settings.limits, facts)
        facts.width, facts.height = source.shown_size(width, height)
        if source.limited_grey:
            picture = to_full_range(picture)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        seconds = (starts[index] - starts[0]) / _TICKS_PER_S
        sink(index, seconds, to_rgb(frame, settings.input, scaler))
        facts.frames_decoded += 1


def _timeline(reader: Any) -> tuple[list[int], int]:
    """Start of each frame that decord returns, and the end of the last one, in ticks."""
    times_s = reader.get_frame_timestamp(range(len(reader)))
    if np.abs(times_s).max(initial=0) > _NO_TIME_S:
        raise IndexError("it does not know when the frames are shown")
    # An edit list cuts off the frames before zero; decord never returns them.
    ticks = np.rint(times_s[times_s[:, 0] >= 0] * _TICKS_PER_S).astype(np.int64)
    if not len(ticks):
        raise IndexError("it lists no frames")
    starts = ticks[:, 0].tolist()
    # FLV and others have no durations: the last frame then lasts as long as the one before it.
    last = ticks[-1, 1] - starts[-1] or (starts[-1] - starts[-2] if len(starts) > 1 else 1)
    return starts, starts[-1] + max(1, int(last))


def _pictures(reader: Any, sampled: list[int], exact_seeks: bool) -> Iterator[tuple[int, np.ndarray]]:
    """The sampled frames as shown, at full size: index, and uint8 RGB, (H, W, 3)."""
    position = 0
    for index in sampled:
        if exact_seeks:
            yield index, _unpadded(reader[index].asnumpy())
            continue
        for _ in range(position, index):
            reader.next()
        position = index + 1
        yield index, _unpadded(reader.next().asnumpy())


def _unpadded(picture: np.ndarray) -> np.ndarray:
    """Removes the padding that decord leaves in narrow frames, where it looks like more channels."""
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture.reshape(height, -1)[:, : width * 3].reshape(height, width, 3))


def _check_container(path: str, facts: VideoFacts) -> None:
    """Raises DecodeError for containers that decord reads wrongly."""
    if not has_known_signature(path):
        # MPEG-TS is refused too: decord 0.6 loses the first group of pictures and counts the others wrongly.
        reason = f"decord is given mp4, mkv, avi and flv files only, this one is {facts.container}"
        raise DecodeError(Outcome.UNDECODABLE, reason, facts)


def _plainly(error: Exception) -> str:
    """decord's message in plain words, without its time stamp and places in its source."""
    message = str(error).strip()
    for fragment, meaning in _MEANINGS.items():
        if fragment in message:
            return meaning
    line = next(iter(message.splitlines()), "") or "it ends too early"
    line = line.rsplit("] ", 1)[-1].strip()
    return "a check of decord itself failed" if _SOURCE_PLACE.search(line) else line
