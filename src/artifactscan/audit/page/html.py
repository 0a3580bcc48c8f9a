"""The night as one static, self-contained HTML page."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from artifactscan.audit import formatting
from artifactscan.audit.night import Night, Report
from artifactscan.audit.page import charts, sections
from artifactscan.audit.page.cards import cards
from artifactscan.audit.page.content_policy import content_policy
from artifactscan.audit.page.video_list import MAX_LISTED, embedded, listing
from artifactscan.audit.policy import describe
from artifactscan.audit.night_tables import ALL
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable

MAX_CELLS = 800
"""Rows of the table of cells; of more, those that changed and those of the largest groups."""
MAX_TREND_GROUPS = 12
"""Groups with trends, about 45 kB each over 60 nights; the others are in the table of cells."""
MAX_REASONS = 25
"""Reasons listed, the most frequent."""

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='7' fill='%23{}'/%3E%3C/svg%3E"
)
_ICON_COLOURS = {"pass": "00694d", "fail": "a63c00", "moved": "7d3f68"}
_SECTIONS = {
    "trends": "Trends",
    "cells": "Labels and groups",
    "worst": "Worst videos",
    "arrivals": "All arrivals",
    "outcomes": "Outcomes",
    "canaries": "Canaries",
    "sampling": "Sampling",
    "prevalence": "Prevalence",
    "changes": "What changed",
    "policy": "Policy",
    "versions": "Versions",
    "reading": "How to read it",
}


@dataclass(frozen=True, kw_only=True)
class TrendGroup:
    """One group's panels."""

    name: str
    panels: tuple[charts.Panel, ...]


@dataclass(frozen=True, kw_only=True)
class CanaryClip:
    """One canary's CANARIES rows in the order of the labels, each with ``moved``."""

    clip: str
    reason: str | None
    rows: tuple[Mapping[str, Any], ...]


def render_html(report: Report) -> str:
    """The page. It loads nothing from elsewhere but the videos that its reader plays, and its policy forbids the rest.

    A link to a video that is neither relative nor to an http(s) host is not used.
    """
    night = report.night
    kind = sections.KINDS[night.verdict.code]
    css, js = _source("page.css"), _source("page.js")
    worst = cards(report)
    cells, trends = _cells(report), _trends(report)
    policy, canaries = sections.policy(night), _canaries(report)
    anchors = {card.video.video_id: card.anchor for card in worst}
    context: dict[str, Any] = {
        "report": report,
        "night": night,
        "word": sections.WORDS[night.verdict.code],
        "kind": kind,
        "icon": _ICON.format(_ICON_COLOURS[kind]),
        "content_policy": content_policy(css=css, js=js, links=[card.link for card in worst if card.link]),
        "css": css,
        "js": js,
        "labels": LABELS,
        "steps": sections.next_steps(report),
        "nav": _SECTIONS,
        "trends": trends,
        "trends_left": len(set(report.trends["group"].to_pylist())) - len(trends),
        "has_limit": any(panel.limit_y is not None for group in trends for panel in group.panels),
        "cells": cells,
        "cells_total": report.cells.num_rows,
        "cells_top": charts.nice_top(max((cell["rate_high"] or cell["rate"] or 0.0 for cell in cells), default=0.0)),
        "risen": len(sections.risen(report)),
        "worst": worst,
        "has_overlays": any(picture.overlay for card in worst for picture in card.pictures),
        "listed": min(report.arrivals.num_rows, MAX_LISTED),
        "listing": embedded(listing(report.arrivals, night.thresholds, anchors)),
        "outcomes": sorted({**night.standing_outcomes, **night.outcomes}),
        "failures": sections.failures(report.arrivals),
        "canaries": canaries,
        "moved": len({clip for clip, _ in sections.moved_canaries(report)}),
        "not_compared": sum(clip.reason is not None for clip in canaries),
        "policy": policy,
        "policy_in_words": describe(policy),
        "sampling": report.sampling.to_pylist(),
        "prevalence": report.prevalence.to_pylist(),
        "changes": sections.changes(report.previous, night),
        "records": _records(night),
    }
    return _environment().get_template("page.html.jinja").render(context)


def _cells(report: Report) -> list[dict[str, Any]]:
    """All, or those that changed and those of the largest groups; in the order of sections.ordered_cells."""
    rows = sections.ordered_cells(report)
    if len(rows) <= MAX_CELLS:
        return rows
    kept = sorted(range(len(rows)), key=lambda n: (not rows[n]["state"], -rows[n]["videos"]))[:MAX_CELLS]
    return [rows[n] for n in sorted(kept)]


def _trends(report: Report) -> list[TrendGroup]:
    """All videos together, then groups in which a label has risen, then the largest."""
    by_group: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in report.trends.to_pylist():
        by_group.setdefault(row["group"], {}).setdefault(row["label"], []).append(row)
    videos = Counter({group: sum(rows[-1]["videos"] for rows in labels.values()) for group, labels in by_group.items()})
    risen = {cell["group"] for cell in sections.risen(report)}
    order = sorted(by_group, key=lambda group: (group != ALL, group not in risen, -videos[group], group))
    return [
        TrendGroup(
            name=group,
            panels=tuple(
                charts.panel(
                    by_group[group][label],
                    label=label,
                    baseline=report.night.baseline,
                    limit=sections.rate_limit(report, label, group),
                )
                for label in LABELS
                if label in by_group[group]
            ),
        )
        for group in order[:MAX_TREND_GROUPS]
    ]


def _canaries(report: Report) -> list[CanaryClip]:
    moved = sections.moved_canaries(report)
    clips: dict[str, list[dict[str, Any]]] = {}
    for row in report.canaries.to_pylist():
        clips.setdefault(row["clip"], []).append({**row, "moved": (row["clip"], row["label"]) in moved})
    return [
        CanaryClip(
            clip=clip,
            reason=next((row["reason"] for row in rows if row["reason"]), None),
            rows=tuple(sorted(rows, key=lambda row: LABELS.index(row["label"]))),
        )
        for clip, rows in clips.items()
    ]


def _records(night: Night) -> dict[str, list[tuple[str, str]]]:
    """What ran and what it was told, under headings."""
    return {
        "This night": [
            ("night", night.night),
            ("corpus", night.corpus),
            ("began", formatting.clock(night.started)),
            ("ended", formatting.clock(night.finished)),
            ("scoring runs", ", ".join(night.runs) or "none"),
            ("compared with", ", ".join(map(formatting.night_time, night.baseline)) or "none"),
        ],
        "Scorer": [
            *sections.flat(night.checkpoint, "checkpoint."),
            ("reference night", night.scorer),
            ("spec digest", night.spec_digest),
            *sections.flat(night.spec),
        ],
        "Thresholds and events": [*sections.flat(night.thresholds, "threshold."), *sections.flat(night.events)],
        "Versions": list(sections.flat(night.versions)),
        "Settings": list(sections.flat(sections.public(night.settings))),
    }


def _source(name: str) -> Markup:
    """A style or script as it is embedded; its digest stands in the page's policy."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("artifactscan.audit.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    figures: dict[str, Callable[..., str]] = {
        name: getattr(formatting, name)
        for name in (
            *("percent", "percent_between", "points", "points_between", "number", "q_value"),
            *("seconds", "counted", "night_time", "clock"),
        )
    }
    environment.filters |= figures
    environment.filters |= {
        "cut": printable,
        "short_percent": charts.short_percent,
        "sort_value": _sort_value,
        "thousands": lambda count: f"{count:,}",
    }
    environment.globals |= {
        "name_chars": formatting.NAME_CHARS,
        "max_reasons": MAX_REASONS,
        "strip_width": charts.STRIP_WIDTH,
        "strip_height": charts.STRIP_HEIGHT,
        "box": {
            "width": charts.PANEL_WIDTH,
            "height": charts.PANEL_HEIGHT,
            "left": charts.PANEL_LEFT,
            "right": charts.PANEL_RIGHT,
        },
    }
    return environment


def _visible(value: Any) -> Any:
    """What a template puts out: control characters of a text escaped, a number with no more digits than it needs.

    Autoescaping comes after this.
    """
    if type(value) is float:
        return f"{value:g}"
    return printable(value) if type(value) is str else value


def _sort_value(value: float | None) -> Markup:
    """The attribute by which a cell of a table is sorted; without one it comes last."""
    return Markup("") if value is None else Markup(' data-v="{}"').format(f"{value:.6g}")
