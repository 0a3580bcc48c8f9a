"""The outcomes a listed object can end in; every one ends in exactly one."""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of one listed object."""

    SCORED = "scored"
    """Every sampled frame was decoded and scored."""
    PARTIAL = "partial"
    """Some sampled frames were lost to damage; those that decoded are scored."""
    UNDECODABLE = "undecodable"
    """No decoder could get a frame out of it: not a video, no video stream, or broken from the start."""
    TIMED_OUT = "timed_out"
    """Decoding did not finish within the seconds allowed per video."""
    CRASHED = "crashed"
    """The decoding process died: a fault in a decoder, or the memory limit."""
    TOO_LARGE = "too_large"
    """Over a limit on object size, pixels per frame or length, so it was not decoded."""
    UNREADABLE = "unreadable"
    """The object could not be read: access denied, throttled to the end, or gone."""
    CHANGED = "changed"
    """The object read is not the object that was listed."""
    UNCHANGED = "unchanged"
    """Settled by an earlier run with the same spec; nothing was done."""


HAS_FRAMES = frozenset({Outcome.SCORED, Outcome.PARTIAL})
"""Outcomes with at least one scored frame."""

TRANSIENT = frozenset({Outcome.UNREADABLE, Outcome.CHANGED})
"""Outcomes that say nothing about the bytes that were listed; the next run tries those objects again."""
