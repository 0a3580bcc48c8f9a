"""The frame indices that a video is sampled at."""

from collections.abc import Iterable

from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeError
from artifactscan.outcomes import HAS_FRAMES


def sampled_indices(segments: Iterable[Segment]) -> list[int]:
    """The indices of a video's sampled frames that were decoded; DecodeError where there is none."""
    attempt, indices = "", []
    for segment in segments:
        if segment.attempt != attempt:  # the next decoder starts from the first frame
            attempt, indices = segment.attempt, []
        indices += segment.frame_index
        if (verdict := segment.result) is not None and verdict.outcome not in HAS_FRAMES:
            raise DecodeError(verdict.outcome, verdict.reason or "", verdict.facts)
    return indices
