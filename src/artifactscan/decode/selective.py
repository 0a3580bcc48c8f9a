"""Selective decoding: only the packets that the sampled frames need, restarting after damage."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import dropwhile, takewhile
from pathlib import Path

import av
from av.error import FFmpegError

from artifactscan.decode.containers import OpenVideo, open_video
from artifactscan.decode.missing_packets import missing_packets
from artifactscan.decode.output import FrameOutput
from artifactscan.decode.packet_notes import PacketNote, PacketReader
from artifactscan.decode.packets import DecodePlan, GroupOfPictures, plan_decoding, times_are_made_up
from artifactscan.decode.size_limits import check_duration
from artifactscan.decode.slices import Slice, restrict_plan
from artifactscan.decode.video import DecodeSettings, VideoFacts

_KEEP_BYTES = 64 << 20
"""Files up to this size keep their packets in memory between planning and decoding; larger files are read again."""


class _PlanMismatchError(Exception):
    """A video gave other frames than its packets announced, or cannot be decoded in parts."""


def decode_selectively(
    packets: "PlannedPackets", video: OpenVideo, settings: DecodeSettings, slice: Slice, output: FrameOutput
) -> bool:
    """Decodes the packets that the sampled frames need; False where everything has to be decoded instead."""
    plan = plan_packets(packets, video, settings, slice, output)
    if plan is None:
        return False
    video.open_decoder()
    try:
        for group in plan.groups:
            _GroupDecoder(packets, plan, group, video, output).decode()
    except _PlanMismatchError:
        return False
    # All slices together count each damaged packet once.
    for group in plan.groups:
        if plan.context.issuperset(group.frames):
            output.damaged.difference_update(group.packets)
    if slice.number == 0:
        output.damaged.update(range(len(packets.notes), len(plan.notes)))
    return True


def plan_packets(
    packets: "PlannedPackets", video: OpenVideo, settings: DecodeSettings, slice: Slice, output: FrameOutput
) -> DecodePlan | None:
    """The plan for a slice, with notes on packets that the file lacks after its own; tells ``output`` of the timeline.

    None where the packets do not determine which frame is on screen when.
    """
    missing = _notes_on_missing_packets(packets.notes, video)
    notes = packets.notes + missing if missing else _held_to_the_end(packets.notes, video)
    if packets.made_up_times:
        return None
    plan = plan_decoding(notes, video.time_base, settings.sample_fps, video.frame_ticks)
    if plan is None:
        return None
    plan = restrict_plan(plan, slice, settings.context_frames if output.context_sink else 0)
    output.context = plan.context
    output.set_timeline(
        frames=plan.frames_in_video,
        sampled=len(plan.packet_of_frame) - len(plan.context),
        duration_s=float((plan.end - plan.start) * video.time_base),
    )
    return plan


def _held_to_the_end(notes: list[PacketNote], video: OpenVideo) -> list[PacketNote]:
    """``notes``, the last frame of which stays on screen as long as samples without a frame follow it."""
    shown = [(note.pts, number) for number, note in enumerate(notes) if note.shown and note.pts is not None]
    if not shown:
        return notes
    (first, _), (last, number) = min(shown), max(shown)
    note = notes[number]
    ticks = video.last_frame_ticks(first, last, note.duration or video.frame_ticks)
    return [*notes[:number], replace(note, duration=ticks), *notes[number + 1 :]]


def _notes_on_missing_packets(notes: list[PacketNote], video: OpenVideo) -> list[PacketNote]:
    """Notes for the packets that the file lacks."""
    times = [note.pts for note in notes if note.pts is not None]
    return [
        PacketNote(pts=pts, duration=duration, intact=False)
        for pts, duration in missing_packets(video, len(notes), times)
    ]


class PlannedPackets:
    """A video's packets by number: kept in memory if the file is small, else read from the file again.

    Raises DecodeError TOO_LARGE where their times exceed the limit.
    """

    def __init__(self, path: str, video: OpenVideo, settings: DecodeSettings, facts: VideoFacts):
        self._path, self._limits = path, settings.limits
        self._kept: list[av.Packet] | None = [] if Path(path).stat().st_size <= _KEEP_BYTES else None
        self._reader = PacketReader(video.stream.codec_context)
        self.notes = list(self._reader.notes(self._first_pass(video)))
        self._stream: Iterator[tuple[int, av.Packet]] = iter(())
        self._position = len(self.notes)
        self.bare = False
        """Without SEI messages and the like, which the decoder refused."""
        times = [note.pts for note in self.notes if note.pts is not None and note.shown] or [0]
        check_duration(float((max(times) - min(times)) * video.time_base), settings.limits, facts)
        # H.264 and MPEG-4 show in their packets that frames are out of order, HEVC in its parameter sets.
        reorders = facts.codec == "hevc" and bool(video.stream.codec_context.has_b_frames)
        self.made_up_times = times_are_made_up(self.notes, reorders=reorders)

    def _first_pass(self, video: OpenVideo) -> Iterator[av.Packet]:
        for packet in video.packets():
            if self._kept is not None:
                self._kept.append(packet)
            yield packet

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, av.Packet]]:
        """The packets with these numbers, ascending."""
        for number in numbers:
            packet = self._kept[number] if self._kept is not None else self._read_again(number)
            yield number, (self.bare and self._reader.without_messages(packet)) or packet

    def have_messages(self, number: int) -> bool:
        """Whether this packet holds more than the picture."""
        [(_, packet)] = self.read([number])
        return self._reader.without_messages(packet) is not None

    def _read_again(self, wanted: int) -> av.Packet:
        if wanted < self._position:
            self._stream, self._position = self._from_start(), 0
        for number, packet in self._stream:
            self._position = number + 1
            if number == wanted:
                return packet
        raise _PlanMismatchError

    def _from_start(self) -> Iterator[tuple[int, av.Packet]]:
        with open_video(self._path, self._limits, VideoFacts()) as video:
            yield from enumerate(video.packets())


class _GroupDecoder:
    """Decodes one group and delivers its sampled frames."""

    def __init__(
        self, packets: PlannedPackets, plan: DecodePlan, group: GroupOfPictures, video: OpenVideo, output: FrameOutput
    ):
        self.packets, self.plan, self.group = packets, plan, group
        self.decoder, self.time_base = video.stream.codec_context, video.time_base
        self.output = output
        self.due = deque(group.frames)
        self.damaged = False

    def decode(self) -> None:
        """Decodes up to damage, then from the next restart; raises _PlanMismatchError for other missing frames."""
        numbers = self.group.packets
        while numbers:
            refused = self._run(numbers)
            if refused is None:
                break
            if not self.packets.bare and self.plan.notes[refused].intact and self.packets.have_messages(refused):
                self.packets.bare = True
                continue
            if layers := self._layers_left_out():
                # Perhaps they were needed, and the stream is wrong about its temporal layers.
                self.group = replace(self.group, packets=sorted([*self.group.packets, *layers]))
                numbers = self.group.packets
                continue
            if self.plan.stray_parameters:
                raise _PlanMismatchError  # going back, the decoder would have parameter sets of later packets
            self.damaged = True
            self.output.damaged.add(refused)
            # Once more, up to the damage: the decoder still held back good frames. Damage that the decoder finds often
            # begins in the packet before the refused one, so that one is left out too.
            end = refused - 1 if self.plan.notes[refused].intact else refused
            self._run([number for number in numbers if number < end])
            numbers = self._from_next_restart(refused)
        if self.due and not self.damaged:
            raise _PlanMismatchError

    def _layers_left_out(self) -> list[int]:
        """The packets that were left out for their temporal layer alone."""
        first, last = self.group.packets[0], self.group.packets[-1]
        rest = sorted(set(range(first, last)).difference(self.group.packets))
        top = max(self.plan.notes[number].layer for number in range(first, last + 1))
        return [
            number
            for number in rest
            if not (self.plan.notes[number].disposable and self.plan.notes[number].layer == top)
        ]

    def _from_next_restart(self, refused: int) -> list[int]:
        later = (number for number in self.group.packets if number > refused)
        return list(dropwhile(lambda number: not self.plan.notes[number].restart, later))

    def _run(self, numbers: list[int]) -> int | None:
        """Decodes packets from a restart up to the first damaged one; returns its number, or None."""
        intact = list(takewhile(lambda number: self.plan.notes[number].intact, numbers))
        refused = numbers[len(intact)] if len(intact) < len(numbers) else None
        self.decoder.flush_buffers()
        held: list[av.VideoFrame] = []
        number = -1
        try:
            for number, packet in self.packets.read(intact):
                frames = self.decoder.decode(packet)
                if (corrupt := self._corrupt_packet(frames, number)) is not None:
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
            refused = self._corrupt_packet(held, number)
            self._deliver(takewhile(lambda frame: not frame.is_corrupt, held))
        return refused

    def _corrupt_packet(self, frames: list[av.VideoFrame], number: int) -> int | None:
        """The packet of the first corrupt frame, or ``number`` where its packet is unknown; None if none is corrupt."""
        for frame in frames:
            if frame.is_corrupt:
                return next((one for one in self.group.packets if self.plan.notes[one].pts == frame.pts), number)
        return None

    def _deliver(self, frames: Iterable[av.VideoFrame]) -> None:
        for frame in frames:
            if frame.pts is None or (index := self.plan.frame_of_pts.get(frame.pts)) is None:
                continue
            if index <= self.output.last_index:
                continue
            while self.due and self.due[0] < index:
                if not self.damaged:
                    raise _PlanMismatchError
                self.due.popleft()
            self.due.popleft()
            self.output.deliver(index, float((frame.pts - self.plan.start) * self.time_base), frame)
