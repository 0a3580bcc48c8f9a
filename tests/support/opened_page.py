"""A page that a test has opened in a browser."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from artifactscan.audit.report_data import Report

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


@dataclass
class Opened:
    """A page in a tab, and what went on meanwhile."""

    tab: Any
    """The page of playwright."""
    report: Report
    home: str
    """What the addresses of its requests begin with."""
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.tab.locator(selector).all_inner_texts()]

    def column(self, table: str, position: int) -> list[str]:
        """The first line of each visible row's cell."""
        rows = self.tab.locator(f"{table} tbody tr:visible")
        return [text.strip().split("\n")[0] for text in rows.locator(f"> :nth-child({position})").all_inner_texts()]

    def sort_by(self, table: str, name: str) -> str | None:
        """Clicks a header; returns what aria-sort says then."""
        button = self.tab.locator(f"{table} .sort", has_text=re.compile(f"^{name}$"))
        button.click()
        return button.locator("xpath=..").get_attribute("aria-sort")


Open = Callable[..., Opened]
