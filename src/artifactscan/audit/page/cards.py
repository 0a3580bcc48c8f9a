"""The worst videos as the page shows them: pictures, timeline, player, and the command that replays each."""

import base64
import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.audit.night import Picture, Report, WorstVideo
from artifactscan.audit.page.charts import Timeline, timeline
from artifactscan.audit.page.content_policy import player_link
from artifactscan.audit.page.sections import rows_of
from artifactscan.audit.formatting import counted, seconds
from artifactscan.labels import LABELS

MAX_EVENTS = 12
"""Events listed beside a player, the highest; the timeline has all."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """A picture as the page embeds it; ``frame`` and ``overlay`` are data: links."""

    label: str
    frame_index: int
    pts_s: float
    score: float
    frame: str
    overlay: str | None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One of the worst videos."""

    anchor: str
    video: WorstVideo
    link: str | None
    expires: str | None
    """ISO 8601: until when ``link`` works, where it is one that expires."""
    labels: tuple[tuple[str, str], ...]
    """Each label with an event, and what there is of it, in words."""
    groups: tuple[str, ...]
    duration: str
    events: tuple[Row, ...]
    """EVENTS rows in order of time, MAX_EVENTS at most."""
    events_left: int
    timeline: Timeline
    pictures: tuple[ShownPicture, ...]
    why: str | None
    """The command that replays it; None where the store or a name cannot be written in it as it is."""


def cards(report: Report) -> list[Card]:
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


def _card(n: int, video: WorstVideo, arrival: Row | None, events: list[dict[str, Any]], report: Report) -> Card:
    link = player_link(video.link)
    by_time = sorted(events, key=lambda row: (row["start_s"], row["label"]))
    highest = sorted(by_time, key=lambda row: -row["peak"])[:MAX_EVENTS]
    duration_s = arrival["duration_s"] if arrival else None
    return Card(
        anchor=f"video-{n}",
        video=video,
        link=link,
        expires=report.link_expires if link and link.startswith("http") else None,
        labels=tuple(_labels_in_words(by_time)),
        groups=tuple(arrival["groups"]) if arrival else (),
        duration=f"{counted(video.frames.num_rows, 'frame')}, {seconds(duration_s)}",
        events=tuple(row for row in by_time if row in highest),
        events_left=len(by_time) - len(highest),
        timeline=timeline(video.frames, by_time, report.night.thresholds, duration_s=duration_s),
        pictures=tuple(map(_shown, video.pictures)),
        why=_why(video.uri, report.night.settings.get("store")),
    )


def _labels_in_words(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = []
    for label in LABELS:
        own = [row for row in events if row["label"] == label]
        if own:
            length = sum(row["end_s"] - row["start_s"] for row in own)
            peak = max(row["peak"] for row in own)
            found.append((label, f"{peak:.2f}, {counted(len(own), 'event')}, {seconds(length)}"))
    return found


def _shown(picture: Picture) -> ShownPicture:
    return ShownPicture(
        label=picture.label,
        frame_index=picture.frame_index,
        pts_s=picture.pts_s,
        score=picture.score,
        frame=_data_link(picture.frame_jpeg),
        overlay=None if picture.overlay_jpeg is None else _data_link(picture.overlay_jpeg),
    )


def _data_link(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _why(uri: str, store: str | None) -> str | None:
    if store is None or not (uri.isprintable() and store.isprintable()):
        return None
    # A name that begins with a dash would be taken for a flag.
    asked = shlex.quote(uri if not uri.startswith("-") else f"./{uri}")
    return f"python jobs/why.py {asked} --store {shlex.quote(store)}"
