"""The outcomes of listed objects; each object gets exactly one."""

from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of one listed object."""

    SCORED = "scored"
    """Every sampled frame was decoded and scored."""
    PARTIAL = "partial"
    """Some sampled frames were lost to damage; the others are scored."""
    UNDECODABLE = "undecodable"
    """No decoder could decode a frame of it: not a video, no video stream, or damaged from the start."""
    TIMED_OUT = "timed_out"
    """Decoding did not finish within the time limit per video."""
    CRASHED = "crashed"
    """The decoding process died, by a fault of a decoder or at the memory limit."""
    TOO_LARGE = "too_large"
    """Not decoded, as it is over a limit on object size, pixels per frame or length."""
    UNREADABLE = "unreadable"
    """The object could not be read: access denied, throttled until retries ran out, or gone."""
    CHANGED = "changed"
    """The object that was read is not the version that was listed."""
    UNCHANGED = "unchanged"
    """An earlier run with the same spec settled it; nothing was done."""


HAS_FRAMES = frozenset({Outcome.SCORED, Outcome.PARTIAL})
"""Outcomes with at least one scored frame."""

TRANSIENT = frozenset({Outcome.UNREADABLE, Outcome.CHANGED})
"""Outcomes that do not depend on the listed bytes; the next run tries these objects again."""
