"""The page's source: what it says, what it escapes, how large it is. What it does is in test_page_in_chromium.py."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rendered import html_of, markdown_of
from reports import CORPUS, make_report, poisoned, with_arrivals, with_estimates

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ARRIVALS, CANARIES, CELLS, PREVALENCE, SAMPLING, TRENDS
from artifactscan.audit.page.changes import changes
from artifactscan.audit.page.content_policy import content_policy, player_link
from artifactscan.audit.page.html import MAX_CELLS, MAX_TREND_GROUPS
from artifactscan.audit.page.next_steps import next_steps
from artifactscan.audit.page.video_list import embedded, listing
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable
from artifactscan.schemas import EVENTS

HOSTILE = "</script><script>pwned()</script><img src=x onerror=pwned()>\"'`<!--{{ 7*7 }}\u2028\u202egpj\nx\x1b[31m&amp;"


class Page(HTMLParser):
    """Tags with their attributes, and the text of each element that has an id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.sources: dict[str, str] = {}
        self._raw: tuple[str, dict[str, str | None]] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._raw = None

    def handle_data(self, data: str) -> None:
        if self._raw is None:
            self.text += data
        else:
            tag, attributes = self._raw
            self.sources[attributes.get("id") or tag] = data


def paths(data: dict[str, Any]) -> list[str]:
    return [data["folders"][folder] + file for folder, file in zip(data["folder"], data["file"], strict=True)]


def listed(page: str) -> dict[str, Any]:
    return json.loads(Page(page).sources["listing"])


@pytest.mark.parametrize(
    ("code", "word", "headline"),
    [
        (EXIT_PASS, "Pass", "No worse than before"),
        (EXIT_FAIL, "Fail", "Motion rose from 14.8 %"),
        (EXIT_SCORER_MOVED, "Scorer moved", "tonight says nothing of the corpus"),
    ],
)
def test_the_verdict_comes_first(code: int, word: str, headline: str) -> None:
    text = Page(html_of(make_report(code=code))).text
    assert text.index(word) < text.index(headline) < text.index("What to do next") < text.index("Trends over nights")


def test_only_its_own_style_and_script_may_run() -> None:
    source = html_of(make_report(links=["a.mp4", "https://bucket.s3.amazonaws.com/b.mp4?X-Amz-Signature=1"]))
    page = Page(source)
    [rule] = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")]
    assert rule is not None
    digests = {
        kind: base64.b64encode(hashlib.sha256(page.sources[kind].encode()).digest()).decode()
        for kind in ("script", "style")
    }
    assert rule == (
        f"default-src 'none'; script-src 'sha256-{digests['script']}'; style-src 'sha256-{digests['style']}'; "
        "img-src data:; media-src 'self' file: https://bucket.s3.amazonaws.com; base-uri 'none'; form-action 'none'"
    )
    assert not [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]
    loading = [(tag, attributes) for tag, attributes in page.tags if "src" in attributes or tag == "link"]
    for tag, attributes in loading:
        target = attributes.get("src") or attributes.get("href") or ""
        assert tag == "video" or target.startswith("data:image/")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (None, None),
        ("../clips/a%20b%23.mp4", "../clips/a%20b%23.mp4"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        (" JavaScript:alert(1)", "%20JavaScript%3Aalert%281%29"),
        ("data:text/html,x", "data%3Atext/html%2Cx"),
        ("//evil.example/x", ".//evil.example/x"),
        ("\\\\evil.example\\x", "%5C%5Cevil.example%5Cx"),
        ("a.mp4?x#y", "a.mp4%3Fx%23y"),
        ("\udcff.mp4", "%FF.mp4"),
        ("https://bucket.example:9000/key?a=1&b=2", "https://bucket.example:9000/key?a=1&b=2"),
        ("https://x; script-src *", None),
        ("https://user@evil.example/x", None),
        ("https://[bad/x", None),
        ("https:///x", None),
    ],
)
def test_where_a_player_may_load_from(link: str | None, expected: str | None) -> None:
    assert player_link(link) == expected


@given(st.text(max_size=40))
def test_no_link_can_add_to_the_policy(link: str) -> None:
    rule = content_policy(css="", js="", links=[f"https://{link}"])
    [media] = [part for part in rule.split("; ") if part.startswith("media-src")]
    assert rule.count(";") == 6
    assert re.fullmatch(r"media-src 'self' file:( https://[A-Za-z0-9._-]+(:\d+)?)?", media)


@pytest.mark.parametrize("text", [HOSTILE, "javascript:pwned()", "x" * 900, "' autofocus onfocus='pwned()"])
def test_hostile_names_are_only_text(text: str) -> None:
    plain, page = (Page(html_of(poisoned(with_estimates(make_report()), name))) for name in ("name", text))
    # The command to replay a video is left out where its name cannot be shown as it is; long names have a title.
    elements, usual = (Counter(tag for tag, _ in one.tags if tag not in ("p", "code")) for one in (page, plain))
    assert elements == usual
    known = {name for _, attributes in plain.tags for name in attributes} | {"title"}
    assert {name for _, attributes in page.tags for name in attributes} == known
    for _, attributes in page.tags:
        for name in ("href", "src"):
            assert not (attributes.get(name) or "").strip().lower().startswith(("javascript:", "data:text"))
    assert ("{{ 7*7 }}" in page.text) == ("{{ 7*7 }}" in text)


def test_control_characters_are_made_visible() -> None:
    source = html_of(poisoned(with_estimates(make_report()), HOSTILE))
    assert not [character for character in source if not character.isprintable() and character != "\n"]
    assert "\\u202egpj\\nx\\x1b[31m" in source


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("</>!-&\u2028\u2029\"'\\"), max_size=60))
def test_embedded_json_cannot_leave_its_element(text: str) -> None:
    source = str(embedded({"text": text}))
    assert not set("<>&\u2028\u2029").intersection(source)
    assert json.loads(source) == {"text": text}


def test_the_listing_has_what_the_arrivals_have() -> None:
    report = make_report(videos=40)
    data = listed(html_of(report))
    by_path = {row["path"]: row for row in report.arrivals.to_pylist()}
    assert sorted(paths(data)) == sorted(by_path)
    for n, path in enumerate(paths(data)):
        row = by_path[path]
        assert data["outcomes"][data["outcome"][n]] == row["outcome"]
        assert [data["groups"][place] for place in data["groupsOf"][n]] == row["groups"]
        peak = row["peak_motion"]
        assert data["peakThousandths"][2][n] == (None if peak is None else pytest.approx(1000 * peak, abs=0.51))
        assert data["events"][2][n] == row["events_motion"]
        assert data["reason"][n] is None or data["reasons"][data["reason"][n]] == row["reason"]
    shown = {anchor: paths(data)[n] for n, anchor in data["cards"]}
    assert shown == {f"video-{n}": video.path for n, video in enumerate(report.worst, 1)}


def test_the_listing_begins_with_the_highest_and_keeps_those_without_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    report = make_report(videos=60)
    thresholds = report.night.thresholds
    whole = listing(report.arrivals, thresholds, {})
    margins = [
        [peak - 1000 * bound for peak, bound in zip(peaks, thresholds.values(), strict=True) if peak is not None]
        for peaks in zip(*whole["peakThousandths"], strict=True)
    ]
    highest = [max(of_video, default=-1000) for of_video in margins]
    assert highest == pytest.approx(sorted(highest, reverse=True), abs=1)
    monkeypatch.setattr("artifactscan.audit.page.video_list.MAX_LISTED", 10)
    short = listing(report.arrivals, thresholds, {})
    assert short["total"] == 60
    assert paths(short)[:4] == paths(whole)[:4]
    assert [short["outcomes"][n] != "scored" for n in short["outcome"]] == [False] * 4 + [True] * 6


def test_many_groups_are_cut_with_a_note() -> None:
    groups = [f"generator=g{n:03d}" for n in range(300)]
    report = make_report(videos=300, groups=groups, nights=3)
    page = Page(html_of(report))
    cells = [attributes for tag, attributes in page.tags if tag == "tr" and "data-label" in attributes]
    assert len(cells) == MAX_CELLS
    assert "1,204 cells, 2 risen; 800 are here" in page.text
    assert [attributes["data-changed"] for attributes in cells[:2]] == ["risen", "risen"]
    assert sum(attributes.get("class") == "trend-group" for _, attributes in page.tags) == MAX_TREND_GROUPS
    assert "289 other groups are in the table below" in page.text


def test_untested_cells_say_why() -> None:
    text = Page(html_of(make_report())).text
    assert "not tested: the baseline has 12 videos, a test needs 30" in text
    assert text.count("not tested: ") == 1
    first = Page(html_of(make_report(nights=0))).text
    assert first.count("not tested: there is no night to compare with") == 20
    assert "no baseline yet" in first and "This is the first night." in first


def test_nothing_compared_is_not_called_compared() -> None:
    report = make_report(code=EXIT_PASS)
    untested = pa.array(["fewer than 30 scored videos: 12 tonight"] * report.cells.num_rows)
    cells = report.cells.set_column(CELLS.get_field_index("untested"), CELLS.field("untested"), untested)
    text = Page(html_of(replace(report, cells=cells))).text
    assert "nothing compared" in text
    assert "compared with" not in text.replace("Nothing was compared with", "").replace(
        "nights it is compared with", ""
    )
    tested = Page(html_of(report)).text
    assert "19 rates compared with 7 nights" in tested and "nothing compared" not in tested


def test_the_first_screen_has_what_a_person_needs() -> None:
    source = html_of(make_report(videos=120, worse_before=2))
    [screen] = re.findall(r'<section class="verdict.*?</section>', source, re.DOTALL)
    text = " ".join(Page(screen).text.split())
    for said in (
        "Fail: Motion rose from 14.8 % to 23.3 % of all videos",
        "Since 3 nights in a row, since 2026-05-13.",
        "about 8 in 1,000 are false alarms (q value 0.008; 0.05 or less fails)",
        "Canaries The scores of 6 clips stood still",
        "Macro AUROC 0.62 (0.57–0.68) on makers it was not trained on, 0.72 (0.67–0.77) on clips",
        "boundary 0.70, texture 0.46, motion 0.68, object 0.63",
        "1 more reason",
        "exit code 1",
    ):
        assert said in text, said
    tags = Page(screen).tags
    clips = [attributes for tag, attributes in tags if "data-play" in attributes]
    assert 1 <= len(clips) <= 3
    assert sum(tag == "img" for tag, _ in tags) == len(clips)
    assert text.count("Motion rose from 14.8 %") == 1, "the sentence is said once"


def test_a_gif_is_a_picture_and_not_given_to_a_player() -> None:
    page = Page(html_of(make_report(links=["../a.GIF", "https://bucket.example/b.gif?X-Amz-Signature=1", "c.mp4"])))
    assert [attributes["src"] for tag, attributes in page.tags if tag == "video"] == ["c.mp4"]
    gifs = [attributes["href"] for _, attributes in page.tags if attributes.get("class") == "show-gif"]
    assert gifs == ["../a.GIF", "https://bucket.example/b.gif?X-Amz-Signature=1"]
    [rule] = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv")]
    assert "img-src data: 'self' file: https://bucket.example; media-src 'self' file:;" in (rule or "")


def test_an_empty_night() -> None:
    report = replace(
        make_report(worst=0, nights=0, code=EXIT_PASS),
        **{
            name: schema.empty_table()
            for name, schema in {
                "arrivals": ARRIVALS,
                "events": EVENTS,
                "cells": CELLS,
                "trends": TRENDS,
                "canaries": CANARIES,
                "sampling": SAMPLING,
                "prevalence": PREVALENCE,
            }.items()
        },
    )
    text = Page(html_of(report)).text
    for sentence in (
        "Nothing has to be done.",
        "No night has a score yet.",
        "Nothing was scored tonight.",
        "No video of tonight has an event.",
        "No canary was scored.",
        "No video was scored again at double the rate tonight.",
        "No labels by people were given",
    ):
        assert sentence in text


def test_canaries_say_which_moved() -> None:
    still, moved = (
        " ".join(Page(html_of(make_report(code=code))).text.split()) for code in (EXIT_PASS, EXIT_SCORER_MOVED)
    )
    assert "✓ The scores of 6 clips stood still (largest shift 0.000)." in still
    assert "▲ 1 of 6 clips moved. 1 clip could not be compared, which counts as moved." in moved
    assert moved.count("▲ moved 0.190") == 4
    assert "mean 0.90 → 0.71, planted" in moved
    assert "? not compared: decoding took longer than 120 s" in moved


def test_canaries_that_cannot_see_do_not_read_as_a_scorer_that_works() -> None:
    text = " ".join(Page(html_of(make_report(code=EXIT_PASS, blind=True))).text.split())
    said = (
        "The scores of 12 clips stood still (largest shift 0.000), but they cannot show a change: clips with planted "
        "defects score like clips without."
    )
    assert text.count(said) == 2, "on the first screen and above the table"
    assert f"? {said}" in text and "✓" not in text


def test_canaries_say_whether_planted_clips_score_above_others() -> None:
    text = " ".join(Page(html_of(make_report(code=EXIT_PASS))).text.split())
    assert (
        "Planted above others AUROC 1.00 2 planted, 4 without AUROC 1.00 2 planted, 4 without AUROC 1.00 1 pl" in text
    )
    assert "There are too few clips to say whether planted boundary, texture, motion and object would be found." in text


def test_unproven_labels_are_marked_in_charts_cells_and_the_message() -> None:
    report = make_report(code=EXIT_PASS)
    checkpoint = {**report.night.checkpoint, "unproven": ["motion"]}
    marked = replace(report, night=replace(report.night, checkpoint=checkpoint))
    page = html_of(marked)
    assert page.count("motion</span> <small>unproven</small>") == sum(
        cell["label"] == "motion" for cell in report.cells.to_pylist()
    ) + len({row["group"] for row in report.trends.to_pylist()})
    assert "unproven</small>" not in html_of(report)
    assert "| motion (unproven) | `all` |" in markdown_of(marked)
    assert "(unproven)" not in markdown_of(report)


def test_what_changed_since_the_night_before() -> None:
    report = make_report()
    assert [(one.kind, one.name, one.before, one.tonight) for one in changes(report.previous, report.night)] == [
        ("version", "torch", "2.11.0", "2.12.0")
    ]
    assert report.previous is not None
    previous = replace(
        report.night,
        thresholds={**report.night.thresholds, "motion": 0.6},
        spec={**report.night.spec, "input": {"height": 224, "width": 336}},
        policy={**report.night.policy, "min_videos": 50},
        settings={"webhook": "another secret"},
    )
    found = {(one.kind, one.name): (one.before, one.tonight) for one in changes(previous, report.night)}
    assert found["threshold", "motion"] == ("0.6", "0.5")
    assert found["spec", "input.height"] == ("224", "192")
    assert found["policy", "min_videos"] == ("50", "30")
    assert found["setting", "corpus"] == ("not set", CORPUS)
    assert ("setting", "webhook") not in found
    assert changes(None, report.night) == []


def test_a_webhook_is_not_published() -> None:
    report = make_report()
    assert report.night.settings["webhook"] == "secret"
    assert ">secret<" not in html_of(report)


def test_steps_lead_to_what_they_are_about() -> None:
    report = make_report(code=EXIT_FAIL, videos=400)
    first, second, *others = next_steps(report)
    risen = {cell["group"]: cell["flagged"] for cell in report.ordered_cells if cell["state"] == "risen"}
    assert first.text == f"Motion has risen in all videos together: look at the {risen['all']} with an event."
    assert (second.anchor, second.label, second.group) == ("arrivals", "motion", "generator=sora")
    assert [step.anchor for step in others] == ["changes", "cells", "outcomes", "sampling", "sampling"]
    page = Page(html_of(report))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        href = attributes.get("href") or ""
        assert not href.startswith("#") or href[1:] in anchors


def test_what_failed_the_night_is_the_first_step() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    strict = replace(report.night, policy={**report.night.policy, "failed_above": 0.05})
    verdict = replace(strict.verdict, code=EXIT_FAIL, headline="12 of 120 files have no score.", reasons=("12 …",))
    first, second, *_ = next_steps(replace(report, night=replace(strict, verdict=verdict)))
    assert first.text.startswith("See why 12 of 120 videos have no score: ")
    assert ".mp4 for instance is unreadable (access denied)." in first.text
    assert (first.anchor, second.anchor) == ("outcomes", "worst")


def test_a_rate_above_its_limit_is_a_step() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    limit = {"label": "texture", "above": 0.0001, "group": "generator=veo"}
    night = replace(report.night, policy={**report.night.policy, "rates": [limit]})
    night = replace(night, verdict=replace(night.verdict, code=EXIT_FAIL))
    first = next_steps(replace(report, night=night))[0]
    assert first.text.startswith("Texture is above the policy's 0.01 % in generator=veo: look at the ")
    assert (first.anchor, first.label, first.group) == ("arrivals", "texture", "generator=veo")


def test_the_command_to_replay_is_quoted_or_left_out() -> None:
    report = make_report(worst=1)
    [video] = report.worst

    def command(uri: str) -> str | None:
        text = Page(html_of(replace(report, worst=(replace(video, uri=uri),)))).text
        found = re.search(r"Replay it: (.*)", text)
        return found and found[1]

    report = replace(report, night=replace(report.night, settings={"store": "relative/audit"}))
    store = "--store s3://generated-video/audit"
    assert command("/a b/c.mp4") == f"artifactscan why '/a b/c.mp4' {store}"
    assert command("/a'; rm -rf ~ #.mp4") == f"""artifactscan why '/a'"'"'; rm -rf ~ #.mp4' {store}"""
    assert command("--store.mp4") == f"artifactscan why ./--store.mp4 {store}"
    assert command("/a\u202eb.mp4") is None


def test_a_policy_of_another_version_is_refused() -> None:
    report = make_report()
    night = replace(report.night, policy={"someday": 1})
    with pytest.raises(UsageError, match=f"policy of night {night.night}: a policy has no 'someday'"):
        html_of(replace(report, night=night))


@hypothesis_settings(max_examples=25)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_path_and_reason_can_be_shown(text: str) -> None:
    report = make_report(videos=3, worst=1, nights=1)
    report = with_arrivals(report, path=[text, "b", "c"], reason=[text, None, None], groups=[[text], [], []])
    data = listed(html_of(report))
    assert paths(data)[data["reason"].index(0)] == printable(text)


def _colours(css: str) -> tuple[dict[str, str], dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\n\s*\}", css, re.DOTALL)[:2]
    read = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in (light, dark)]
    return read[0], read[1]


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""

    def luminance(colour: str) -> float:
        channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_enough_contrast(scheme: int) -> None:
    css = Page(html_of(make_report(videos=2, worst=0))).sources["style"]
    colours = _colours(css)[scheme]
    for text in ("ink", "soft", "link", "fail"):
        assert _contrast(colours[text], colours["page"]) >= 4.5, text
        assert _contrast(colours[text], colours["raised"]) >= 4.5, text
    for verdict in ("pass", "fail", "moved"):
        assert _contrast(colours[verdict], colours[f"{verdict}-page"]) >= 4.5, verdict
        assert _contrast(colours["soft"], colours[f"{verdict}-page"]) >= 4.5, verdict
    for drawn in ("boundary", "texture", "motion", "object", "strong-line", "focus"):
        assert _contrast(colours[drawn], colours["page"]) >= 3, drawn
        assert _contrast(colours[drawn], colours["raised"]) >= 3, drawn
