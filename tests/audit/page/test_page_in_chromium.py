"""The page in a real browser: sorting, filtering, seeking, keyboard, no request that leaves it."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from media import write_clip
from reports import make_report, poisoned

from artifactscan.audit.page.html import render_html
from artifactscan.audit.report_data import Report
from artifactscan.labels import LABELS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, Locator, Tab = playwright.Browser, playwright.Locator, playwright.Page

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
HOSTILE = (
    "</script><script>pwned()</script><img src=x onerror=pwned()><svg onload=pwned()>\"' autofocus onfocus='pwned()' "
    'x="<!--\u2028\u202egpj\n javascript:pwned()'
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; the tests skip where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=path)


@dataclass
class Opened:
    """A page in a tab, and what went on meanwhile."""

    tab: Tab
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


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a report from disk; after the test nothing may have been logged, asked or requested from elsewhere."""
    opened: list[Opened] = []

    def open_one(
        report: Report | None = None, *, viewport: dict[str, int] = DESK, home: str | None = None, **context: object
    ) -> Opened:
        report = report or make_report(videos=120)
        (tmp_path / "report.html").write_text(render_html(report), encoding="utf-8")
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


def test_it_opens_with_one_request(open_page: Open) -> None:
    page = open_page(make_report(links=["clip.webm", "https://bucket.s3.amazonaws.com/b.mp4?X-Amz-Signature=1"]))
    page.tab.wait_for_timeout(500)
    assert [url.rsplit("/", 1)[-1] for url in page.requests if not url.startswith("data:")] == ["report.html"]
    assert page.tab.locator("h1").inner_text().startswith("Worse than before")


# All arrivals


def test_arrivals_are_paged(open_page: Open) -> None:
    page = open_page()
    assert page.tab.locator("#video-count").inner_text() == "1–50 of 120"
    assert len(page.column("#video-table", 1)) == 50
    first = page.column("#video-table", 1)
    page.tab.locator("#following").click()
    page.tab.locator("#following").click()
    assert page.tab.locator("#video-count").inner_text() == "101–120 of 120"
    assert page.tab.locator("#following").is_disabled()
    page.tab.locator("#previous").click()
    page.tab.locator("#previous").click()
    assert page.column("#video-table", 1) == first
    assert page.tab.locator("#previous").is_disabled()


def test_arrivals_are_sorted_by_any_column(open_page: Open) -> None:
    page = open_page(make_report(videos=45))
    rows = page.report.arrivals.to_pylist()
    assert page.sort_by("#video-table", "motion") == "descending"
    peaks = sorted((row["peak_motion"] for row in rows if row["peak_motion"] is not None), reverse=True)
    missing = ["–"] * (len(rows) - len(peaks))
    shown = page.column("#video-table", 6 + LABELS.index("motion"))
    assert list(map(float, shown[: len(peaks)])) == pytest.approx(peaks, abs=0.006)
    assert shown[len(peaks) :] == missing
    assert page.sort_by("#video-table", "motion") == "ascending"
    assert page.column("#video-table", 6 + LABELS.index("motion")) == shown[: len(peaks)][::-1] + missing
    assert page.sort_by("#video-table", "Path") == "ascending"
    assert page.column("#video-table", 1) == sorted(row["path"] for row in rows)
    assert page.tab.locator("#video-table [aria-sort]").count() == 1
    page.sort_by("#video-table", "Frames")
    frames = [int(text) for text in page.column("#video-table", 5)]
    assert frames == sorted((row["frames"] for row in rows), reverse=True)
    page.sort_by("#video-table", "Length")
    assert page.column("#video-table", 4)[-len(missing) :] == missing


def test_arrivals_are_filtered_by_text_outcome_label_and_group(open_page: Open) -> None:
    page = open_page(make_report(videos=45))
    rows, form = page.report.arrivals.to_pylist(), page.tab.locator("#video-filters")

    def shown() -> set[str]:
        return set(page.column("#video-table", 1))

    form.locator("[name=text]").fill("DUSK/clip-0001")
    assert shown() == {row["path"] for row in rows if "dusk/clip-0001" in row["path"]}
    form.locator("[name=text]").fill("took longer")
    assert shown() == {row["path"] for row in rows if row["outcome"] == "timed_out"}
    form.locator("[name=text]").fill("no such thing")
    assert page.tab.locator("#video-count").inner_text() == "No video is like that."
    form.locator("[name=text]").fill("")
    form.locator("[name=outcome]").select_option("timed_out")
    assert shown() == {row["path"] for row in rows if row["outcome"] == "timed_out"}
    form.locator("[name=outcome]").select_option("")
    form.locator("[name=label]").select_option("object")
    flagged = {row["path"] for row in rows if row["events_object"]}
    assert shown() == flagged
    form.locator("[name=group]").select_option("generator=veo")
    assert shown() == {path for path in flagged if path.startswith("veo/")}
    form.locator("[name=label]").select_option("any")
    form.locator("[name=group]").select_option("")
    assert shown() == {row["path"] for row in rows if any(row[f"events_{label}"] for label in LABELS)}


def test_a_cell_s_count_leads_to_its_videos(open_page: Open) -> None:
    page = open_page(make_report(videos=45))
    row = page.tab.locator('#cell-table tr[data-label="boundary"]', has_text="generator=wan")
    row.locator("a").click()
    expected = [
        video["path"]
        for video in page.report.arrivals.to_pylist()
        if video["events_boundary"] and "generator=wan" in video["groups"]
    ]
    assert sorted(page.column("#video-table", 1)) == sorted(expected)
    assert row.locator("a").inner_text() == str(len(expected))
    assert page.tab.url.endswith("#arrivals")
    page.tab.locator("#next a").first.click()
    assert page.tab.locator("#video-filters [name=label]").input_value() == "motion"
    assert page.tab.locator("#video-filters [name=group]").input_value() == ""


def test_a_worst_video_s_path_leads_to_its_card(open_page: Open) -> None:
    page = open_page()
    page.tab.locator("#video-table a").first.click()
    assert re.search(r"#video-\d$", page.tab.url)


# Labels and groups


def test_cells_are_sorted_with_untested_ones_last(open_page: Open) -> None:
    page = open_page()
    assert page.sort_by("#cell-table", "Rate") == "descending"
    rates = [float(text.removesuffix(" %")) for text in page.column("#cell-table", 5)]
    assert rates == sorted(rates, reverse=True)
    for _ in range(2):
        page.sort_by("#cell-table", "Change")
        assert page.column("#cell-table", 7)[-1].startswith("not tested")
    page.sort_by("#cell-table", "Group")
    assert page.column("#cell-table", 1) == sorted(page.column("#cell-table", 1))


def test_cells_are_filtered(open_page: Open) -> None:
    page = open_page()
    form = page.tab.locator("#cell-filters")
    form.locator("[name=group]").fill("VEO")
    assert set(page.column("#cell-table", 1)) == {"generator=veo"}
    form.locator("[name=label]").select_option("motion")
    assert page.column("#cell-table", 2) == ["motion"]
    assert page.tab.locator("#cell-count").inner_text() == "1 of 20 cells"
    form.locator("[name=group]").fill("")
    form.locator("[name=label]").select_option("")
    form.locator("[name=changed]").check()
    assert page.column("#cell-table", 1) == ["all", "generator=sora"]


def test_a_group_s_trends_are_chosen(open_page: Open) -> None:
    page = open_page()
    assert page.tab.locator(".panel:visible").count() == len(LABELS)
    page.tab.locator("#trend-group").select_option("generator=veo")
    assert page.tab.locator(".trend-group[open]").count() == 1
    assert page.tab.locator(".trend-group[open] summary").text_content() == "generator=veo"
    assert page.tab.locator(".panel:visible").count() == len(LABELS)
    titles = page.tab.locator(".trend-group[open] .panel.motion title").all_text_contents()
    assert len(titles) == 15 and titles[-1].startswith("2026-05-15 01:00: ")


# The worst videos


@pytest.fixture
def played(open_page: Open, tmp_path: Path) -> Opened:
    """A page whose first worst video is a clip beside it; none of its events begins in the first second."""
    options = {"cpu-used": "8", "deadline": "realtime"}
    write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=13.0, options=options)
    report = make_report(videos=120, worst=40)
    early = {row["video_id"] for row in report.events.to_pylist() if row["start_s"] < 1}
    first = next(video for video in report.worst if video.video_id not in early)
    others = [video for video in report.worst if video is not first][:2]
    worst = (replace(first, link="clip.webm"), replace(others[0], link="gone.webm"), others[1])
    return open_page(replace(report, worst=worst))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def current(card: Locator) -> float:
    return card.locator("video").evaluate("video => video.currentTime")


def wait_until_at(page: Opened, card: Locator, start_s: float) -> None:
    handle = card.locator("video").element_handle()
    page.tab.wait_for_function(
        "([video, start]) => video.readyState >= 2 && !video.seeking && video.currentTime >= start - 0.05",
        arg=[handle, start_s],
        timeout=10_000,
    )
    assert start_s - 0.05 <= current(card) <= start_s + 2.0


def test_an_event_s_block_and_entry_seek_the_player(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    assert "clip.webm" not in " ".join(played.requests)
    event = card.locator(".event").first
    start_s = float(event.get_attribute("data-seek") or 0)
    assert start_s >= 1
    event.click()
    wait_until_at(played, card, start_s)
    assert played.requests[-1].endswith("/clip.webm")
    assert event.get_attribute("aria-current") == "true"
    assert card.locator(".playhead").first.is_visible()
    card.locator("video").evaluate("video => { video.currentTime = 0; }")
    entry = card.locator(".events button").first
    entry.click()
    wait_until_at(played, card, float(entry.get_attribute("data-seek") or 0))


def test_it_works_from_a_server_with_links_to_another(open_page: Open, server: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=13.0)
    link = f"{server.replace('127.0.0.1', 'localhost')}/clip.mp4?X-Amz-Signature=1&x=%2F"
    page = open_page(make_report(videos=120, links=[link]), home=server)
    assert [url.removeprefix(server) for url in page.requests if not url.startswith("data:")] == ["/report.html"]
    card = page.tab.locator("#video-1")
    entry = card.locator(".events button").last
    entry.click()
    wait_until_at(page, card, float(entry.get_attribute("data-seek") or 0))
    assert {url for url in page.requests if not url.startswith((server, "data:"))} == {link}
    page.requests[:] = [url for url in page.requests if url != link]


def test_a_picture_and_a_strip_seek_the_player(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    picture = card.locator(".picture").first
    picture.click()
    wait_until_at(played, card, float(picture.get_attribute("data-seek") or 0))
    track = card.locator(".track").first
    box = track.bounding_box()
    assert box is not None
    duration_s = float(track.get_attribute("data-duration") or 0)
    track.click(position={"x": box["width"] * 0.75, "y": 2}, force=True)
    wait_until_at(played, card, 0.74 * duration_s)


def test_events_lie_where_they_are_in_time(played: Opened) -> None:
    for card in played.tab.locator(".card").all():
        for track in card.locator(".track").all():
            whole, duration_s = track.bounding_box(), float(track.get_attribute("data-duration") or 0)
            assert whole is not None
            for event in track.locator(".event").all():
                box, start_s = event.bounding_box(), float(event.get_attribute("data-seek") or 0)
                assert box is not None
                assert box["x"] - whole["x"] == pytest.approx(whole["width"] * start_s / duration_s, abs=1)


def test_the_keyboard_reaches_an_event(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    for _ in range(200):
        played.tab.keyboard.press("Tab")
        if played.tab.evaluate("document.activeElement.matches('#video-1 .event')"):
            break
    focused = played.tab.locator(":focus")
    assert focused.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    assert (focused.get_attribute("aria-label") or "").startswith("Play ")
    start_s = float(focused.get_attribute("data-seek") or 0)
    played.tab.keyboard.press("Enter")
    wait_until_at(played, card, start_s)


def test_the_first_tab_stop_skips_to_the_verdict(open_page: Open) -> None:
    page = open_page()
    page.tab.keyboard.press("Tab")
    assert page.tab.locator(":focus").inner_text() == "Skip to the verdict"
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "verdict"


def test_a_video_that_is_not_there_says_so(played: Opened) -> None:
    card = played.tab.locator("#video-2")
    card.locator(".events button").first.click()
    card.locator(".player-says:not(:empty)").wait_for()
    assert "cannot be played here" in card.locator(".player-says").inner_text()
    played.errors[:] = [error for error in played.errors if "ERR_FILE_NOT_FOUND" not in error]
    alone = played.tab.locator("#video-3")
    assert alone.locator("video").count() == 0
    assert "cannot reach the file" in alone.inner_text()


def test_an_expired_link_says_so(open_page: Open) -> None:
    report = make_report(links=["https://bucket.s3.amazonaws.com/b.mp4?X-Amz-Signature=1"])
    says = open_page(report).tab.locator("#video-1 .player-says")
    assert report.link_expires is not None
    assert "The link to this video has expired" in says.inner_text()


def test_heat_maps_can_be_hidden(open_page: Open) -> None:
    page = open_page()
    overlays = page.tab.locator("img.overlay")
    assert overlays.count() > 0 and overlays.first.is_visible()
    page.tab.locator("#heat").uncheck()
    assert not overlays.first.is_visible()
    assert page.tab.locator(".picture img").first.is_visible()


# Hostile names, other screens, no script


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_hostile_names_neither_run_nor_break_the_layout(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(poisoned(make_report(videos=60), HOSTILE + "x" * 300), viewport=viewport)
    page.tab.locator("#video-filters [name=text]").fill("pwned")
    page.tab.locator("#trend-group").select_option(index=1)
    page.sort_by("#video-table", "Path")
    page.tab.locator("#following").click(force=True)
    page.tab.wait_for_timeout(200)
    assert page.tab.evaluate("window.wasPwned") is None
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert HOSTILE[:40] in page.tab.locator("h1").inner_text()
    assert "\\u202egpj\\n" in page.tab.locator("h1").inner_text()


@pytest.mark.parametrize("code", [0, 1, 4])
def test_a_phone_scrolls_only_downwards(open_page: Open, code: int) -> None:
    page = open_page(make_report(code=code), viewport=PHONE)
    assert page.tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.tab.locator("#cell-table tbody tr").first.is_visible()
    assert page.sort_by("#cell-table", "Rate") == "descending"


def test_dark_and_light(open_page: Open) -> None:
    grounds = [
        open_page(color_scheme=scheme).tab.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(255, 255, 255)", "rgb(17, 20, 23)"]


def test_without_script_the_verdict_charts_and_cells_show(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.tab.locator("h1").is_visible()
    assert page.tab.locator(".panel:visible").count() == len(LABELS)
    assert page.tab.locator("#cell-table tbody tr:visible").count() == 20
    assert page.tab.locator(".track svg:visible").count() == 3 * len(LABELS)
    assert page.tab.locator("#arrivals .unscripted").is_visible()
    assert not page.tab.locator("#video-table").is_visible()
    assert not page.tab.locator(".controls.scripted").first.is_visible()
    page.tab.locator(".trend-group summary").nth(1).click()
    assert page.tab.locator(".panel:visible").count() == 2 * len(LABELS)


def test_print_is_light_and_has_no_controls(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.tab.emulate_media(media="print")
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.tab.locator("#cell-filters").is_visible()
    assert page.tab.locator("#cell-table").is_visible()
    assert page.tab.locator("#next a").first.is_visible()


def test_a_page_of_ten_thousand_videos_is_small_and_usable(open_page: Open) -> None:
    groups = [f"generator=g{n:02d}" for n in range(20)]
    report = make_report(videos=10_000, nights=29, groups=groups, worst=24)
    source = render_html(report)
    assert len(source.encode()) < 5_000_000
    page = open_page(report)
    assert page.tab.locator("#video-count").inner_text() == "1–50 of 10,000"
    page.tab.locator("#video-filters [name=text]").fill("clip-09999")
    assert page.column("#video-table", 1) == [report.arrivals["path"][9999].as_py()]
