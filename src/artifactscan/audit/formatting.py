"""Figures, times and names as the page and the message for chat write them."""

import re
from datetime import datetime

from artifactscan.messages.text import printable

MISSING = "–"
"""Where there is no figure."""
NAME_CHARS = 160
"""A longer file name, group or reason is cut in its middle."""

_NIGHT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)\d\dZ")
_SMALLEST_Q = 0.001
_MINUS = "\N{MINUS SIGN}"


def percent(share: float | None) -> str:
    """12.3 %, with a second digit below 1 %."""
    return MISSING if share is None else f"{_digits(100 * share)} %"


def percent_between(low: float | None, high: float | None) -> str:
    """10.1–14.5, in per cent, to stand behind a figure that has the sign."""
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
    """With a fixed number of digits."""
    return MISSING if value is None else f"{value:.{digits}f}"


def q_value(value: float | None) -> str:
    """Three digits, or that it is below them."""
    if value is None:
        return MISSING
    return f"<{_SMALLEST_Q}" if value < _SMALLEST_Q else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """3.5 s; from a minute on 1:02.5, from an hour on 1:02:03.5."""
    if value is None:
        return MISSING
    tenths = round(10 * value)
    minutes, rest = divmod(tenths, 600)
    if not minutes:
        return f"{rest / 10:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """1 video, 2,000 videos."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def night_time(night: str) -> str:
    """When a night began, from its id: 2026-05-03 01:00; another id as it is."""
    if found := _NIGHT.match(night):
        return "{}-{}-{} {}:{}".format(*found.groups())
    return printable(night, NAME_CHARS)


def clock(moment: str) -> str:
    """ISO 8601 in UTC as 2026-05-03 01:00 UTC; another text as it is."""
    try:
        return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return printable(moment, NAME_CHARS)


def _digits(value: float) -> str:
    return f"{value:.1f}" if value == 0 or value >= 1 else f"{value:.2f}"
