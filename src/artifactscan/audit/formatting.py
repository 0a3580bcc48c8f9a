"""Figures, times and names as text: on the page, in Markdown and in verdicts."""

import re
from datetime import datetime

from artifactscan.messages.text import printable

MISSING = "–"
"""Stands for a figure that is None."""
NAME_CHARS = 160
"""Longer file names, groups and reasons are cut in the middle."""

_NIGHT_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)\d\dZ")
_SMALLEST_Q = 0.001
_MINUS = "\N{MINUS SIGN}"


def percent(share: float | None) -> str:
    """12.3 %; two decimals below 1 %."""
    return MISSING if share is None else f"{_digits(100 * share)} %"


def percent_between(low: float | None, high: float | None) -> str:
    """10.1–14.5: percentages without the sign, to follow a figure that has it."""
    return MISSING if low is None or high is None else f"{_digits(100 * low)}–{_digits(100 * high)}"


def points(change: float | None) -> str:
    """+3.2: a difference of two shares in percentage points."""
    if change is None:
        return MISSING
    rounded = round(100 * change, 1)
    return f"{rounded:+.1f}".replace("-", _MINUS) if rounded else "0.0"


def points_between(low: float | None, high: float | None) -> str:
    """+1.1 to +5.3."""
    return MISSING if low is None or high is None else f"{points(low)} to {points(high)}"


def number(value: float | None, digits: int = 2) -> str:
    """0.12: a fixed number of decimals."""
    return MISSING if value is None else f"{value:.{digits}f}"


def q_value(value: float | None) -> str:
    """0.012, or <0.001."""
    if value is None:
        return MISSING
    return f"<{_SMALLEST_Q}" if value < _SMALLEST_Q else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """3.5 s; from a minute on 1:02.5, from an hour on 1:02:03.5."""
    if value is None:
        return MISSING
    minutes, tenths = divmod(round(10 * value), 600)
    if not minutes:
        return f"{tenths / 10:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths / 10:04.1f}" if hours else f"{minutes}:{tenths / 10:04.1f}"


def counted(count: int, one: str) -> str:
    """1 video, 2,000 videos."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def night_time(night: str) -> str:
    """When a night began, from its id: 2026-05-03 01:00; another id as it is."""
    if found := _NIGHT_ID.match(night):
        return "{}-{}-{} {}:{}".format(*found.groups())
    return printable(night, NAME_CHARS)


def utc_time(moment: str) -> str:
    """ISO 8601 in UTC as 2026-05-03 01:00 UTC; another text as it is."""
    try:
        return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return printable(moment, NAME_CHARS)


def _digits(value: float) -> str:
    return f"{value:.1f}" if value == 0 or value >= 1 else f"{value:.2f}"
