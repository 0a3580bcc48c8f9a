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


def restrict_plan(plan: "DecodePlan", slice: Slice) -> "DecodePlan":
    """The part of ``plan`` that belongs to ``slice``: whole groups, about the same number of sampled frames in each."""
    if slice == WHOLE:
        return plan
    frames, before = len(plan.packet_of_frame), 0
    groups: list[GroupOfPictures] = []
    for group in plan.groups:
        if before * slice.of // frames == slice.number:
            groups.append(group)
        before += len(group.frames)
    kept = {frame for group in groups for frame in group.frames}
    return replace(
        plan,
        groups=groups,
        frame_of_pts={pts: frame for pts, frame in plan.frame_of_pts.items() if frame in kept},
        packet_of_frame={frame: packet for frame, packet in plan.packet_of_frame.items() if frame in kept},
    )
