"""Frame sampling: the frames on screen at t = 0, 1/r, 2/r … seconds after the first presented frame.

Times are integer ticks of a time base, so a frame that begins exactly at a sampling time is on screen then, whatever
the frame rate.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

EVERY_FRAME_FPS = 1e6
"""Samples every frame that is on screen for at least a microsecond."""


def samples_per_tick(time_base: Fraction, sample_fps: float) -> Fraction:
    """Sampling times per tick of ``time_base`` (seconds); a rate of 29.97 counts as 2997/100."""
    return time_base * Fraction(sample_fps).limit_denominator(1_000_000)


def first_sample(ticks: int, rate: Fraction) -> int:
    """Number of the first sampling time at or after ``ticks``; ``rate`` is in samples per tick.

    A frame shown from a to b is on screen at the sampling times first_sample(a) up to, not including,
    first_sample(b).
    """
    return -(-ticks * rate.numerator // rate.denominator)


def sampled_frames(pts: Sequence[int], end: int, rate: Fraction) -> list[int]:
    """Indices of the distinct frames on screen at the sampling times before ``end``.

    ``pts``: presentation times in ticks, ascending; sampling starts at the first. ``end``: when the last
    frame ends, in ticks. ``rate``: samples per tick.
    """
    if not pts:
        return []
    firsts = [first_sample(time - pts[0], rate) for time in (*pts, max(end, pts[-1] + 1))]
    return [index for index, first in enumerate(firsts[:-1]) if first < firsts[index + 1]]


def window(frame_index: int, sampled: Sequence[int], neighbours: int) -> list[int]:
    """The frames whose features the score of a frame depends on: 2 · neighbours + 1 indices, in order.

    ``sampled``: the video's sampled frames, increasing; the frame itself need not be one of them. Where fewer sampled
    frames come before or after it, the first or last one is repeated.
    """
    before = list(sampled[: bisect_left(sampled, frame_index)])[-neighbours:] if neighbours else []
    after = list(sampled[bisect_right(sampled, frame_index) :])[:neighbours]
    return pad_window(before, frame_index, after, neighbours)


def pad_window(before: Sequence[int], frame_index: int, after: Sequence[int], neighbours: int) -> list[int]:
    """2 · neighbours + 1 indices: a frame between at most ``neighbours`` on each side, the ends repeated."""
    known = [*before, frame_index, *after]
    return [known[0]] * (neighbours - len(before)) + known + [known[-1]] * (neighbours - len(after))
