"""A browser, and reports opened in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opened_page import DESK, Open, Opened
from rendered import html_of
from reports import make_report

from artifactscan.audit.report_data import Report


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a report from disk; after the test nothing may have been logged, asked or requested from elsewhere."""
    opened: list[Opened] = []

    def open_one(
        report: Report | None = None, *, viewport: dict[str, int] = DESK, home: str | None = None, **context: object
    ) -> Opened:
        report = report or make_report(videos=120)
        (tmp_path / "report.html").write_text(html_of(report), encoding="utf-8")
        tab = browser.new_context(viewport=viewport, **context).new_page()
        one = Opened(tab, report, home or tmp_path.as_uri())
        tab.on("console", lambda said: one.errors.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: one.errors.append(str(error)))
        tab.on("dialog", lambda dialog: one.errors.append(dialog.message))
        tab.on("request", lambda request: one.requests.append(request.url))
        tab.add_init_script("window.pwned = () => { window.wasPwned = true; };")
        tab.goto(f"{one.home}/report.html")
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        assert one.errors == []
        assert [url for url in one.requests if not url.startswith((f"{one.home}/", "data:image/"))] == []
        one.tab.context.close()
