"""A night as one static, self-contained HTML page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from artifactscan.audit import formatting
from artifactscan.audit.brief.night_brief import NightBrief
from artifactscan.audit.brief.scorer import canaries_in_words
from artifactscan.audit.canaries import compare_planted_canaries
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, VERDICT_WORDS, Night
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.page import charts
from artifactscan.audit.page.cards import cards
from artifactscan.audit.page.changes import changes, flat, without_figures, without_secrets
from artifactscan.audit.page.content_policy import content_policy
from artifactscan.audit.page.environment import environment
from artifactscan.audit.page.estimates import leading_estimates
from artifactscan.audit.page.next_steps import next_steps
from artifactscan.audit.page.video_list import MAX_LISTED, embedded, listing
from artifactscan.audit.policy import policy_in_sentences
from artifactscan.audit.report_data import Report, failures
from artifactscan.audit.verdict import scorer_moved
from artifactscan.evaluation.planted import PlantedComparison, planted_in_words
from artifactscan.labels import LABELS

MAX_CELLS = 800
"""Most rows of the table of cells: those that changed first, then those of the largest groups."""
MAX_TREND_GROUPS = 12
"""Most groups with trends, about 55 kB each over 60 nights; the others are in the table of cells."""
_KINDS = {EXIT_PASS: "pass", EXIT_FAIL: "fail", EXIT_SCORER_MOVED: "moved"}
"""A verdict's code as a class of the page's style."""
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


def render_html(report: Report, brief: NightBrief) -> str:
    """The page; ``brief``: of the same report.

    Its Content-Security-Policy lets it load nothing from elsewhere but the videos and GIFs that its reader plays. A
    link to a video is used only where it is relative or leads to an http(s) host.
    """
    night = report.night
    kind = _KINDS[night.verdict.code]
    css, js = _source("page.css"), _source("page.js")
    worst = cards(report)
    shown_cells, trends, canaries = _cells(report), _trends(report), _canaries(report)
    planted = compare_planted_canaries(report.canaries)
    estimates = leading_estimates(report)
    anchors = {card.video.video_id: card.anchor for card in worst}
    context: dict[str, Any] = {
        "report": report,
        "night": night,
        "brief": brief,
        "word": VERDICT_WORDS[night.verdict.code],
        "kind": kind,
        "icon": _ICON.format(_ICON_COLOURS[kind]),
        "content_policy": content_policy(
            css=css,
            js=js,
            links=[card.link for card in worst if card.link and not card.gif],
            gifs=[card.link for card in worst if card.link and card.gif],
        ),
        "css": css,
        "js": js,
        "labels": LABELS,
        "steps": next_steps(report),
        "estimates": estimates,
        "nav": _SECTIONS if estimates is None else {"estimates": "How much there is", **_SECTIONS},
        "trends": trends,
        "trends_left": len(set(report.trends["group"].to_pylist())) - len(trends),
        "has_limit": any(panel.limit_y is not None for panels in trends.values() for panel in panels),
        "cells": shown_cells,
        "cells_top": charts.nice_top(
            max((cell["rate_high"] or cell["rate"] or 0.0 for cell in shown_cells), default=0)
        ),
        "worst": worst,
        "has_overlays": any(picture.overlay_jpeg for video in report.worst for picture in video.pictures),
        "listed": min(report.arrivals.num_rows, MAX_LISTED),
        "listing": embedded(listing(report.arrivals, night.thresholds, anchors)),
        "outcomes": sorted({**night.standing_outcomes, **night.outcomes}),
        "failures": failures(report.arrivals),
        "canaries": canaries,
        "planted": planted,
        "planted_in_words": planted_in_words(planted),
        "canaries_in_words": canaries_in_words(report.policy, report.canaries),
        "canary_sign": _canary_sign(report, planted),
        "policy_in_words": policy_in_sentences(report.policy),
        "sampling": report.sampling.to_pylist(),
        "prevalence": report.prevalence.to_pylist(),
        "changes": changes(report.previous, night),
        "records": _records(night),
    }
    return environment().get_template("page.html.jinja").render(context)


def _cells(report: Report) -> list[dict[str, Any]]:
    """At most MAX_CELLS rows, in the order of ``Report.ordered_cells``."""
    rows = report.ordered_cells
    kept = sorted(range(len(rows)), key=lambda n: (not rows[n]["state"], -rows[n]["videos"]))[:MAX_CELLS]
    return [rows[n] for n in sorted(kept)]


def _trends(report: Report) -> dict[str, list[charts.Panel]]:
    """Group → its panels: all videos together, then groups in which a label has risen, then the largest."""
    by_group: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in report.trends.to_pylist():
        by_group.setdefault(row["group"], {}).setdefault(row["label"], []).append(row)
    videos = Counter({group: sum(rows[-1]["videos"] for rows in labels.values()) for group, labels in by_group.items()})
    risen = {cell["group"] for cell in report.risen}
    order = sorted(by_group, key=lambda group: (group != ALL, group not in risen, -videos[group], group))
    return {
        group: [
            charts.panel(
                by_group[group][label],
                label=label,
                baseline=report.night.baseline,
                limit=report.rate_limit(label, group),
            )
            for label in LABELS
            if label in by_group[group]
        ]
        for group in order[:MAX_TREND_GROUPS]
    }


def _canaries(report: Report) -> dict[str, list[Mapping[str, Any]]]:
    """Clip → its CANARIES rows in the order of the labels, each with ``moved``."""
    clips: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(report.canaries.to_pylist(), key=lambda row: LABELS.index(row["label"])):
        clips.setdefault(row["clip"], []).append({**row, "moved": (row["clip"], row["label"]) in report.moved})
    return clips


def _canary_sign(report: Report, planted: Sequence[PlantedComparison]) -> str:
    """Moved, not able to show a move, or still."""
    if scorer_moved(report.policy, report.canaries):
        return "▲"
    return "?" if any(one.decidable and not one.found for one in planted) else "✓"


def _records(night: Night) -> dict[str, list[tuple[str, str]]]:
    """What ran and with which settings, under headings."""
    return {
        "This night": [
            ("night", night.night),
            ("corpus", night.corpus),
            ("began", formatting.utc_time(night.started)),
            ("ended", formatting.utc_time(night.finished)),
            ("scoring runs", ", ".join(night.runs) or "none"),
            ("baseline nights", ", ".join(map(formatting.night_time, night.baseline)) or "none"),
        ],
        "Scorer": [
            *flat(without_figures(night.checkpoint), "checkpoint."),
            ("reference night", night.scorer),
            ("spec digest", night.spec_digest),
            *flat(night.spec),
        ],
        "Thresholds and events": [*flat(night.thresholds, "threshold."), *flat(night.events)],
        "Versions": list(flat(night.versions)),
        "Settings": list(flat(without_secrets(night.settings))),
    }


def _source(name: str) -> Markup:
    """A style or script as it is embedded; its digest is in the page's Content-Security-Policy."""
    loader = environment().loader
    assert loader is not None
    return Markup(loader.get_source(environment(), name)[0])
