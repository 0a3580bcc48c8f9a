"""A night as Markdown for a chat or an issue: the verdict first, then what is worth a look."""

import re
from collections.abc import Sequence

from artifactscan.audit.brief.night_brief import NightBrief
from artifactscan.audit.formatting import (
    counted,
    percent,
    percent_between,
    points,
    points_between,
    q_value,
)
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.page.changes import changes
from artifactscan.audit.page.estimates import leading_estimates
from artifactscan.audit.page.next_steps import next_steps
from artifactscan.audit.report_data import Report, failures, without_score
from artifactscan.messages.text import printable

MAX_REASONS, MAX_STEPS, MAX_CELLS, MAX_FAILURES, MAX_CHANGES, MAX_NOTES = 3, 6, 8, 3, 3, 2
"""Most lines of each kind; the page has all of them."""

_ICONS = {EXIT_PASS: "✅", EXIT_FAIL: "❌", EXIT_SCORER_MOVED: "⚠️"}
_TEXT_CHARS, _NAME_CHARS = 400, 100
_MARKUP = re.compile(r"[\\`*_\[\]#|~$]")
_STARTS_A_BLOCK = re.compile(r"^([-+]|\d+[.)])")
_IN_CODE = {ord(sign): f"\\x{ord(sign):02x}" for sign in "`|<>"}
_ZERO_WIDTH_SPACE = "\u200b"


def render_markdown(report: Report, brief: NightBrief) -> str:
    """The night in under 60 lines; names and reasons come from others and cannot start markup or mentions.

    ``brief``: of the same report.
    """
    night = report.night
    notes = [f"- {escaped(note)}" for note in (*night.notes, *night.remarks)]
    steps = next_steps(report)[:MAX_STEPS]
    cells_title = f"Rates ({len(report.risen):,} of {counted(report.cells.num_rows, 'cell')} risen)"
    lines = [
        f"## {_ICONS[brief.code]} {escaped(brief.sentence)}",
        "",
        *(f"- **{fact.name}**: {escaped(fact.text)}" for fact in brief.facts),
        "",
        f"Night {brief.when} of {code(brief.corpus)}: {', '.join(brief.counts)}. Exit code {brief.code}.",
        *_section("It fails as well, because", _others(brief)),
        *_section("Clips to look at", [f"- {code(clip.path)}: {clip.in_words}" for clip in brief.clips]),
        *_section("How much there is", _estimates(report)),
        *_section("What to do next", [f"{n}. {escaped(step.text)}" for n, step in enumerate(steps, 1)]),
        *_section(cells_title, _cells(report)),
        *_section("Without a score", _at_most(MAX_FAILURES, _failures(report), "other reasons")),
        *_section("Changed since the night before", _at_most(MAX_CHANGES, _changes(report), "more")),
        *_section("Notes", _at_most(MAX_NOTES, notes, "more notes")),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def escaped(text: str) -> str:
    """``text`` as one line of prose in which nothing is markup, a link or a mention, on GitHub or in Slack."""
    safe = _MARKUP.sub(r"\\\g<0>", printable(text.strip(), _TEXT_CHARS))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = _STARTS_A_BLOCK.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", safe)
    # A bare address would become a link, a name after an at sign a mention.
    safe = safe.replace("://", ":\\//").replace("www.", "www\\.")
    return safe.replace("@", f"@{_ZERO_WIDTH_SPACE}")


def code(text: str) -> str:
    """A name as a code span, in which nothing is a mention; signs that could end it or its table cell are escaped."""
    return f"`{printable(text, _NAME_CHARS).translate(_IN_CODE) or ' '}`"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"**{title}**", "", *lines] if lines else []


def _at_most(most: int, lines: Sequence[str], more: str) -> list[str]:
    left = len(lines) - most
    return [*lines[:most], f"- and {left:,} {more}"] if left > 0 else list(lines)


def _others(brief: NightBrief) -> list[str]:
    return _at_most(MAX_REASONS, [f"- {escaped(reason)}" for reason in brief.others], "more reasons")


def _estimates(report: Report) -> list[str]:
    """What the labels on random samples say, beside what is flagged."""
    if (found := leading_estimates(report)) is None:
        return []
    lines = [escaped(" ".join(filter(None, (found.basis, found.too_narrow, found.waiting))))]
    if found.shares:
        lines += ["", "| label | of clips | flagged | of frames | flagged |", "|---|---:|---:|---:|---:|"]
    for one in found.shares:
        cells = (
            f"{percent(row['estimate'])} ({percent_between(row['estimate_low'], row['estimate_high'])}) | "
            f"{percent(row['flag_rate'])}"
            for row in (one.clips, one.frames)
        )
        lines.append(f"| {one.label} | {' | '.join(cells)} |")
    return lines


def _cells(report: Report) -> list[str]:
    """The risen cells, then those of all videos together; at most MAX_CELLS."""
    cells = [cell for cell in report.ordered_cells if cell["state"] == "risen" or cell["group"] == ALL]
    if not cells:
        return []
    lines = ["| label | group | videos | rate | baseline | change | q |", "|---|---|---:|---:|---:|---:|---:|"]
    for cell in cells[:MAX_CELLS]:
        name = f"{cell['label']} (unproven)" if cell["label"] in report.night.unproven else cell["label"]
        rate = f"{percent(cell['rate'])} ({percent_between(cell['rate_low'], cell['rate_high'])})"
        change = f"{points(cell['change'])} ({points_between(cell['change_low'], cell['change_high'])})"
        lines.append(
            f"| {name} | {code(cell['group'])} | {cell['videos']:,} | {rate} | {percent(cell['base_rate'])} "
            f"| {change if cell['change'] is not None else '–'} | {q_value(cell['q_value'])} |"
        )
    return lines


def _failures(report: Report) -> list[str]:
    return [
        f"- {counted(one.videos, 'video')} {code(one.outcome)}: {escaped(one.reason)}, as {code(one.example)}"
        for one in failures(without_score(report.arrivals))
    ]


def _changes(report: Report) -> list[str]:
    return [
        f"- {one.kind} {code(one.name)}: {code(one.before)} → {code(one.tonight)}"
        for one in changes(report.previous, report.night)
    ]
