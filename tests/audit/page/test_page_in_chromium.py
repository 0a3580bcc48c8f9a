"""The page in a real browser: sorting, filtering, hostile names, phones, no request that leaves it."""

import re

import pytest
from opened_page import DESK, PHONE, Open
from rendered import html_of
from reports import make_report, poisoned, with_estimates

from artifactscan.labels import LABELS

HOSTILE = (
    "</script><script>pwned()</script><img src=x onerror=pwned()><svg onload=pwned()>\"' autofocus onfocus='pwned()' "
    'x="<!--\u2028\u202egpj\n javascript:pwned()'
)


def test_it_opens_with_one_request(open_page: Open) -> None:
    page = open_page(make_report(links=["clip.webm", "https://bucket.s3.amazonaws.com/b.mp4?X-Amz-Signature=1"]))
    page.tab.wait_for_timeout(500)
    assert [url.rsplit("/", 1)[-1] for url in page.requests if not url.startswith("data:")] == ["report.html"]
    assert page.tab.locator("h1").inner_text().startswith("Fail: Motion rose from 14.8 %")


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


def test_the_first_tab_stop_skips_to_the_verdict(open_page: Open) -> None:
    page = open_page()
    page.tab.keyboard.press("Tab")
    assert page.tab.locator(":focus").inner_text() == "Skip to the verdict"
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "verdict"


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
    page = open_page(poisoned(with_estimates(make_report(videos=60)), HOSTILE + "x" * 300), viewport=viewport)
    page.tab.locator("#estimates summary").click()
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


def test_a_phone_breaks_no_word_of_the_first_screen_s_names(open_page: Open) -> None:
    page = open_page(make_report(), viewport=PHONE)
    names = page.tab.locator(".brief dt")
    names.first.evaluate("name => { name.textContent = 'Compared' }")  # the longest word of a name
    broken = """found => found.filter(name => {
        const range = document.createRange();
        return [...name.textContent.matchAll(/\\S+/g)].some(word => {
            range.setStart(name.firstChild, word.index);
            range.setEnd(name.firstChild, word.index + word[0].length);
            return range.getClientRects().length > 1;
        });
    }).map(name => name.textContent)"""
    assert names.evaluate_all(broken) == []


@pytest.mark.parametrize("width", [360, 390])
@pytest.mark.parametrize("report", ["failing", "hostile", "first"])
def test_nothing_runs_off_a_phone_s_edge(open_page: Open, report: str, width: int) -> None:
    """Neither the page nor a table in it: what is to the right of the edge is not read."""
    made = {
        "failing": lambda: with_estimates(make_report(videos=120)),
        "hostile": lambda: poisoned(with_estimates(make_report(code=4)), HOSTILE + "x" * 300),
        "first": lambda: make_report(nights=0, code=0),
    }[report]()
    page = open_page(made, viewport={"width": width, "height": 844})
    page.tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.tab.evaluate(
        """width => [...document.querySelectorAll("table, td, th, img, svg, p, dd, li")]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > width + 0.5 &&
                           getComputedStyle(one.closest("thead") || one).position !== "absolute")
            .map(one => `${one.tagName} ${one.className} ${one.textContent.slice(0, 60)}`)""",
        width,
    )
    assert beyond == []


def test_the_first_screen_of_a_phone_has_the_sentence_the_facts_and_the_clips(open_page: Open) -> None:
    page = open_page(make_report(videos=120), viewport={"width": 390, "height": 844})
    for selector in ("h1", ".brief", ".looks"):
        box = page.tab.locator(selector).bounding_box()
        assert box is not None and box["y"] + box["height"] <= 844, selector
    assert page.tab.locator(".looks img").count() == page.tab.locator(".looks a").count() > 0


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
    source = html_of(report)
    assert len(source.encode()) < 5_000_000
    page = open_page(report)
    assert page.tab.locator("#video-count").inner_text() == "1–50 of 10,000"
    page.tab.locator("#video-filters [name=text]").fill("clip-09999")
    assert page.column("#video-table", 1) == [report.arrivals["path"][9999].as_py()]
