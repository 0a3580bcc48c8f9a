"""Slices of long videos: each is decoded by its own process, and together they give the frames of the whole video."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the parents of decoding processes use slices and do not load FFmpeg
    from artifactscan.decode.packets import DecodePlan, GroupOfPictures


@dataclass(frozen=True)
class Slice:
    """Slice ``number`` of ``of`` slices of a video."""

    number: int = 0
    of: int = 1

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Slice":
        """The slice that a row of work asks for; WHOLE where its columns slice and slices are missing or null."""
        return cls(row.get("slice") or 0, row.get("slices") or 1)


WHOLE = Slice()


class NotSliceableError(Exception):
    """This video can only be decoded as a whole; no frame of it was delivered."""


def restrict_plan(plan: "DecodePlan", slice: Slice, context_frames: int = 0) -> "DecodePlan":
    """The part of ``plan`` that belongs to ``slice``: whole groups, about the same number of sampled frames in each.

    With it come ``context_frames`` sampled frames before and after, as far as the video has them.
    """
    if slice == WHOLE:
        return plan
    count, before = len(plan.packet_of_frame), 0
    own: list[GroupOfPictures] = []
    for group in plan.groups:
        if before * slice.of // count == slice.number:
            own.append(group)
        before += len(group.frames)
    frames = {frame for group in own for frame in group.frames}
    context = _surrounding(sorted(plan.packet_of_frame), frames, context_frames)
    kept = frames | context
    return replace(
        plan,
        groups=[_only(group, kept, plan.packet_of_frame) for group in plan.groups if kept.intersection(group.frames)],
        frame_of_pts={pts: frame for pts, frame in plan.frame_of_pts.items() if frame in kept},
        packet_of_frame={frame: packet for frame, packet in plan.packet_of_frame.items() if frame in kept},
        context=context,
    )


def _surrounding(sampled: list[int], frames: set[int], count: int) -> frozenset[int]:
    """The ``count`` frames of ``sampled`` before ``frames``, a run of them, and as many after."""
    if not frames or not count:
        return frozenset()
    first, last = sampled.index(min(frames)), sampled.index(max(frames))
    return frozenset([*sampled[max(0, first - count) : first], *sampled[last + 1 : last + 1 + count]])


def _only(group: "GroupOfPictures", frames: set[int], packet_of_frame: Mapping[int, int]) -> "GroupOfPictures":
    """``group`` for those of its frames that are in ``frames``: without the packets after the last one."""
    kept = [frame for frame in group.frames if frame in frames]
    end = max(packet_of_frame[frame] for frame in kept)
    return replace(group, frames=kept, packets=[number for number in group.packets if number <= end])
