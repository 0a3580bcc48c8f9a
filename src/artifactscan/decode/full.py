"""Full decoding: every packet, and the sampled frames picked by the times of the frames that come out."""

from contextlib import suppress
from math import inf

import av
from av.error import FFmpegError

from artifactscan.decode.containers import OpenVideo
from artifactscan.decode.output import FrameOutput
from artifactscan.decode.sampling import first_sample, samples_per_tick
from artifactscan.decode.size_limits import check_duration
from artifactscan.decode.video import DecodeSettings


def decode_fully(video: OpenVideo, settings: DecodeSettings, output: FrameOutput) -> None:
    """Decodes every packet and delivers the frames on screen at the sampling times."""
    decoder = video.open_decoder()
    timeline = _Timeline(video, settings, output)
    number = -1
    for number, packet in enumerate(video.packets()):
        timeline.expect(packet)
        try:
            frames = decoder.decode(packet)
        except MemoryError:
            raise
        except FFmpegError:
            timeline.add_damage(number)
            continue
        for frame in frames:
            timeline.add_frame(frame, number)
    with suppress(FFmpegError):
        for frame in decoder.decode(None):
            timeline.add_frame(frame, number)
    timeline.finish(read=number + 1)


class _Timeline:
    """Picks the frames on screen at the sampling times, from frames in the order in which they come out."""

    def __init__(self, video: OpenVideo, settings: DecodeSettings, output: FrameOutput):
        self.video, self.output = video, output
        self.rate = samples_per_tick(video.time_base, settings.sample_fps)
        self.time_base, self.frame_ticks = video.time_base, video.frame_ticks
        self.start: int | None = None
        self.on_screen: tuple[int, av.VideoFrame | None] = (0, None)
        """Time and picture of the latest frame; the picture is None where it was lost."""
        self.end = 0
        self.frames = self.sampled = 0
        self.intact_from = -inf
        """Frames presented before this time depend on damaged packets."""
        self.pending: dict[int, bool] = {}
        """Packets in the decoder: presentation time to whether the frame is lost."""
        self.shift = 0
        """Added to every time, once frames without a time have taken up time of their own."""
        self.guessed = False

    def expect(self, packet: av.Packet) -> None:
        """Notes that a packet goes into the decoder."""
        if packet.is_keyframe and self.intact_from == inf and packet.pts is not None:
            self.intact_from = packet.pts
        if packet.pts is not None and not packet.is_discard:
            self.pending[packet.pts] = packet.is_corrupt or packet.pts < self.intact_from

    def add_damage(self, number: int) -> None:
        """Packet ``number`` is damaged: all frames up to the next keyframe are lost."""
        self.output.damaged.add(number)
        self.intact_from = inf
        self.pending = dict.fromkeys(self.pending, True)

    def add_frame(self, frame: av.VideoFrame, number: int) -> None:
        """Takes a frame that came out of the decoder when packet ``number`` went in."""
        if frame.is_corrupt:
            self.add_damage(number)
        lost = self.intact_from == inf
        if frame.pts is None:
            self.guessed = True
        else:
            self._add_lost_before(frame.pts)
            lost = self.pending.pop(frame.pts, lost)
        self._show(frame.pts, None if lost else frame, frame.duration)

    def finish(self, *, read: int) -> None:
        """Ends the timeline after ``read`` packets; packets that the file lacks are counted as damaged."""
        self._add_lost_before(inf)
        missing, step = self.video.missing(read, self.start or 0, self.end)
        for number in range(read, read + missing):
            self.output.damaged.add(number)
            self._show(None, None, step)
        self._deliver_if_sampled(self.end)
        duration_s = float((self.end - (self.start or 0)) * self.time_base)
        self.output.set_timeline(frames=self.frames, sampled=self.sampled, duration_s=duration_s)

    def _add_lost_before(self, pts: float) -> None:
        for time in sorted(time for time in self.pending if time < pts):
            if self.pending.pop(time):
                self._show(time, None, 0)

    def _show(self, time: int | None, frame: av.VideoFrame | None, duration: int) -> None:
        pts = self.end if time is None else time + self.shift
        if time is not None and self.guessed:
            self.shift += max(0, self.end - pts)
            self.guessed, pts = False, max(self.end, pts)
        if self.start is None:
            self.start = pts
            self.on_screen = (pts, None)
        # Times that run backwards would show a frame before its predecessor.
        pts = max(pts, self.on_screen[0])
        if self.frames:
            self._deliver_if_sampled(pts)
        self.on_screen, self.end = (pts, frame), pts + (duration or self.frame_ticks)
        self.frames += 1
        duration_s = float((self.end - self.start) * self.time_base)
        check_duration(duration_s, self.output.settings.limits, self.output.facts)

    def _deliver_if_sampled(self, until: int) -> None:
        """Delivers the frame on screen if there is a sampling time before ``until``."""
        (pts, frame), start = self.on_screen, self.start or 0
        if self.frames and first_sample(pts - start, self.rate) < first_sample(until - start, self.rate):
            self.sampled += 1
            if frame is not None:
                self.output.deliver(self.frames - 1, float((pts - start) * self.time_base), frame)
