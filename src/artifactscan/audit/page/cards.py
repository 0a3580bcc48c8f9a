"""The worst videos as cards of the page: pictures, timeline, player, and the command that replays each."""

import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from artifactscan.audit.formatting import counted, seconds
from artifactscan.audit.page.charts import Timeline, timeline
from artifactscan.audit.page.content_policy import player_link
from artifactscan.audit.report_data import Report, WorstVideo, card_anchor, rows_of
from artifactscan.labels import LABELS

MAX_EVENTS = 12
"""Most events listed beside a player, the highest; the timeline has all."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class VideoCard:
    """One of the worst videos."""

    anchor: str
    video: WorstVideo
    link: str | None
    gif: bool
    """Whether the link leads to a GIF, which a browser shows as a picture and cannot wind."""
    expires: str | None
    """ISO 8601: until when ``link`` works; None for one that does not expire."""
    labels: tuple[tuple[str, str], ...]
    """Each label with an event, and its peak, number and length in words."""
    groups: tuple[str, ...]
    duration: str
    events: tuple[Row, ...]
    """EVENTS rows by time, at most MAX_EVENTS."""
    events_left: int
    timeline: Timeline
    why: str | None
    """The command that replays it; None where the store or a name cannot be printed in it."""


def cards(report: Report) -> list[VideoCard]:
    """The report's worst videos, worst first."""
    ids = [video.video_id for video in report.worst]
    arrivals = {row["video_id"]: row for row in rows_of(report.arrivals, ids)}
    events = defaultdict(list)
    for row in rows_of(report.events, ids):
        events[row["video_id"]].append(row)
    return [
        _card(n, video, arrivals.get(video.video_id), events[video.video_id], report)
        for n, video in enumerate(report.worst, 1)
    ]


def _card(n: int, video: WorstVideo, arrival: Row | None, events: list[Row], report: Report) -> VideoCard:
    link = player_link(video.link)
    by_time = sorted(events, key=lambda row: (row["start_s"], row["label"]))
    highest = sorted(by_time, key=lambda row: -row["peak"])[:MAX_EVENTS]
    duration_s = arrival["duration_s"] if arrival else None
    return VideoCard(
        anchor=card_anchor(n),
        video=video,
        link=link,
        gif=link is not None and urlsplit(link).path.lower().endswith(".gif"),
        expires=report.link_expires if link and link.startswith("http") else None,
        labels=tuple(_labels_in_words(by_time)),
        groups=tuple(arrival["groups"]) if arrival else (),
        duration=f"{counted(video.frames.num_rows, 'frame')}, {seconds(duration_s)}",
        events=tuple(row for row in by_time if row in highest),
        events_left=len(by_time) - len(highest),
        timeline=timeline(video.frames, by_time, report.night.thresholds, duration_s=duration_s),
        why=_why(video.uri, report.store),
    )


def _labels_in_words(events: list[Row]) -> list[tuple[str, str]]:
    found = []
    for label in LABELS:
        if own := [row for row in events if row["label"] == label]:
            length_s = sum(row["end_s"] - row["start_s"] for row in own)
            peak = max(row["peak"] for row in own)
            found.append((label, f"{peak:.2f}, {counted(len(own), 'event')}, {seconds(length_s)}"))
    return found


def _why(uri: str, store: str | None) -> str | None:
    if store is None or not (uri.isprintable() and store.isprintable()):
        return None
    # A name that begins with a dash would be read as a flag.
    asked = shlex.quote(uri if not uri.startswith("-") else f"./{uri}")
    return f"artifactscan why {asked} --store {shlex.quote(store)}"
