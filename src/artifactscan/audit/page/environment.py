"""The templates' environment: filters, escaping, and control characters made visible."""

import base64
import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from artifactscan.audit import formatting
from artifactscan.audit.page import charts
from artifactscan.messages.text import printable

MAX_REASONS = 25
"""Most reasons of failures, the most frequent."""
_FIGURES = re.compile(r"[\d.,]+ %|\d{4}-\d\d-\d\d")
_FILTERS = (
    *("percent", "percent_between", "points", "points_between", "number", "q_value"),
    *("seconds", "counted", "night_time", "utc_time"),
)
"""Functions of ``formatting`` that the templates use."""


@cache
def environment() -> jinja2.Environment:
    """The environment of the templates, compiled once per process; everything that they put out is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("artifactscan.audit.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made.filters |= {name: getattr(formatting, name) for name in _FILTERS}
    made.filters |= {
        "cut": printable,
        "data_link": lambda jpeg: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}",
        "kept_together": _kept_together,
        "kept_together_in_mail": _kept_together_in_mail,
        "short_percent": charts.short_percent,
        "sort_value": _sort_value,
        "thousands": lambda count: f"{count:,}",
    }
    made.globals |= {
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
    return made


def _visible(value: Any) -> Any:
    """What a template puts out, before autoescaping: control characters escaped, numbers without needless digits."""
    if type(value) is float:
        return f"{value:g}"
    return printable(value) if type(value) is str else value


def _kept_together(text: str) -> Markup:
    """``text`` with its percentages and dates in elements that a line does not break in."""
    return Markup(_FIGURES.sub(r'<span class="unbroken">\g<0></span>', str(escape(printable(text)))))


def _kept_together_in_mail(text: str) -> Markup:
    """``text`` with no-break spaces in its percentages: mail programs drop the style of elements."""
    return Markup(_FIGURES.sub(lambda found: found[0].replace(" ", "&nbsp;"), str(escape(printable(text)))))


def _sort_value(value: float | None) -> Markup:
    """The attribute by which a table cell is sorted; without one it comes last."""
    return Markup("") if value is None else Markup(' data-v="{}"').format(f"{value:.6g}")
