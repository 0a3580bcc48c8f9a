"""Where decoders put their frames: checked against the limits, scaled to the input size, each delivered once."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from artifactscan.decode.containers import OpenVideo
from artifactscan.decode.header_fields import Cropping
from artifactscan.decode.pixels import orientation, shown_size, to_rgb
from artifactscan.decode.size_limits import check_pixels
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

Sink = Callable[[int, float, np.ndarray], None]
"""Takes one frame: its index in presentation order, its time in seconds after the first presented frame, and
its pixels, uint8 RGB, (height, width, 3), contiguous."""


class FrameOutput:
    """Delivers a video's sampled frames to a sink and fills its facts."""

    def __init__(self, settings: DecodeSettings, sink: Sink, facts: VideoFacts, context_sink: Sink | None = None):
        self.settings, self.facts = settings, facts
        self.last_index = -1
        """Index of the last frame delivered."""
        self.damaged: set[int] = set()
        """Numbers of the damaged packets."""
        self.context: frozenset[int] = frozenset()
        """Indices of frames that go to the context sink, and do not count as frames of this slice."""
        self.context_sink, self.context_frames = context_sink, 0
        self._sink, self._frames = sink, 0
        self.crop: Cropping | None = None
        self.pixel_shape = Fraction(1)
        """Width of a pixel to its height."""
        self._scaler = VideoReformatter()

    def deliver(self, index: int, pts_s: float, frame: av.VideoFrame) -> None:
        """Passes one frame to the sink, unless it was delivered before decoding fell back to a full decode."""
        if index <= self.last_index:
            return
        check_pixels(frame.width, frame.height, self.settings.limits, self.facts)
        if self.facts.rotation_deg is None:
            self.facts.rotation_deg, _ = orientation(frame)
            size = shown_size(frame.width, frame.height, self.facts.rotation_deg, self.pixel_shape, self.crop)
            self.facts.width, self.facts.height = size
        rgb = to_rgb(frame, self.settings.input, self._scaler, self.crop)
        self.last_index = index
        if index in self.context and self.context_sink is not None:
            self.context_sink(index, pts_s, rgb)
            self.context_frames += 1
        else:
            self._sink(index, pts_s, rgb)
            self._frames += 1

    def set_timeline(self, *, frames: int, sampled: int, duration_s: float) -> None:
        """Notes the frames and length of the whole video."""
        self.facts.frames_in_video, self.facts.frames_sampled = frames, sampled
        self.facts.duration_s = duration_s
        self.facts.fps = frames / duration_s if duration_s > 0 else None

    def show_as(self, video: OpenVideo) -> None:
        """Takes over how the container of the video has players show its frames."""
        self.crop, self.pixel_shape = video.cropping, video.pixel_shape

    def finish(self, *, may_be_empty: bool = False) -> VideoFacts:
        """The facts; raises DecodeError where no frame was delivered, unless it ``may_be_empty``, as a slice may."""
        self.facts.frames_decoded, self.facts.packets_damaged = self._frames, len(self.damaged)
        if not self._frames and not may_be_empty:
            damage = f": {len(self.damaged)} of its packets are damaged" if self.damaged else ""
            raise DecodeError(Outcome.UNDECODABLE, f"no frame could be decoded{damage}", self.facts)
        return self.facts
