"""A night in the terminal."""

import io
from dataclasses import replace

from nights import a_night
from reports import make_report, with_estimates
from rich.console import Console

from artifactscan.audit.brief.night_brief import night_brief
from artifactscan.audit.night_tables import ESTIMATES, SAMPLING
from artifactscan.audit.print_verdict import print_night


def test_estimates_stand_below_the_verdict() -> None:
    report, out = with_estimates(make_report(videos=20, worst=0)), io.StringIO()
    night = a_night(counts={})
    brief = replace(night_brief(report), sentence=night.verdict.sentence)
    print_night(brief, night, SAMPLING.empty_table(), report.estimates, "page.html", Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert lines[0] == "Fail: worse"
    assert "motion is in 19.0 % of tonight's clips (13.3–24.7), by labels of people on 58; flagged 49.4 %" in lines
    assert lines[-1] == "page  page.html"
    nothing = io.StringIO()
    none = ESTIMATES.empty_table()
    print_night(brief, night, SAMPLING.empty_table(), none, "page.html", Console(file=nothing, width=200))
    assert "of tonight's clips" not in nothing.getvalue()


def test_the_terminal_begins_with_the_same_words_as_the_page() -> None:
    report, out = make_report(videos=120, worse_before=2), io.StringIO()
    brief = night_brief(report)
    none = ESTIMATES.empty_table()
    print_night(
        brief, replace(report.night, counts={}), SAMPLING.empty_table(), none, "page.html", Console(file=out, width=400)
    )
    lines = out.getvalue().splitlines()
    assert lines[0] == brief.sentence == f"Fail: {report.night.verdict.headline}"
    assert lines[1] == "  Since: 3 nights in a row, since 2026-05-13."
    assert [line for line in lines if line.startswith("  - ")] == [f"  - {reason}" for reason in brief.others]
    assert [line for line in lines if line.startswith("  look at ")] == [
        f"  look at {clip.path}: {clip.in_words}" for clip in brief.clips
    ]
