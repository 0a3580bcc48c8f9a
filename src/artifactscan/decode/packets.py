"""Plans which packets of a video to decode for its sampled frames, without decoding any.

Two kinds of packets are left out: frames that are not sampled and that no frame decoded after them refers to (H.264:
nal_ref_idc 0; HEVC: those of a higher temporal layer, and sub-layer non-reference pictures of the same), and whatever
follows the last sampled frame of a group, up to the next packet where decoding can restart without changing any frame.
"""

from collections.abc import Container
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from artifactscan.decode.packet_notes import PacketNote
from artifactscan.decode.sampling import sampled_frames, samples_per_tick

SELECTIVE_CODECS: tuple[str, ...] = ("h264", "hevc", "mpeg4", "mjpeg", "vp8", "vp9", "av1")
"""Codecs of which packets may be left out: each packet has one presented frame, or none, and its first bytes show what
it depends on. Others (MPEG-1 and MPEG-2, GIF with its canvas, …) are decoded in full."""


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
    stray_parameters: bool = False
    """Parameter sets change between restarts, so that a decoder has to be given all packets in order."""
    context: frozenset[int] = frozenset()
    """Indices of its frames that belong to other slices of the video and only surround those of this one."""


def plan_decoding(
    notes: list[PacketNote], time_base: Fraction, sample_fps: float, frame_ticks: int
) -> DecodePlan | None:
    """The plan for a video's packets, given in decoding order.

    ``frame_ticks``: duration of the last frame where its packet has none. None where the packets do not determine
    which frame is on screen when: times are missing or not unique, several frames come out of one packet, or decoding
    cannot start at the first packet.
    """
    if any(note.frames > 1 for note in notes):
        return None
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
        stray_parameters=_has_stray_parameters(notes),
    )


def times_are_made_up(notes: list[PacketNote], *, reorders: bool = False) -> bool:
    """Whether the presentation times are those of decoding, though frames are presented in another order.

    AVI stores no presentation times, and files that were made from AVI may have made-up ones. ``reorders``: the
    decoder says that it changes the order (H.264 and MPEG-4 show it in the packets).
    """
    times = [note.pts for note in notes if note.pts is not None]
    in_order = all(earlier < later for earlier, later in pairwise(times))
    return in_order and (reorders or any(note.bidirectional for note in notes))


def groups_are_closed(notes: list[PacketNote]) -> bool:
    """Whether every keyframe starts a closed group and every frame is presented."""
    keyframes = [number for number, note in enumerate(notes) if note.keyframe]
    return keyframes == _closed_group_starts(notes) and all(note.shown for note in notes)


def _groups(notes: list[PacketNote], packet_of_frame: dict[int, int]) -> list[GroupOfPictures]:
    frame_of_packet = {packet: frame for frame, packet in packet_of_frame.items()}
    groups = []
    for start, stop in pairwise([*_closed_group_starts(notes), len(notes)]):
        wanted = [number for number in range(start, stop) if number in frame_of_packet]
        if wanted:
            needed = _needed(notes, range(start, wanted[-1] + 1), frame_of_packet)
            groups.append(GroupOfPictures(needed, sorted(frame_of_packet[number] for number in wanted)))
    return groups


def _needed(notes: list[PacketNote], numbers: range, wanted: Container[int]) -> list[int]:
    """Those of the packets that ``wanted`` ones may need, with them."""
    needed, highest = [], 0
    for number in reversed(numbers):
        note = notes[number]
        # A picture refers to none of a higher temporal layer, and to no disposable one of its own.
        above = note.layer > highest and not note.parameters
        if number in wanted or not (above or (note.layer == highest and note.disposable)):
            needed.append(number)
            highest = max(highest, note.layer)
    return needed[::-1]


def _has_stray_parameters(notes: list[PacketNote]) -> bool:
    """Whether some packets bring parameter sets, but not all of those where decoding can start, and only those."""
    return any(note.parameters for note in notes) and any(note.parameters != note.restart for note in notes)


def _closed_group_starts(notes: list[PacketNote]) -> list[int]:
    """Numbers of the packets that start a closed group: no later packet needs an earlier one."""
    if _has_stray_parameters(notes):
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
