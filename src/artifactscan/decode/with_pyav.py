"""Decoding with PyAV: only the packets that the sampled frames need, on one thread, past damage.

The frames are bit-identical to those of a full decode. Where it cannot be told beforehand which packets are
needed, everything is decoded.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import dropwhile, takewhile
from math import inf
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from artifactscan.decode.containers import OpenVideo, check_duration, check_pixels, open_video
from artifactscan.decode.packets import (
    SELECTIVE_CODECS,
    DecodePlan,
    Group,
    PacketNote,
    note_packets,
    plan_decoding,
    restrict,
)
from artifactscan.decode.pixels import orientation, to_rgb
from artifactscan.decode.sampling import first_sample, samples_per_tick
from artifactscan.decode.video import WHOLE, DecodeError, DecodeSettings, NotSliced, VideoFacts
from artifactscan.outcomes import Outcome

Sink = Callable[[int, float, np.ndarray], None]
"""Takes one frame: its index in presentation order, its time in seconds after the first presented frame, and
its pixels, uint8 RGB, (height, width, 3), contiguous."""

_KEEP_BYTES = 64 << 20
"""Files up to this size keep their packets in memory between looking and decoding; larger are read again."""

_NONE = object()


class _NotAsPlanned(Exception):
    """An undamaged video gave other frames than its packets promised."""


def decode_pyav(path: str, settings: DecodeSettings, sink: Sink) -> VideoFacts:
    """Gives ``sink`` each distinct frame on screen at a sampling time, in order; returns the video's facts.

    ``frames_decoded`` below ``frames_sampled`` means frames lost to damage: a frame that cannot be decoded,
    and all that were built on it up to where decoding can start anew. Raises DecodeError (UNDECODABLE,
    TOO_LARGE), and NotSliced for a slice of a video that has to be decoded whole; MemoryError and OSError propagate.
    """
    facts = VideoFacts(decoder="pyav")
    delivery = _Delivery(settings, sink, facts)
    with open_video(path, settings.limits, facts) as video:
        if facts.codec in SELECTIVE_CODECS and _decode_selectively(path, video, settings, delivery):
            return delivery.finish()
    if settings.slice != WHOLE:
        if facts.frames_sampled is not None:  # there was a plan, by which the other slices go
            raise DecodeError(Outcome.UNDECODABLE, "its frames are not those that its packets promise", facts)
        raise NotSliced
    # Frames that were delivered before the plan proved wrong are not delivered again.
    with open_video(path, settings.limits, facts) as video:
        _decode_fully(video, settings, delivery)
    return delivery.finish()


def full_decode_pyav(path: str, settings: DecodeSettings, sink: Sink) -> VideoFacts:
    """The same as decode_pyav, by decoding every packet."""
    facts = VideoFacts(decoder="pyav")
    delivery = _Delivery(settings, sink, facts)
    with open_video(path, settings.limits, facts) as video:
        _decode_fully(video, settings, delivery)
    return delivery.finish()


class _Delivery:
    """Hands frames to the sink, each once, and keeps the facts."""

    def __init__(self, settings: DecodeSettings, sink: Sink, facts: VideoFacts):
        self.settings, self.sink, self.facts = settings, sink, facts
        self.last_index = -1
        self.frames = 0
        self.damaged: set[int] = set()
        self.scaler = VideoReformatter()

    def give(self, index: int, pts_s: float, frame: av.VideoFrame) -> None:
        """Passes one frame on, unless it was before a change of method."""
        if index <= self.last_index:
            return
        self._look(frame)
        self.sink(index, pts_s, to_rgb(frame, self.settings.input, self.scaler))
        self.last_index = index
        self.frames += 1

    def timeline(self, *, frames: int, sampled: int, duration_s: float) -> None:
        """Notes what is on the whole timeline; raises DecodeError for one that is too long."""
        self.facts.frames_in_video, self.facts.frames_sampled = frames, sampled
        self.facts.duration_s = duration_s
        self.facts.fps = frames / duration_s if duration_s > 0 else None
        check_duration(duration_s, self.settings.limits, self.facts)

    def finish(self) -> VideoFacts:
        """The facts; DecodeError where not one frame of a whole video was passed on."""
        self.facts.frames_decoded, self.facts.packets_damaged = self.frames, len(self.damaged)
        if not self.frames and self.settings.slice == WHOLE:
            damage = f": {len(self.damaged)} of its packets are damaged" if self.damaged else ""
            raise DecodeError(Outcome.UNDECODABLE, f"no frame could be decoded{damage}", self.facts)
        return self.facts

    def _look(self, frame: av.VideoFrame) -> None:
        check_pixels(frame.width, frame.height, self.settings.limits, self.facts)
        if self.facts.rotation_deg is None:
            self.facts.rotation_deg, _ = orientation(frame)
            size = (frame.width, frame.height)
            self.facts.width, self.facts.height = size[::-1] if self.facts.rotation_deg % 180 else size


class _Packets:
    """A video's packets by number: kept in memory while they are few bytes, else read from the file again."""

    def __init__(self, path: str, video: OpenVideo, settings: DecodeSettings):
        self._path, self._limits = path, settings.limits
        self._kept: list[av.Packet] | None = [] if Path(path).stat().st_size <= _KEEP_BYTES else None
        self.notes = list(note_packets(self._first_pass(video), video))
        self._stream: Iterator[tuple[int, av.Packet]] = iter(())
        self._position = len(self.notes)

    def _first_pass(self, video: OpenVideo) -> Iterator[av.Packet]:
        for packet in video.packets():
            if self._kept is not None:
                self._kept.append(packet)
            yield packet

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, av.Packet]]:
        """The packets with these numbers, ascending."""
        for number in numbers:
            yield number, self._kept[number] if self._kept is not None else self._read_again(number)

    def _read_again(self, wanted: int) -> av.Packet:
        if wanted < self._position:
            self._stream, self._position = self._from_start(), 0
        for number, packet in self._stream:
            self._position = number + 1
            if number == wanted:
                return packet
        raise _NotAsPlanned

    def _from_start(self) -> Iterator[tuple[int, av.Packet]]:
        with open_video(self._path, self._limits, VideoFacts()) as video:
            yield from enumerate(video.packets())


def _decode_selectively(path: str, video: OpenVideo, settings: DecodeSettings, delivery: _Delivery) -> bool:
    """Decodes what the sampled frames need; False where everything has to be decoded instead."""
    packets = _Packets(path, video, settings)
    unreadable = _unreadable(packets.notes, video)
    notes = packets.notes + unreadable
    plan = plan_decoding(notes, video.time_base, settings.sample_fps, video.frame_ticks)
    if plan is None:
        return False
    plan = plan if settings.slice == WHOLE else restrict(plan, settings.slice)
    delivery.timeline(
        frames=plan.frames_in_video,
        sampled=len(plan.packet_of_frame),
        duration_s=float((plan.end - plan.start) * video.time_base),
    )
    _open_decoder(video)
    if settings.slice.number == 0:  # counted once
        delivery.damaged.update(range(len(packets.notes), len(notes)))
    try:
        for group in plan.groups:
            _GroupDecoder(packets, plan, group, video, delivery).decode()
    except _NotAsPlanned:
        return False
    return True


def _unreadable(notes: list[PacketNote], video: OpenVideo) -> list[PacketNote]:
    """Notes for packets that the container promises but could not read, as if evenly spaced after the last."""
    times = [note.pts for note in notes if note.pts is not None and note.shown] or [0]
    missing, step = video.missing(len(notes), min(times), max(times) + video.frame_ticks)
    return [PacketNote(pts=max(times) + n * step, duration=step, intact=False) for n in range(1, missing + 1)]


def _open_decoder(video: OpenVideo) -> VideoCodecContext:
    decoder = video.stream.codec_context
    decoder.thread_count = 1
    decoder.thread_type = "NONE"
    # Report damage instead of painting over it: a concealed frame would look like a generator's artifact.
    decoder.options = {"err_detect": "explode"}
    return decoder


class _GroupDecoder:
    """Decodes one group and delivers its sampled frames."""

    def __init__(self, packets: _Packets, plan: DecodePlan, group: Group, video: OpenVideo, delivery: _Delivery):
        self.packets, self.plan, self.group = packets, plan, group
        self.decoder, self.time_base = video.stream.codec_context, video.time_base
        self.delivery = delivery
        self.due = deque(group.frames)
        self.lossy = False

    def decode(self) -> None:
        """Decodes up to damage, then from the next restart; raises _NotAsPlanned for an unexplained gap."""
        numbers = self.group.packets
        while numbers:
            refused = self._run(numbers)
            if refused is None:
                break
            self.lossy = True
            self.delivery.damaged.add(refused)
            # Once more, up to the damage: good frames were still waiting their turn in the decoder. Damage
            # seldom begins where a packet does, so the packet before the refused one is not trusted either.
            self._run([number for number in numbers if number < refused - 1])
            numbers = self._from_next_restart(refused)
        if self.due and not self.lossy:
            raise _NotAsPlanned

    def _from_next_restart(self, refused: int) -> list[int]:
        later = (number for number in self.group.packets if number > refused)
        return list(dropwhile(lambda number: not self.plan.notes[number].restart, later))

    def _run(self, numbers: list[int]) -> int | None:
        """Decodes packets from a clean start; the number of the first damaged one, which ends it, or None."""
        intact = list(takewhile(lambda number: self.plan.notes[number].intact, numbers))
        refused = numbers[len(intact)] if len(intact) < len(numbers) else None
        self.decoder.flush_buffers()
        held: list[av.VideoFrame] = []
        number = -1
        try:
            for number, packet in self.packets.read(intact):
                frames = self.decoder.decode(packet)
                if (corrupt := self._corrupt(frames, number)) is not None:
                    return corrupt
                self._deliver(held)
                held = frames
            if intact and refused is None:
                held += self.decoder.decode(None)
        except MemoryError:
            raise
        except FFmpegError:
            return number
        if refused is None:
            refused = self._corrupt(held, number)
            self._deliver(takewhile(lambda frame: not frame.is_corrupt, held))
        return refused

    def _corrupt(self, frames: list[av.VideoFrame], number: int) -> int | None:
        """The packet of the first frame that came out damaged; ``number`` where that cannot be told."""
        pts = next((frame.pts for frame in frames if frame.is_corrupt), _NONE)
        if pts is _NONE:
            return None
        return next((packet for packet in self.group.packets if self.plan.notes[packet].pts == pts), number)

    def _deliver(self, frames: Iterable[av.VideoFrame]) -> None:
        for frame in frames:
            if frame.pts is None or (index := self.plan.frame_of_pts.get(frame.pts)) is None:
                continue
            if index <= self.delivery.last_index:
                continue
            while self.due and self.due[0] < index:
                if not self.lossy:
                    raise _NotAsPlanned
                self.due.popleft()
            self.due.popleft()
            self.delivery.give(index, float((frame.pts - self.plan.start) * self.time_base), frame)


def _decode_fully(video: OpenVideo, settings: DecodeSettings, delivery: _Delivery) -> None:
    """Decodes every packet and picks the frames on screen by the times of the frames that come out."""
    decoder = _open_decoder(video)
    timeline = _Timeline(video, settings, delivery)
    number = -1
    for number, packet in enumerate(video.packets()):
        timeline.expect(packet)
        try:
            frames = decoder.decode(packet)
        except MemoryError:
            raise
        except FFmpegError:
            timeline.damage(number)
            continue
        for frame in frames:
            timeline.add(frame, number)
    with suppress(FFmpegError):
        for frame in decoder.decode(None):
            timeline.add(frame, number)
    timeline.close(read=number + 1)


class _Timeline:
    """Picks the frames on screen at the sampling times while frames come out one after the other."""

    def __init__(self, video: OpenVideo, settings: DecodeSettings, delivery: _Delivery):
        self.video, self.delivery = video, delivery
        self.rate = samples_per_tick(video.time_base, settings.sample_fps)
        self.time_base, self.frame_ticks = video.time_base, video.frame_ticks
        self.start: int | None = None
        self.showing: tuple[int, av.VideoFrame | None] = (0, None)
        self.end = 0
        self.frames = self.sampled = 0
        # Frames presented before this time are built on damage.
        self.sound_from = -inf
        # Packets in the decoder: presentation time to whether it is built on damage.
        self.pending: dict[int, bool] = {}
        # Added to every time, once frames without one have taken up time of their own.
        self.shift = 0
        self.guessed = False

    def expect(self, packet: av.Packet) -> None:
        """Notes that a packet goes into the decoder."""
        if packet.is_keyframe and self.sound_from == inf and packet.pts is not None:
            self.sound_from = packet.pts
        if packet.pts is not None and not packet.is_discard:
            self.pending[packet.pts] = packet.is_corrupt or packet.pts < self.sound_from

    def damage(self, number: int) -> None:
        """Packet ``number`` was refused or came out damaged: so is all that follows, up to a keyframe."""
        self.delivery.damaged.add(number)
        self.sound_from = inf
        self.pending = dict.fromkeys(self.pending, True)

    def add(self, frame: av.VideoFrame, number: int) -> None:
        """Takes a frame that came out while packet ``number`` went in."""
        if frame.is_corrupt:
            self.damage(number)
        broken = self.sound_from == inf
        if frame.pts is None:
            self.guessed = True
        else:
            self._lose_before(frame.pts)
            broken = self.pending.pop(frame.pts, broken)
        self._show(frame.pts, None if broken else frame, frame.duration)

    def close(self, *, read: int) -> None:
        """Ends the timeline after so many packets; those that the container promises beyond them are lost."""
        self._lose_before(inf)
        missing, step = self.video.missing(read, self.start or 0, self.end)
        for number in range(read, read + missing):
            self.delivery.damaged.add(number)
            self._show(None, None, step)
        self._pass_on(self.end)
        duration_s = float((self.end - (self.start or 0)) * self.time_base)
        self.delivery.timeline(frames=self.frames, sampled=self.sampled, duration_s=duration_s)

    def _lose_before(self, pts: float) -> None:
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
            self.showing = (pts, None)
        # Times that run backwards would show a frame before the one before it.
        pts = max(pts, self.showing[0])
        if self.frames:
            self._pass_on(pts)
        self.showing, self.end = (pts, frame), pts + (duration or self.frame_ticks)
        self.frames += 1
        check_duration(
            float((self.end - self.start) * self.time_base),
            self.delivery.settings.limits,
            self.delivery.facts,
        )

    def _pass_on(self, until: int) -> None:
        """Delivers the frame on screen if a sampling time lies before ``until``."""
        (pts, frame), start = self.showing, self.start or 0
        if self.frames and first_sample(pts - start, self.rate) < first_sample(until - start, self.rate):
            self.sampled += 1
            if frame is not None:
                self.delivery.give(self.frames - 1, float((pts - start) * self.time_base), frame)
