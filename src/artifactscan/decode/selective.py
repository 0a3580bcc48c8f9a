"""Selective decoding: only the packets that the sampled frames need, restarting after damage."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, takewhile
from pathlib import Path

import av
from av.error import FFmpegError

from artifactscan.decode.containers import OpenVideo, open_video
from artifactscan.decode.output import FrameOutput
from artifactscan.decode.packets import DecodePlan, GroupOfPictures, PacketNote, note_packets, plan_decoding
from artifactscan.decode.slices import Slice, restrict_plan
from artifactscan.decode.video import DecodeSettings, VideoFacts

_KEEP_BYTES = 64 << 20
"""Files up to this size keep their packets in memory between planning and decoding; larger files are read again."""


class _PlanMismatchError(Exception):
    """An undamaged video gave other frames than its packets announced."""


def decode_selectively(
    path: str, video: OpenVideo, settings: DecodeSettings, slice: Slice, output: FrameOutput
) -> bool:
    """Decodes the packets that the sampled frames need; False where everything has to be decoded instead."""
    packets = _Packets(path, video, settings)
    notes = packets.notes + _notes_on_missing_packets(packets.notes, video)
    plan = plan_decoding(notes, video.time_base, settings.sample_fps, video.frame_ticks)
    if plan is None:
        return False
    plan = restrict_plan(plan, slice, settings.context_frames if output.context_sink else 0)
    output.context = plan.context
    output.set_timeline(
        frames=plan.frames_in_video,
        sampled=len(plan.packet_of_frame) - len(plan.context),
        duration_s=float((plan.end - plan.start) * video.time_base),
    )
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
        output.damaged.update(range(len(packets.notes), len(notes)))
    return True


def _notes_on_missing_packets(notes: list[PacketNote], video: OpenVideo) -> list[PacketNote]:
    """Notes for the packets that the file lacks, evenly spaced after the last one that could be read."""
    times = [note.pts for note in notes if note.pts is not None and note.shown] or [0]
    missing, step = video.missing(len(notes), min(times), max(times) + video.frame_ticks)
    return [PacketNote(pts=max(times) + n * step, duration=step, intact=False) for n in range(1, missing + 1)]


class _Packets:
    """A video's packets by number: kept in memory if the file is small, else read from the file again."""

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
        raise _PlanMismatchError

    def _from_start(self) -> Iterator[tuple[int, av.Packet]]:
        with open_video(self._path, self._limits, VideoFacts()) as video:
            yield from enumerate(video.packets())


class _GroupDecoder:
    """Decodes one group and delivers its sampled frames."""

    def __init__(
        self, packets: _Packets, plan: DecodePlan, group: GroupOfPictures, video: OpenVideo, output: FrameOutput
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
            self.damaged = True
            self.output.damaged.add(refused)
            # Once more, up to the damage: the decoder still held back good frames. Damage often begins in the packet
            # before the refused one, so that one is left out too.
            self._run([number for number in numbers if number < refused - 1])
            numbers = self._from_next_restart(refused)
        if self.due and not self.damaged:
            raise _PlanMismatchError

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
