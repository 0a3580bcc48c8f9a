"""A night in the terminal."""

import io

from nights import a_night
from reports import make_report, with_estimates
from rich.console import Console

from artifactscan.audit.night_tables import ESTIMATES, SAMPLING
from artifactscan.audit.print_verdict import print_night


def test_estimates_stand_below_the_verdict() -> None:
    report, out = with_estimates(make_report(videos=20, worst=0)), io.StringIO()
    night = a_night(counts={})
    print_night(night, SAMPLING.empty_table(), report.estimates, "page.html", Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert lines[0] == "worse"
    assert "motion is in 19.0 % of tonight's clips (13.3–24.7), by labels of people on 58; flagged 49.4 %" in lines
    assert lines[-1] == "page  page.html"
    nothing = io.StringIO()
    print_night(night, SAMPLING.empty_table(), ESTIMATES.empty_table(), "page.html", Console(file=nothing, width=200))
    assert "clips" not in nothing.getvalue()
