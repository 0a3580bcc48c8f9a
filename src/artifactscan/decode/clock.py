"""Mends the clock of recordings that were joined: times go on where the clock of a container starts anew.

Players do the same: a file made with ``cat one.ts two.ts`` shows both, one after the other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import av
from av.container import InputContainer

_BACKWARD_S = 0.1
"""Decoding times that run backwards further than this belong to another recording, as in FFmpeg's own program."""
_FORWARD_S = 60.0
"""So do those further ahead than this, in containers whose clock may jump. FFmpeg's program takes ten seconds for a
jump, and so shortens pictures that are shown longer."""
_FLAGGED_BEFORE_JOIN = 2
"""Packets before a join, or a pause, that FFmpeg marks as corrupt because MPEG-TS counts its packets anew there."""
_PAUSE_FRAMES = 1.5
"""Frames after which a keyframe counts as the first one after a pause."""
_NOTICES_CUT_OFF_FRAMES = ("h264", "mpeg2video")
"""Codecs whose decoders refuse a frame that lacks its end. For others the mark is the only sign that packets of the
transport stream were lost, which looks like a join or a pause where a whole frame is gone too."""

_CLOCK_JUMPS = 0x200
"""AVFMT_TS_DISCONT (libavformat/avformat.h): MPEG-TS, MPEG-PS and Ogg."""
_WITHOUT_DTS = ("matroska", "asf")
"""Containers without decoding times: FFmpeg guesses them."""


class Clock:
    """Gives the packets of a stream of ``codec`` (canonical name) times on one clock.

    ``frame_ticks``: duration of a frame without one.
    """

    def __init__(self, container: InputContainer, codec: str, ticks_per_s: float, frame_ticks: int):
        self._codec = codec
        self._counts_packets = container.format.name == "mpegts"
        self._may_jump = bool(container.format.flags & _CLOCK_JUMPS)
        self._is_steady = "mp4" in container.format.name
        self._has_dts = not container.format.name.startswith(_WITHOUT_DTS)
        self._backward = round(_BACKWARD_S * ticks_per_s)
        self._forward = round(_FORWARD_S * ticks_per_s)
        self._frame_ticks = frame_ticks
        self._shift = 0
        self._join: int | None = None
        """Presentation time of the first packet after a join, until the next keyframe."""
        self._undecodable = False
        """What comes after a join, up to a keyframe, refers to frames that are not in the file."""
        self._dts: int | None = None
        """Decoding time of the last packet."""
        self._latest: int | None = None
        """The latest presentation time of this recording."""
        self._end: int | None = None
        """End of the latest frame, in ticks."""

    def mend(
        self, packets: Iterable[av.Packet], restarts: Callable[[av.Packet], bool], *, joined: bool = False
    ) -> Iterator[av.Packet]:
        """Yields the packets, in file order, with their times changed in place.

        ``restarts``: whether decoding can start at a packet; ``joined``: the first one begins another recording. After
        a join, frames before the first one of the new recording are left out, as by a decoder that starts there;
        packets before its first keyframe are marked as corrupt.
        """
        held: deque[av.Packet] = deque()
        for packet in packets:
            if joined or self._begins_anew(packet, restarts):
                joined = False
                if self._codec in _NOTICES_CUT_OFF_FRAMES:
                    self._unflag(held)
                self._join, self._undecodable = self._end or 0, not packet.is_keyframe
                self._shift = self._join - (packet.pts if packet.pts is not None else packet.dts or 0)
                self._dts = self._latest = None
            elif packet.is_keyframe:
                # Otherwise frames may follow that refer to one before the pause, which may be a lost one.
                if self._codec == "h264" and restarts(packet) and self._follows_a_pause(packet):
                    self._unflag(held)
                self._join, self._undecodable = None, False
            if self._shift:
                packet.pts = None if packet.pts is None else packet.pts + self._shift
                packet.dts = None if packet.dts is None else packet.dts + self._shift
            if self._join is not None and packet.pts is not None and packet.pts < self._join:
                continue
            if self._undecodable:
                packet.is_corrupt = True
            self._note(packet)
            held.append(packet)
            if len(held) > _FLAGGED_BEFORE_JOIN:
                yield held.popleft()
        yield from held

    def _unflag(self, held: Iterable[av.Packet]) -> None:
        """Takes back the marks that FFmpeg has set, and no others."""
        if self._counts_packets and not self._undecodable:
            for packet in held:
                packet.is_corrupt = False

    def _begins_anew(self, packet: av.Packet, restarts: Callable[[av.Packet], bool]) -> bool:
        """Whether this packet is the first of another recording."""
        if self._is_steady:  # edit lists may show a part twice, with times that FFmpeg has worked out
            return False
        if self._has_dts:
            if packet.dts is None or self._dts is None:
                return False
            step = packet.dts + self._shift - self._dts
            return step < -self._backward or (self._may_jump and step > self._forward)
        if packet.pts is None or self._latest is None:
            return False
        # Frames that come later are never shown before one where decoding can start, those before it never after it.
        return packet.pts + self._shift < self._latest and packet.is_keyframe and restarts(packet)

    def _follows_a_pause(self, packet: av.Packet) -> bool:
        return (
            packet.dts is not None
            and self._dts is not None
            and (packet.dts + self._shift - self._dts > _PAUSE_FRAMES * (packet.duration or self._frame_ticks))
        )

    def _note(self, packet: av.Packet) -> None:
        if packet.dts is not None:
            self._dts = packet.dts
        if packet.pts is not None:
            self._latest = packet.pts if self._latest is None else max(self._latest, packet.pts)
            end = packet.pts + (packet.duration or self._frame_ticks)
            self._end = end if self._end is None else max(self._end, end)
