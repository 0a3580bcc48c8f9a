"""Plans which packets of a video to decode for its sampled frames, without decoding any.

Two kinds of packets are left out: frames that are not sampled and that no other frame refers to (H.264 nal_ref_idc 0;
HEVC sub-layer non-reference pictures of the highest layer), and whatever follows the last sampled frame of a group, up
to the next packet where decoding can restart without changing any frame.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av

from artifactscan.decode.containers import OpenVideo
from artifactscan.decode.sampling import sampled_frames, samples_per_tick

SELECTIVE_CODECS: tuple[str, ...] = ("h264", "hevc", "mpeg4", "mjpeg")
"""Codecs of which packets may be left out: each frame is one packet, and its first bytes show what it depends on.
Others (VP8, VP9 and AV1 with hidden frames, GIF with its canvas) are decoded in full."""

_H264_SLICE, _H264_IDR, _H264_PARAMETERS = 1, 5, frozenset({7, 8})
_H264_PICTURES = frozenset(range(1, 6))
_HEVC_PICTURES, _HEVC_RESTARTS = frozenset(range(32)), frozenset(range(16, 22))
_HEVC_NON_REFERENCE, _HEVC_PARAMETERS = frozenset(range(0, 16, 2)), frozenset({32, 33, 34})
_MPEG4_INTRA = 0


@dataclass(frozen=True, slots=True)
class PacketNote:
    """Properties of one packet, from its flags and first bytes."""

    pts: int | None
    """Presentation time in ticks of the stream's time base."""
    duration: int = 0
    """Ticks; 0 where unknown."""
    shown: bool = True
    """False where an edit list cuts the frame off: decoded if others need it, never presented."""
    intact: bool = True
    """False where the container marks the packet as corrupt, or lists it but cannot read it."""
    keyframe: bool = False
    """According to the container, which may be wrong."""
    restart: bool = False
    """Decoding can start here: frames presented from here on are exact."""
    disposable: bool = False
    """No other frame refers to this one (HEVC: none of its own or a lower temporal layer)."""
    layer: int = 0
    """HEVC temporal layer."""
    parameters: bool = False
    """Contains parameter sets that later packets may need."""


@dataclass(frozen=True, slots=True)
class GroupOfPictures:
    """Packets that can be decoded without any packet of other groups."""

    packets: list[int]
    """Numbers of the packets to decode, in decoding order."""
    frames: list[int]
    """Indices (presentation order) of its sampled frames."""


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """What to decode for the sampled frames of a video."""

    groups: list[GroupOfPictures]
    notes: list[PacketNote]
    frame_of_pts: dict[int, int]
    """Presentation time in ticks to the index of each sampled frame."""
    packet_of_frame: dict[int, int]
    """Index of each sampled frame to the number of its packet."""
    start: int
    """Presentation time of the first frame, in ticks."""
    end: int
    """End of the last frame, in ticks."""
    frames_in_video: int
    context: frozenset[int] = frozenset()
    """Indices of its frames that belong to other slices of the video and only surround those of this one."""


def plan_decoding(
    notes: list[PacketNote], time_base: Fraction, sample_fps: float, frame_ticks: int
) -> DecodePlan | None:
    """The plan for a video's packets, given in decoding order.

    ``frame_ticks``: duration of the last frame where its packet has none. None where the packets do not determine
    which frame is on screen when: times are missing or not unique, or decoding cannot start at the first packet.
    """
    shown = sorted((note.pts, number) for number, note in enumerate(notes) if note.shown and note.pts is not None)
    times = [time for time, _ in shown]
    if not times or len(set(times)) < len(times) or any(note.pts is None for note in notes) or not notes[0].restart:
        return None
    end = times[-1] + (notes[shown[-1][1]].duration or frame_ticks)
    sampled = sampled_frames(times, end, samples_per_tick(time_base, sample_fps))
    packet_of_frame = {frame: shown[frame][1] for frame in sampled}
    groups = _groups(notes, packet_of_frame)
    if [frame for group in groups for frame in group.frames] != sampled:
        return None
    return DecodePlan(
        groups=groups,
        notes=notes,
        frame_of_pts={times[frame]: frame for frame in sampled},
        packet_of_frame=packet_of_frame,
        start=times[0],
        end=end,
        frames_in_video=len(times),
    )


def groups_are_closed(notes: list[PacketNote]) -> bool:
    """Whether every keyframe starts a closed group and every frame is presented."""
    keyframes = [number for number, note in enumerate(notes) if note.keyframe]
    return keyframes == _closed_group_starts(notes) and all(note.shown for note in notes)


def _groups(notes: list[PacketNote], packet_of_frame: dict[int, int]) -> list[GroupOfPictures]:
    frame_of_packet = {packet: frame for frame, packet in packet_of_frame.items()}
    top_layer = max(note.layer for note in notes)
    groups = []
    for start, stop in pairwise([*_closed_group_starts(notes), len(notes)]):
        wanted = [number for number in range(start, stop) if number in frame_of_packet]
        if not wanted:
            continue
        needed = [
            number
            for number in range(start, wanted[-1] + 1)
            if number in frame_of_packet or not (notes[number].disposable and notes[number].layer == top_layer)
        ]
        groups.append(GroupOfPictures(needed, sorted(frame_of_packet[number] for number in wanted)))
    return groups


def _closed_group_starts(notes: list[PacketNote]) -> list[int]:
    """Numbers of the packets that start a closed group: no later packet needs an earlier one."""
    restarts = [note.restart for note in notes]
    parameters = [note.parameters for note in notes]
    if any(parameters) and parameters != restarts:
        return [0]
    # Backwards: a group is closed if nothing after its start in the file is presented before its start.
    cuts, earliest = [], None
    for number in range(len(notes) - 1, -1, -1):
        note = notes[number]
        if note.pts is None:
            continue
        if note.restart and (earliest is None or note.pts < earliest):
            cuts.append(number)
        earliest = note.pts if earliest is None else min(earliest, note.pts)
    return cuts[::-1] if cuts and cuts[-1] == 0 else [0, *cuts[::-1]]


def note_packets(packets: Iterable[av.Packet], video: OpenVideo) -> Iterator[PacketNote]:
    """The properties of the packets of a video in one of SELECTIVE_CODECS."""
    codec = video.stream.codec_context.codec.canonical_name
    extradata = video.stream.codec_context.extradata or b""
    length_bytes = _length_bytes(codec, extradata)
    describe = _DESCRIBE[codec]
    for packet in packets:
        yield PacketNote(
            pts=packet.pts,
            duration=packet.duration or 0,
            shown=not packet.is_discard,
            intact=not packet.is_corrupt,
            keyframe=packet.is_keyframe,
            **describe(packet, length_bytes),
        )


def _note_mjpeg(packet: av.Packet, _: int) -> dict:
    return {"restart": True}


def _note_mpeg4(packet: av.Packet, _: int) -> dict:
    data = bytes(packet)
    picture = data.find(b"\0\0\1\xb6") + 4
    return {"restart": packet.is_keyframe and 3 < picture < len(data) and data[picture] >> 6 == _MPEG4_INTRA}


def _note_h264(packet: av.Packet, length_bytes: int) -> dict:
    headers = _nal_headers(packet, length_bytes)
    pictures = [first for first, _ in headers if first & 31 in _H264_PICTURES]
    parameters = any(first & 31 in _H264_PARAMETERS for first, _ in headers)
    return {
        "restart": packet.is_keyframe and bool(pictures) and all(first & 31 == _H264_IDR for first in pictures),
        "disposable": bool(pictures) and not parameters and all(first & 127 == _H264_SLICE for first in pictures),
        "parameters": parameters,
    }


def _note_hevc(packet: av.Packet, length_bytes: int) -> dict:
    # Layer ids above 0 (depth, alpha, second eye) are not decoded.
    headers = [
        (first >> 1 & 63, second & 7)
        for first, second in _nal_headers(packet, length_bytes)
        if not _above_base_layer(first, second)
    ]
    pictures = [(kind, layer) for kind, layer in headers if kind in _HEVC_PICTURES]
    parameters = any(kind in _HEVC_PARAMETERS for kind, _ in headers)
    return {
        "restart": packet.is_keyframe and bool(pictures) and all(kind in _HEVC_RESTARTS for kind, _ in pictures),
        "disposable": bool(pictures) and not parameters and all(kind in _HEVC_NON_REFERENCE for kind, _ in pictures),
        "layer": max((layer for _, layer in pictures), default=0),
        "parameters": parameters,
    }


_DESCRIBE = {"h264": _note_h264, "hevc": _note_hevc, "mpeg4": _note_mpeg4, "mjpeg": _note_mjpeg}


def _above_base_layer(first: int, second: int) -> bool:
    return bool(first & 1 or second >> 3)


def _length_bytes(codec: str, extradata: bytes) -> int:
    """Bytes of the length field before each NAL unit (ISO/IEC 14496-15); 0 where start codes separate them."""
    if codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 21 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0


def _nal_headers(packet: av.Packet, length_bytes: int) -> list[tuple[int, int]]:
    """First two bytes of each NAL unit; empty where the packet is not a valid sequence of units."""
    data = bytes(packet)
    headers = []
    if not length_bytes:
        start = data.find(b"\0\0\1") + 3
        while start > 2 and start + 1 < len(data):
            headers.append((data[start], data[start + 1]))
            start = data.find(b"\0\0\1", start) + 3
    else:
        start = 0
        while start < len(data):
            size = int.from_bytes(data[start : start + length_bytes], "big")
            start += length_bytes
            if size < 1 or start + size > len(data):
                return []
            headers.append((data[start], data[start + 1] if size > 1 else 0))
            start += size
    return [] if any(first & 128 for first, _ in headers) else headers
