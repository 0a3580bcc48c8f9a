"""The estimates that lead a page: figures, what they rest on, what is left to label."""

from dataclasses import replace

import pyarrow as pa
import pytest
from rendered import html_of, markdown_of
from reports import make_report, with_estimates

from artifactscan.audit.night_tables import RECENT
from artifactscan.audit.page.estimates import leading_estimates
from artifactscan.audit.page.next_steps import next_steps
from artifactscan.audit.report_data import Report
from artifactscan.labels import LABELS

STEP = "Label the 2 clips left in tonight's sample: the estimates get narrower with each."


@pytest.fixture(scope="module")
def plain() -> Report:
    return make_report(videos=20, worst=0)


def test_a_label_has_a_share_of_clips_and_of_frames_beside_what_is_flagged(plain: Report) -> None:
    found = leading_estimates(with_estimates(plain))
    assert found is not None
    assert [one.label for one in found.shares] == list(LABELS)
    first = found.shares[0]
    assert (first.clips["estimate"], first.clips["flag_rate"]) == (0.31, pytest.approx(0.806))
    assert (first.frames["estimate"], first.frames["flag_rate"]) == (0.12, pytest.approx(0.312))
    assert found.top == 1
    assert found.basis == (
        "From labels by people on 58 of 3,000 clips of tonight, drawn at random, and scores on all of them."
    )
    assert found.waiting is not None and found.waiting.startswith(
        "Of tonight's sample 58 of 60 clips are labelled in full. The sheet is s3://generated-video/audit/nights/"
    )
    assert {row["group"] for row in found.groups} == {name for name in _groups(plain) if name != "all"}


def _groups(report: Report) -> set[str]:
    return set(report.cells["group"].to_pylist())


def test_estimates_of_earlier_nights_say_so(plain: Report) -> None:
    found = leading_estimates(with_estimates(plain, scope=RECENT))
    assert found is not None
    assert "of the last 3 labelled nights, drawn at random" in found.basis
    assert found.waiting is None


def test_a_judge_is_named(plain: Report) -> None:
    report = with_estimates(plain, labelled=60)
    column = report.estimates.schema.get_field_index("labelled_by")
    judged = report.estimates.set_column(column, "labelled_by", pa.array(["judge:m"] * report.estimates.num_rows))
    found = leading_estimates(replace(report, estimates=judged))
    assert found is not None
    assert found.basis.startswith("From labels by judge:m on 60 of 3,000 clips")
    assert found.waiting is None


def test_a_sample_that_waits_has_no_figures(plain: Report) -> None:
    report = with_estimates(plain, labelled=0)
    found = leading_estimates(report)
    assert found is not None
    assert (found.shares, found.groups) == ((), ())
    assert found.basis == "No estimate yet: too few clips are labelled."
    assert found.waiting is not None and "none of 60 clips are labelled" in found.waiting
    for text in (html_of(report), markdown_of(report)):
        assert "No estimate yet" in text


def test_they_stand_below_the_verdict_and_lead_to_labelling(plain: Report) -> None:
    report = with_estimates(plain)
    page = html_of(report)
    places = [page.index(text) for text in ('id="verdict"', 'id="estimates"', 'id="next"', 'id="trends"')]
    assert places == sorted(places)
    assert '<a href="#estimates">How much there is</a>' in page
    assert "<b>31.0 %</b> <span>21.7–40.3</span>" in page
    assert "flagged 80.6 %" in page
    assert STEP in [step.text for step in next_steps(report)]
    message = markdown_of(report)
    assert "| boundary | 31.0 % (21.7–40.3) | 80.6 % | 12.0 % (8.4–15.6) | 31.2 % |" in message


def test_without_a_sample_nothing_is_said_of_them(plain: Report) -> None:
    assert leading_estimates(plain) is None
    page = html_of(plain)
    assert 'id="estimates"' not in page and "How much there is" not in page
    assert "How much there is" not in markdown_of(plain)
    assert not [step for step in next_steps(plain) if step.anchor == "estimates"]


def test_labels_that_cannot_be_read_are_named(plain: Report) -> None:
    report = replace(with_estimates(plain), label_notes=("labels x.csv: row 3 has motion 'maybe'; correct it.",))
    assert "row 3 has motion &#39;maybe&#39;" in html_of(report)


def test_intervals_from_few_clips_are_said_to_be_too_narrow(plain: Report) -> None:
    few, enough = (with_estimates(plain, labelled=labelled, drawn=90) for labelled in (29, 90))
    said = "Intervals from fewer than 30 labelled clips are too narrow"
    assert said in html_of(few) and said in markdown_of(few)
    assert said not in html_of(enough) and said not in markdown_of(enough)
