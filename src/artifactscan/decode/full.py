"""Full decoding: every packet, and the sampled frames picked by the times of the frames that come out."""

from collections import deque
from contextlib import suppress
from fractions import Fraction
from math import inf

import av
from av.error import FFmpegError

from artifactscan.decode.containers import OpenVideo
from artifactscan.decode.missing_packets import missing_packets
from artifactscan.decode.output import FrameOutput
from artifactscan.decode.packet_notes import PacketReader
from artifactscan.decode.sampling import first_sample, samples_per_tick
from artifactscan.decode.size_limits import check_duration
from artifactscan.decode.theora_headers import header_packets
from artifactscan.decode.video import DecodeSettings, VideoFacts


class MessagesRefusedError(Exception):
    """The decoder refused a packet, perhaps for what it holds beside the picture: it is to be left out."""


def decode_fully(
    video: OpenVideo, settings: DecodeSettings, output: FrameOutput, *, made_up_times: bool, bare: bool
) -> None:
    """Decodes every packet and delivers the frames on screen at the sampling times.

    ``made_up_times``: the times of the packets are in decoding order, so that frames take them in the order in which
    they come out. ``bare``: without SEI messages and the like; MessagesRefusedError asks for that.
    """
    decoder, reader = video.open_decoder(), PacketReader(video.stream.codec_context)
    timeline, is_theora = _Timeline(video, settings, output, made_up_times), reader.codec == "theora"
    number = -1
    for number, packet in enumerate(video.packets()):
        timeline.expect(packet)
        if packet.is_corrupt:
            timeline.add_damage(number)
            continue
        try:
            for header in header_packets(packet) if is_theora else ():
                decoder.decode(header)
            frames = decoder.decode((bare and reader.without_messages(packet)) or packet)
        except MemoryError:
            raise
        except FFmpegError:
            if not bare and reader.without_messages(packet):
                raise MessagesRefusedError from None
            timeline.add_damage(number)
            continue
        for frame in frames:
            timeline.add_frame(frame, number)
    timeline.expect_missing(read=number + 1)
    with suppress(FFmpegError):
        for frame in decoder.decode(None):
            timeline.add_frame(frame, number)
    timeline.finish()


def check_times(video: OpenVideo, settings: DecodeSettings, facts: VideoFacts) -> None:
    """Raises DecodeError where the packets show that a video is too long; decodes none of them."""
    first = last = None
    for packet in video.packets():
        if packet.pts is not None and not packet.is_discard:
            first = packet.pts if first is None else min(first, packet.pts)
            last = packet.pts if last is None else max(last, packet.pts)
    if first is not None and last is not None:
        check_duration(float((last - first) * video.time_base), settings.limits, facts)


class _Timeline:
    """Picks the frames on screen at the sampling times, from frames in the order in which they come out."""

    def __init__(self, video: OpenVideo, settings: DecodeSettings, output: FrameOutput, made_up_times: bool):
        self.video, self.output, self.made_up_times = video, output, made_up_times
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
        self.cut_off: set[int] = set()
        """Times of frames that an edit list cuts off; they come out where the decoder got a copy of the packet."""
        self.times: deque[int] = deque()
        """Made-up times that no frame has taken yet, ascending."""
        self.keyframes: list[int] = []
        """Made-up times of the keyframes that may still come out."""
        self.read_times: list[int] = []
        """Presentation times of all packets so far."""
        self.missing_durations: dict[int, int] = {}
        """Presentation time to duration of the packets that the file lacks."""
        self.shift = 0
        """Added to every time, once frames without a time have taken up time of their own."""
        self.guessed = False
        self.cut_off_ticks = Fraction(0)
        """What the durations of frames without a time lack, as they are whole ticks (Matroska: milliseconds)."""

    def expect(self, packet: av.Packet) -> None:
        """Notes that a packet goes into the decoder."""
        if packet.pts is not None:
            self.read_times.append(packet.pts)
        if packet.is_keyframe and self.intact_from == inf and packet.pts is not None:
            self.intact_from = packet.pts
        if packet.pts is not None and not packet.is_discard:
            self.pending[packet.pts] = packet.is_corrupt or packet.pts < self.intact_from
            if self.made_up_times:
                self.times.append(packet.pts)
                if packet.is_keyframe:
                    self.keyframes.append(packet.pts)
        elif packet.pts is not None:
            self.cut_off.add(packet.pts)
            if packet.is_keyframe:
                self.keyframes.append(packet.pts)

    def expect_missing(self, *, read: int) -> None:
        """Counts as damaged, after ``read`` packets, those that the file lacks; their frames are lost."""
        missing = missing_packets(self.video, read, self.read_times)
        self.output.damaged.update(range(read, read + len(missing)))
        self.missing_durations = dict(missing)
        for time in self.missing_durations:
            self.pending[time] = True
            if self.made_up_times:
                self.times.append(time)

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
        pts = frame.pts
        if pts in self.cut_off and pts not in self.pending:
            return
        if pts is None:
            self.guessed = True
        else:
            lost = self.pending.pop(pts, lost)
            if self.made_up_times:
                pts = self._take_first_time(pts)
            else:
                self._add_lost_before(pts)
        self._show(pts, None if lost else frame, frame.duration)

    def _take_first_time(self, pts: int) -> int:
        """The earliest time that no frame has taken yet, for the frame with the made-up time ``pts``."""
        key = max((time for time in self.keyframes if time <= pts), default=pts)
        while self.times and self.times[0] < key:  # what was decoded before a keyframe is shown before it, or lost
            self.pending.pop(time := self.times.popleft(), None)
            self._show_lost(time)
        self.keyframes = [time for time in self.keyframes if time >= key]
        return self.times.popleft() if self.times else pts

    def finish(self) -> None:
        """Ends the timeline."""
        if self.made_up_times:
            while self.times:
                self._show_lost(self.times.popleft())
        else:
            self._add_lost_before(inf)
        if self.frames and not self.missing_durations:
            last, _ = self.on_screen
            self.end = last + self.video.last_frame_ticks(self.start or 0, last, self.end - last)
        self._deliver_if_sampled(self.end)
        duration_s = float((self.end - (self.start or 0)) * self.time_base)
        self.output.set_timeline(frames=self.frames, sampled=self.sampled, duration_s=duration_s)

    def _add_lost_before(self, pts: float) -> None:
        for time in sorted(time for time in self.pending if time < pts):
            if self.pending.pop(time):
                self._show_lost(time)

    def _show_lost(self, time: int) -> None:
        self._show(time, None, self.missing_durations.get(time, 0))

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
        duration = duration or self.frame_ticks
        if time is None and abs(duration - self.video.frame_time) < 1:
            self.cut_off_ticks += self.video.frame_time - duration
            duration += int(self.cut_off_ticks)
            self.cut_off_ticks -= int(self.cut_off_ticks)
        self.on_screen, self.end = (pts, frame), pts + duration
        self.frames += 1
        if frame is not None:  # what a header claims is missing is no reason to refuse what is there
            there_s = float((pts - self.start) * self.time_base)
            check_duration(there_s, self.output.settings.limits, self.output.facts)

    def _deliver_if_sampled(self, until: int) -> None:
        """Delivers the frame on screen if there is a sampling time before ``until``."""
        (pts, frame), start = self.on_screen, self.start or 0
        if self.frames and first_sample(pts - start, self.rate) < first_sample(until - start, self.rate):
            self.sampled += 1
            if frame is not None:
                self.output.deliver(self.frames - 1, float((pts - start) * self.time_base), frame)
