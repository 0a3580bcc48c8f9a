"""Coordinates of the page's charts; the templates draw them as SVG.

Trends are one small panel per label (small multiples), each with its own scale from 0. Timelines are one strip per
label over one time axis.

Drawn without matplotlib on purpose: its SVG carries some 80 inline styles per panel, which the page's
Content-Security-Policy forbids, and fixed colours, where the page follows light and dark mode. It has no tooltips,
labels for screen readers or buttons, and still takes 18 to 21 kB for a panel of 60 nights, against 14 kB here.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from artifactscan.audit.formatting import night_time, percent, percent_between, seconds
from artifactscan.labels import LABELS

PANEL_WIDTH, PANEL_HEIGHT = 300, 140
"""Units of a trend panel's drawing, which is scaled to the room there is."""
PANEL_LEFT, PANEL_RIGHT, PANEL_TOP, PANEL_BOTTOM = 44, 8, 12, 24
MAX_NIGHTS = 60
"""Most nights in a panel, the latest: more marks would overlap."""

STRIP_WIDTH, STRIP_HEIGHT = 1000, 100
MAX_STEPS = 600
"""Most steps in a strip, about one per pixel; a step of several frames shows the highest score."""

_HEADROOM = 1.15
"""Room above the limit's line for its text."""
_MARK_RADII = (1.4, 2.4)
"""Smallest, for many nights, and largest."""
_LONE_BAND = 3.0
"""Half the width of the interval's band of a night without neighbours."""
_SMALLEST_TOP = 0.001
"""Of a rate's scale, where all rates are 0."""
_SHORTEST_S = 0.1
"""Of a time axis, where all there is is one frame at 0."""
_MAX_SPANS = 10
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_NICE_TOPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One night's rate in a panel."""

    x: float
    y: float
    kind: str
    """tonight, baseline (a night compared with) or other."""
    title: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One label's trend in one group."""

    label: str
    line: str
    """SVG path of the rates."""
    band: str
    """SVG path of their intervals."""
    marks: tuple[Mark, ...]
    mark_radius: float
    ticks: tuple[tuple[float, str], ...]
    """y and its text, 0 first."""
    limit_y: float | None
    """y of the policy's limit."""
    limit: str
    tonight: str
    """Rate and interval of the last night, in words."""
    first_night: str
    last_night: str
    summary: str
    """The panel in words, for screen readers."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One event in a strip."""

    x: float
    width: float
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One label's scores over a video's time."""

    label: str
    line: str
    area: str
    threshold_y: float
    blocks: tuple[Block, ...]
    summary: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All labels' strips of one video."""

    duration_s: float
    strips: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]
    """Share of the width and its text."""


def panel(rows: Sequence[Row], *, label: str, baseline: Iterable[str], limit: float | None) -> Panel:
    """The trend of one label and group from its TRENDS rows, oldest first, at least one.

    ``baseline``: the nights that the last one is compared with. ``limit``: the rate above which the policy fails a
    night. A night without videos leaves a gap.
    """
    shown, compared = rows[-MAX_NIGHTS:], set(baseline)
    top = nice_top(max([_HEADROOM * (limit or 0.0), *(row["rate_high"] or row["rate"] or 0.0 for row in shown)]))
    width, height = PANEL_WIDTH - PANEL_LEFT - PANEL_RIGHT, PANEL_HEIGHT - PANEL_TOP - PANEL_BOTTOM

    def y_of(rate: float) -> float:
        return round(PANEL_TOP + height * (1 - rate / top), 1)

    step = width / max(1, len(shown) - 1)
    x = [round(PANEL_LEFT + (step * n if len(shown) > 1 else width / 2), 1) for n in range(len(shown))]
    marks, line, band = [], [], []
    for has_rate, group in groupby(range(len(shown)), key=lambda n: shown[n]["rate"] is not None):
        if not has_rate:
            continue
        run = list(group)
        line.append("M" + "L".join(f"{x[n]:g} {y_of(shown[n]['rate']):g}" for n in run))
        band.append(_band(run, x, shown, y_of))
        for n in run:
            kind = "tonight" if n == len(shown) - 1 else "baseline" if shown[n]["night"] in compared else "other"
            marks.append(Mark(x=x[n], y=y_of(shown[n]["rate"]), kind=kind, title=_night_in_words(shown[n])))
    last = shown[-1]
    return Panel(
        label=label,
        line="".join(line),
        band="".join(band),
        marks=tuple(marks),
        mark_radius=max(_MARK_RADII[0], min(_MARK_RADII[1], step / 3)),
        ticks=tuple((y_of(rate), short_percent(rate)) for rate in (0.0, top / 2, top)),
        limit_y=None if limit is None else y_of(limit),
        limit="" if limit is None else f"limit {percent(limit)}",
        tonight=_rate_in_words(last),
        first_night=night_time(shown[0]["night"])[:10],
        last_night=night_time(last["night"])[:10] if len(shown) > 1 else "",
        summary=_trend_in_words(label, shown, limit),
    )


def timeline(
    frames: pa.Table, events: Sequence[Row], thresholds: Mapping[str, float], *, duration_s: float | None
) -> Timeline:
    """A video's scores and events over its time.

    ``frames``: FRAMES rows of the video, in order; ``events``: its EVENTS rows. Each score holds until the next
    sampled frame. The axis ends at the video's end, or at the last event or frame where that is later.
    """
    pts = np.maximum(frames["pts_s"].to_numpy(), 0.0)
    end_s = _end_s(pts, events, duration_s)
    first, edges = _steps(pts, end_s)
    strips = []
    for label in LABELS:
        own = [row for row in events if row["label"] == label]
        scores = frames[f"p_{label}"].to_numpy()
        line, area = _step_paths(edges, np.maximum.reduceat(scores, first) if len(scores) else scores)
        strips.append(
            Strip(
                label=label,
                line=line,
                area=area,
                threshold_y=round(STRIP_HEIGHT * (1 - thresholds[label]), 1),
                blocks=tuple(_block(row, end_s) for row in own),
                summary=_strip_in_words(label, scores, own),
            )
        )
    return Timeline(duration_s=end_s, strips=tuple(strips), ticks=_time_ticks(end_s))


def nice_top(highest: float) -> float:
    """The smallest round share at or above ``highest``, at most 1."""
    return min(1.0, _round_up(max(highest, _SMALLEST_TOP), _NICE_TOPS))


def short_percent(share: float) -> str:
    """12.5 %, for an axis."""
    return f"{100 * share:.3g} %"


def _round_up(value: float, nice: Sequence[float]) -> float:
    """The smallest of the ``nice`` numbers, times a power of ten, at or above ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(one * power for one in nice if one * power >= value * (1 - 1e-9))


def _band(run: list[int], x: list[float], rows: Sequence[Row], y_of: Callable[[float], float]) -> str:
    known = [n for n in run if rows[n]["rate_low"] is not None and rows[n]["rate_high"] is not None]
    spots = [(x[n], n) for n in known]
    if len(known) == 1:
        spots = [(x[known[0]] + shift, known[0]) for shift in (-_LONE_BAND, _LONE_BAND)]
    above = [f"{at:g} {y_of(rows[n]['rate_high']):g}" for at, n in spots]
    below = [f"{at:g} {y_of(rows[n]['rate_low']):g}" for at, n in reversed(spots)]
    return "M" + "L".join(above + below) + "Z" if spots else ""


def _rate_in_words(row: Row) -> str:
    if row["rate"] is None:
        return "no videos"
    if row["rate_low"] is None:
        return percent(row["rate"])
    return f"{percent(row['rate'])} ({percent_between(row['rate_low'], row['rate_high'])})"


def _night_in_words(row: Row) -> str:
    return f"{night_time(row['night'])}: {_rate_in_words(row)} of {row['videos']:,} videos"


def _trend_in_words(label: str, rows: Sequence[Row], limit: float | None) -> str:
    before = [row["rate"] for row in rows[:-1] if row["rate"] is not None]
    span = f"; {len(before)} nights before: {percent(min(before))} to {percent(max(before))}" if before else ""
    bound = "" if limit is None else f"; the policy's limit is {percent(limit)}"
    return f"{label}: {_rate_in_words(rows[-1])} of videos tonight{span}{bound}"


def _end_s(pts: np.ndarray, events: Sequence[Row], duration_s: float | None) -> float:
    ends = [_SHORTEST_S, duration_s or 0.0, *pts[-1:].tolist(), *(row["end_s"] for row in events)]
    if duration_s is None and len(pts) > 1:
        ends.append(float(pts[-1] + np.median(np.diff(pts))))
    return max(ends)


def _steps(pts: np.ndarray, end_s: float) -> tuple[np.ndarray, np.ndarray]:
    """First frame of each step, and the steps' edges from 0 to STRIP_WIDTH."""
    if not len(pts):
        return np.zeros(0, int), np.zeros(0)
    first = np.unique(np.linspace(0, len(pts), min(len(pts), MAX_STEPS), endpoint=False).astype(int))
    return first, np.r_[pts[first], end_s] / end_s * STRIP_WIDTH


def _step_paths(edges: np.ndarray, heights: np.ndarray) -> tuple[str, str]:
    """SVG paths of the line and of the area below it."""
    if not len(heights):
        return "", ""
    y = np.round(STRIP_HEIGHT * (1 - heights.astype(float)), 1)
    edges = np.round(edges, 1)
    steps = [f"H{right:g}V{below:g}" for right, below in zip(edges[1:-1], y[1:], strict=True)]
    line = f"M{edges[0]:g} {y[0]:g}{''.join(steps)}H{edges[-1]:g}"
    return line, f"{line}V{STRIP_HEIGHT}H{edges[0]:g}Z"


def _block(event: Row, end_s: float) -> Block:
    start, stop = event["start_s"], event["end_s"]
    return Block(
        x=round(STRIP_WIDTH * start / end_s, 1),
        width=round(STRIP_WIDTH * (stop - start) / end_s, 1),
        start_s=start,
        end_s=stop,
        title=f"{event['label']} {seconds(start)} to {seconds(stop)}, peak {event['peak']:.2f}",
    )


def _strip_in_words(label: str, scores: np.ndarray, events: Sequence[Row]) -> str:
    peak = f"peak {scores.max():.2f}" if len(scores) else "no scores"
    if not events:
        return f"{label}: {peak}, no event"
    spans = ", ".join(f"{seconds(row['start_s'])} to {seconds(row['end_s'])}" for row in events[:_MAX_SPANS])
    more = f" and {len(events) - _MAX_SPANS} more" if len(events) > _MAX_SPANS else ""
    return f"{label}: {peak}, events {spans}{more}"


def _time_ticks(end_s: float) -> tuple[tuple[float, str], ...]:
    """Round seconds, at most six, the first 0."""
    step = _round_up(end_s / 5, _NICE)
    times = [n * step for n in range(int(end_s / step + 1e-9) + 1)]
    return tuple(
        (round(time / end_s, 4), f"{time:g} s" if end_s < 60 else seconds(time).removesuffix(".0")) for time in times
    )
