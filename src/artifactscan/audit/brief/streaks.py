"""Since when a night fails or passes as it does, from the nights before."""

from collections.abc import Iterable
from dataclasses import dataclass

from artifactscan.audit.formatting import counted, night_time
from artifactscan.audit.night import EXIT_PASS, EXIT_SCORER_MOVED, Night
from artifactscan.audit.report_data import Report
from artifactscan.outcomes import HAS_FRAMES


@dataclass(frozen=True, kw_only=True)
class Streak:
    """Which of the earlier nights were like tonight."""

    known: int
    """Earlier nights of which it is known whether they were like tonight."""
    nights: int
    """How many of the known nights right before tonight were like it, up to the first that was not."""
    first: str | None
    """The first of ``nights``."""
    last: str | None
    """The last of the known ones that was like tonight, in a row or not."""


def streak(earlier: Iterable[tuple[str, bool | None]]) -> Streak:
    """``earlier``: nights, oldest first, and whether they were like tonight; None where that is not known."""
    known = [(night, like) for night, like in earlier if like is not None]
    row = []
    for night, like in reversed(known):
        if not like:
            break
        row.append(night)
    alike = [night for night, like in known if like]
    return Streak(known=len(known), nights=len(row), first=row[-1] if row else None, last=alike[-1] if alike else None)


def since_in_words(report: Report) -> str:
    """Since when the night's first cause stands, or since when nights pass, as a sentence."""
    if not report.history:
        return "This is the first night."
    if report.night.verdict.code == EXIT_PASS:
        return _passing_since(streak((night.night, night.verdict.code == EXIT_PASS) for night in report.history))
    return _failing_since(
        streak(_earlier(report)), whole=report.broken.leading_cell is None or _scorer_moved(report.night)
    )


def _earlier(report: Report) -> Iterable[tuple[str, bool | None]]:
    """The nights before, and whether the first cause of tonight's verdict stood then."""
    broken = report.broken
    if _scorer_moved(report.night):
        return ((night.night, _scorer_moved(night)) for night in report.history)
    if broken.leading_cell:
        label, group = broken.leading_cell
        rows = [
            row
            for row in report.trends.to_pylist()
            if (row["label"], row["group"]) == (label, group) and row["night"] != report.night.night
        ]
        if broken.risen:
            return ((row["night"], row["risen"]) for row in rows)
        limit = broken.high[0][0].above
        return ((row["night"], None if row["rate"] is None else row["rate"] > limit) for row in rows)
    return ((night.night, _too_many_failed(night)) for night in report.history)


def _scorer_moved(night: Night) -> bool:
    return night.verdict.code == EXIT_SCORER_MOVED


def _too_many_failed(night: Night) -> bool | None:
    """Whether more of a night's files had no score than its own policy allows; None where none arrived."""
    arrived = sum(night.outcomes.values())
    if not arrived:
        return None
    failed = sum(count for outcome, count in night.outcomes.items() if outcome not in HAS_FRAMES)
    return failed / arrived > night.policy.get("failed_above", 1.0)


def _failing_since(of: Streak, *, whole: bool) -> str:
    """``whole``: whether all nights of the audit were looked at, and not only those of the trends."""
    if not of.known:
        return "Not known: no night before was compared."
    if of.first is not None and of.nights == of.known and not whole:
        return f"At least {of.nights + 1} nights in a row; already on {_day(of.first)}."
    if of.first is not None:
        return f"{of.nights + 1} nights in a row, since {_day(of.first)}."
    if of.last is not None:
        return f"Tonight; before that last on {_day(of.last)}."
    return f"Tonight for the first time in {counted(of.known + 1, 'night')}."


def _passing_since(of: Streak) -> str:
    if of.first is not None:
        return f"{of.nights + 1} nights in a row pass, since {_day(of.first)}."
    return "Tonight; the night before did not pass."


def _day(night: str) -> str:
    return night_time(night)[:10]
