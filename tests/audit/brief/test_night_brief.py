"""The first screen of a night."""

import html
import io
import re
from dataclasses import replace

import pyarrow as pa
import pytest
from rendered import html_of, markdown_of
from reports import make_report
from rich.console import Console

from artifactscan.audit.brief.night_brief import NightBrief, clip_url, night_brief
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import CELLS, ESTIMATES
from artifactscan.audit.notify import message
from artifactscan.audit.page.mail import mail_text
from artifactscan.audit.policy import Policy
from artifactscan.audit.print_verdict import print_night
from artifactscan.audit.report_data import Report
from artifactscan.audit.verdict import judge_night


def names(brief: NightBrief) -> list[str]:
    return [fact.name for fact in brief.facts]


@pytest.mark.parametrize("code", [EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED])
def test_it_has_the_sentence_and_what_it_rests_on(code: int) -> None:
    report = make_report(code=code)
    brief = night_brief(report)
    assert (brief.code, brief.sentence) == (code, report.night.verdict.sentence)
    assert names(brief) == ["Since", "How sure", "Canaries", "Scorer"]
    assert (brief.corpus, brief.night, brief.when) == (report.night.corpus, report.night.night, "2026-05-15 01:00 UTC")


def test_the_reason_that_is_the_sentence_is_not_said_again() -> None:
    report = make_report()
    assert night_brief(report).others == report.night.verdict.reasons[1:]
    moved = make_report(code=EXIT_SCORER_MOVED)
    assert night_brief(moved).others == moved.night.verdict.reasons[1:]
    assert night_brief(make_report(code=EXIT_PASS)).others == ()


def failing_files(report: Report) -> Report:
    policy = {**report.night.policy, "failed_above": 0.05}
    verdict = replace(
        report.night.verdict, code=EXIT_FAIL, headline="12 of 120 files …", reasons=("12 of 120 files …",)
    )
    return replace(report, night=replace(report.night, policy=policy, verdict=verdict))


def test_files_that_failed_the_night_come_first_with_a_name_and_a_reason() -> None:
    brief = night_brief(failing_files(make_report(code=EXIT_PASS, videos=120)))
    assert names(brief) == ["Not scored", "Since", "How sure", "Compared", "Canaries", "Scorer"]
    first = brief.facts[0].text
    assert first.endswith(": unreadable, access denied, and 2 other reasons.")
    assert first.split(":")[0] in make_report(videos=120).arrivals["path"].to_pylist()
    assert brief.facts[3].text.startswith("No worse than before: none of 19 rates rose")
    assert brief.others == ()


def test_the_clips_are_those_of_the_label_and_group_that_failed_the_night() -> None:
    report = make_report(videos=120, worst=12)
    label, group = report.broken.leading_cell or ("", "")
    brief = night_brief(report)
    assert (label, group) == ("motion", "generator=sora")
    assert len(brief.clips) == 3
    arrivals = {row["path"]: row for row in report.arrivals.to_pylist()}
    for clip in brief.clips:
        row = arrivals[clip.path]
        assert row["events_motion"] > 0 and group in row["groups"]
        assert (clip.label, clip.peak, clip.peak_s) == ("motion", row["peak_motion"], row["peak_s_motion"])
        video = next(one for one in report.worst if one.path == clip.path)
        assert clip.anchor == f"video-{report.worst.index(video) + 1}"
        assert clip.frame_jpeg == next(one.frame_jpeg for one in video.pictures if one.label == "motion")
    peaks = [clip.peak for clip in brief.clips]
    assert peaks == sorted(peaks, reverse=True)


def test_of_a_night_that_passes_the_worst_clips_are_shown_and_of_one_without_events_none() -> None:
    report = make_report(code=EXIT_PASS, videos=120, worst=5)
    assert [clip.path for clip in night_brief(report).clips] == [video.path for video in report.worst[:3]]
    assert night_brief(replace(report, worst=())).clips == ()


def test_counts_say_what_was_compared() -> None:
    counts = night_brief(make_report(code=EXIT_PASS)).counts
    assert counts == (
        *("60 videos arrived", "6 without a score", "57 new", "3 changed", "2 removed", "11 quarantined"),
        *("20,060 listed", "19 rates compared with 7 nights"),
    )
    first = make_report(code=EXIT_PASS, nights=0)
    first = replace(first, night=replace(first.night, baseline=()))
    assert night_brief(first).counts[-1] == "no baseline yet"
    moved = make_report(code=EXIT_SCORER_MOVED)
    nothing = replace(moved, night=replace(moved.night, counts={}))
    assert night_brief(nothing).counts[-1] == "corpus not looked at"


@pytest.mark.parametrize(
    ("link", "page", "url"),
    [
        ("https://h/a.mp4?s=1", "https://audits/report.html", "https://h/a.mp4?s=1#t=3.5"),
        ("../a.mp4", "https://audits/report.html", "https://audits/report.html#video-2"),
        ("https://h/a.mp4#x", None, None),
        ("../a.mp4", "/audits/report.html", None),
        (None, None, None),
        ("javascript:alert(1)", "s3://bucket/report.html", None),
    ],
)
def test_where_a_clip_is_seen_from_a_message(link: str | None, page: str | None, url: str | None) -> None:
    clip = replace(night_brief(make_report(videos=120)).clips[0], link=link, peak_s=3.5, anchor="video-2")
    assert clip_url(clip, page) == url


@pytest.mark.parametrize("code", [EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED])
def test_page_markdown_and_mail_say_the_same_sentence_and_facts(code: int) -> None:
    report = make_report(code=code, videos=120)
    brief = night_brief(report)
    page, markdown, mail = html_of(report), markdown_of(report).replace("\\", ""), mail_text(brief, None)
    shown = html.unescape(re.sub(r"<[^>]*>", "", page))
    for said in (brief.sentence, *(fact.text for fact in brief.facts)):
        assert said in shown
        assert said in html.unescape(markdown)
        assert said in mail


def test_what_a_short_headline_leaves_out_stands_below_it_everywhere() -> None:
    report = make_report(code=EXIT_PASS, videos=6, nights=2, blind=True)
    why = "fewer than 30 scored videos: 6 tonight and 13 in the baseline"
    untested = pa.array([why] * report.cells.num_rows)
    cells = report.cells.set_column(CELLS.get_field_index("untested"), CELLS.field("untested"), untested)
    verdict = judge_night(
        policy=Policy(),
        cells=cells,
        arrivals=report.arrivals,
        canaries=report.canaries,
        baseline=report.night.baseline,
    )
    report = replace(report, cells=cells, night=replace(report.night, verdict=verdict))
    brief, none, out = night_brief(report), report.sampling.slice(0, 0), io.StringIO()
    assert brief.sentence == "Pass: Nothing was compared, as tonight has 6 scored videos and 30 are needed."
    print_night(
        brief,
        replace(report.night, counts={}),
        none,
        ESTIMATES.empty_table(),
        "page.html",
        Console(file=out, width=400),
    )
    shown = html.unescape(re.sub(r"<[^>]*>", "", html_of(report)))
    told = (shown, markdown_of(report).replace("\\", ""), mail_text(brief, None), out.getvalue())
    for text in (*told, message(brief, None)["text"]):
        assert f"Nothing was compared with the 2 nights before: {why}." in text
        assert "but they cannot show a change: clips with planted defects score like clips without" in text
