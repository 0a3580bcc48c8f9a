"""axe-core finds nothing to complain of in the page and the mail: light and dark, on a phone and at a desk."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from opened_page import DESK, Open
from reports import make_report, with_estimates

from artifactscan.audit.brief.night_brief import NightBrief, night_brief
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.page.mail import mail_html, picture_id

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

PHONE = {"width": 390, "height": 844}
PAGE = "https://audits.example.com/nights/n/report.html"
GROUPS = ("generator=sora", "version=2")
LINKS = ("clip.webm", "moves.gif", None)


WHOLE_PAGES = ("landmark-one-main", "region")
"""Rules that a mail need not keep: it is a part of its reader's page, which has the landmarks."""


def violations(tab: Any, *, without: Sequence[str] = ()) -> list[str]:
    """What axe-core finds, a line each, with the first element of it."""
    found = axe.Axe().run(tab, options={"rules": {rule: {"enabled": False} for rule in without}}).response
    assert len(found["passes"]) > 10, "it has looked at the page"
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("code", "viewport", "scheme"),
    [
        pytest.param(EXIT_FAIL, PHONE, "light", id="fail-phone-light"),
        pytest.param(EXIT_FAIL, DESK, "dark", id="fail-desk-dark"),
        pytest.param(EXIT_PASS, PHONE, "dark", id="pass-phone-dark"),
        pytest.param(EXIT_PASS, DESK, "light", id="pass-desk-light"),
        pytest.param(EXIT_FAIL, PHONE, "dark", id="fail-phone-dark", marks=SLOW),
        pytest.param(EXIT_FAIL, DESK, "light", id="fail-desk-light", marks=SLOW),
        pytest.param(EXIT_PASS, PHONE, "light", id="pass-phone-light", marks=SLOW),
        pytest.param(EXIT_PASS, DESK, "dark", id="pass-desk-dark", marks=SLOW),
        pytest.param(EXIT_SCORER_MOVED, PHONE, "light", id="moved-phone-light", marks=SLOW),
        pytest.param(EXIT_SCORER_MOVED, DESK, "dark", id="moved-desk-dark", marks=SLOW),
    ],
)
def test_the_page_has_no_violation(open_page: Open, code: int, viewport: dict[str, int], scheme: str) -> None:
    made = make_report(code=code, videos=10, nights=4, groups=GROUPS, links=LINKS, blind=code == EXIT_PASS)
    report = with_estimates(made)
    page = open_page(report, viewport=viewport, color_scheme=scheme)
    page.tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert violations(page.tab) == []


def opened_mail(tab: Any, brief: NightBrief) -> None:
    """Shows the mail's HTML as a program would: with the pictures that belong to it."""
    source = mail_html(brief, PAGE)
    for n, clip in enumerate(brief.clips, 1):
        data = base64.b64encode(clip.frame_jpeg or b"").decode()
        source = source.replace(f"cid:{picture_id(n)}", f"data:image/jpeg;base64,{data}")
    tab.set_content(source)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 700])
def test_the_mail_has_no_violation_and_fits(browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    try:
        tab = context.new_page()
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        opened_mail(tab, night_brief(make_report(videos=120, links=LINKS)))
        assert violations(tab, without=WHOLE_PAGES) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 20, 23)"}[scheme]
        assert [url for url in requests if not url.startswith("data:")] == []
    finally:
        context.close()
