"""When the frames would be shown whose packets a container declares, but the file, cut off, lacks."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

from artifactscan.decode.containers import OpenVideo, open_recording
from artifactscan.decode.video import DecodeError

_MAX_MISSING_PACKETS = 100_000
"""Most packets counted as missing from a truncated file, whose headers may claim any number."""
_GAP_FRAMES = 1.5
"""A gap of more frames than this, among the last ones of a truncated file with B-frames, has missing ones in it."""

_LEAST_REORDERED = 2
"""Frames taken to be reordered by a codec with B-frames, of which too few packets are left to show it."""
_MOST_REORDERED = 16
"""As many as a decoder of H.264 or HEVC may have to hold back."""


def missing_packets(video: OpenVideo, read: int, times: Sequence[int]) -> list[tuple[int, int]]:
    """Presentation time and duration, in ticks, of each packet that the file lacks, ascending by time.

    ``read``: packets that could be read; ``times``: their presentation times, in decoding order. The last frames of a
    cut-off file with B-frames have missing ones between them, as those are decoded later than what they precede.
    """
    if video.truncated and video.joined:
        return _missing_of_last(video, times)
    if video.truncated:
        return _missing_of_truncated(video, times)
    return _missing_of_index(video, read, times)


def _missing_of_index(video: OpenVideo, read: int, times: Sequence[int]) -> list[tuple[int, int]]:
    """The same by the index of an mp4, which has the decoding times of all packets.

    Frames are shown at the times at which others are decoded, but for the last ones, which follow evenly.
    """
    decoding_times = video.indexed_decoding_times(read)
    missing = len(decoding_times) - read
    if missing <= 0:
        return []
    first = min(times, default=0)
    promised = sorted({time for time in decoding_times if time >= first} | {first})
    lacking = len(decoding_times) - len(promised)
    promised += [promised[-1] + n * video.frame_ticks for n in range(1, lacking + 1)]
    found, others = sorted(set(promised) - set(times)), sorted(set(times) - set(promised))
    # Each frame shown at another time stands for one that was promised: one of the last ones for the nearest.
    late = others[-_reordered(video, times) - 1 :]
    found = found[len(others) - len(late) :]
    for time in late:
        found.remove(min(found, key=lambda one: abs(one - time)))
    found = found[:missing]
    return [(time, end - time) for time, end in pairwise([*found, found[-1] + video.frame_ticks])]


def _missing_of_truncated(video: OpenVideo, times: Sequence[int]) -> list[tuple[int, int]]:
    """The same where only the length is declared: at the average rate, up to that length."""
    ordered = sorted(times) or [0]
    last, frame = ordered[-1], video.frame_time
    found = []
    for before, after in pairwise(ordered[-_reordered(video, times) - 1 :]):
        if after - before > _GAP_FRAMES * frame:
            count = min(_MAX_MISSING_PACKETS, round((after - before) / frame) - 1)
            found += _evenly(before, count, Fraction(after - before, count + 1))
    # Rounded, as the declared length may be some milliseconds off.
    count = round((video.declared_end(ordered[0]) - last) / frame) - 1
    return found + _evenly(last, min(_MAX_MISSING_PACKETS, count), frame)


def _reordered(video: OpenVideo, times: Sequence[int]) -> int:
    """Most frames that are decoded before a frame and shown after it."""
    shown = sorted(range(len(times)), key=times.__getitem__)
    found = max((decoded - place for place, decoded in enumerate(shown)), default=0)
    return min(_MOST_REORDERED, max(found, _LEAST_REORDERED if video.stream.codec_context.has_b_frames else 0))


def _evenly(after: int, count: int, step: Fraction) -> list[tuple[int, int]]:
    """``count`` frames that follow one at ``after``, every ``step`` ticks; rounded down, so that none is late."""
    step = max(Fraction(1), step)
    starts = [after + int(n * step) for n in range(1, count + 2)]
    return [(start, end - start) for start, end in pairwise(starts)]


def _missing_of_last(video: OpenVideo, times: Sequence[int]) -> list[tuple[int, int]]:
    """The same of the last of several recordings; one packet where too little is left of it to be read."""
    end = max(times, default=0)
    with suppress(DecodeError), open_recording(video, video.joined[-1]) as last:
        own_times = [packet.pts for packet in last.packets() if packet.pts is not None]
        ticks, own_end = last.time_base / video.time_base, max(own_times, default=0)
        return [
            (end + round((time - own_end) * ticks), max(1, round(duration * ticks)))
            for time, duration in _missing_of_truncated(last, own_times)
        ]
    return [(end + video.frame_ticks, video.frame_ticks)]
