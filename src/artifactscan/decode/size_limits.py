"""Refuses videos with too many pixels or too long a duration. storage/fetch.py refuses objects of too many bytes."""

from artifactscan.decode.video import DecodeError, DecodeLimits, VideoFacts
from artifactscan.outcomes import Outcome


def check_pixels(width: int, height: int, limits: DecodeLimits, facts: VideoFacts) -> None:
    """Raises DecodeError TOO_LARGE for frames over the limit."""
    if width * height > limits.max_pixels:
        reason = f"frames of {width}x{height} pixels are over the limit of {limits.max_pixels:,} pixels"
        raise DecodeError(Outcome.TOO_LARGE, reason, facts)


def check_duration(duration_s: float, limits: DecodeLimits, facts: VideoFacts) -> None:
    """Raises DecodeError TOO_LARGE for videos over the limit.

    ``duration_s``: from the first frame to the last one that is there, whatever headers say.
    """
    if duration_s > limits.max_video_s:
        facts.duration_s = duration_s
        reason = f"a video of {duration_s:,.0f} s is over the limit of {limits.max_video_s:,.0f} s"
        raise DecodeError(Outcome.TOO_LARGE, reason, facts)
