"""WebVTT: the events of each clip as the chapters of a player.

Source: https://www.w3.org/TR/webvtt1/ (chapter title text; files of nested cues only), as HTML asks it of tracks of the
kind chapters: of two cues one lies in the other, or they do not overlap. An event that begins within another one and
ends after it splits that one at its own start.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from artifactscan.export.events.scored_video import ScoredEvent, ScoredVideo
from artifactscan.messages.text import printable

SUFFIX = ".vtt"
Cue = tuple[int, int, ScoredEvent]
"""Start and end in milliseconds, and the event that is shown."""


def write_chapters(video: ScoredVideo, *, scorer: str) -> bytes:
    """The .vtt of one clip: a chapter for each event, named by its label and highest score."""
    about = _one_line(f"{video.file}, scored by {scorer}")
    blocks = ["WEBVTT", f"NOTE {about}"]
    blocks += [
        f"{_timestamp(start)} --> {_timestamp(end)}\n{_escape(_one_line(event.label))} {event.peak:.2f}"
        for start, end, event in nested_cues(video.events)
    ]
    return ("\n\n".join(blocks) + "\n").encode()


def nested_cues(events: Iterable[ScoredEvent]) -> Iterator[Cue]:
    """Cues that show at every moment the events there are, by start, the longer first.

    Of two cues one lies within the other, or they do not overlap. Each is at least a millisecond long.
    """
    order = count()
    waiting = [(*_interval(event), next(order), event) for event in events]
    heap = [(start, -end, number, event) for start, end, number, event in waiting]
    heapq.heapify(heap)
    open_cues: list[Cue] = []  # each lies within the one before it
    done: list[Cue] = []
    while heap:
        start, minus_end, _, event = heapq.heappop(heap)
        end = -minus_end
        while open_cues and open_cues[-1][1] <= start:
            done.append(open_cues.pop())
        while open_cues and open_cues[-1][1] < end:
            since, until, other = open_cues.pop()
            done.append((since, start, other))
            heapq.heappush(heap, (start, -until, next(order), other))
        open_cues.append((start, end, event))
    yield from sorted([*done, *open_cues], key=lambda cue: (cue[0], -cue[1]))


def _interval(event: ScoredEvent) -> tuple[int, int]:
    start = round(event.start_s * 1000)
    return start, max(round(event.end_s * 1000), start + 1)


def _timestamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"


def _one_line(text: str) -> str:
    """``text`` in one line that does not end a comment or begin a cue."""
    return printable(text).replace("-->", "-- >")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
