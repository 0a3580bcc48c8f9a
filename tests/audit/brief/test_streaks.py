"""Since when a night is as it is."""

from dataclasses import replace

import pyarrow as pa
import pytest
from reports import make_report

from artifactscan.audit.brief.streaks import since_in_words, streak
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Night, Verdict
from artifactscan.audit.night_tables import TRENDS
from artifactscan.audit.report_data import Report


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([], (0, 0, None, None)),
        ([None, None], (0, 0, None, None)),
        ([False, False], (2, 0, None, None)),
        ([True, False], (2, 0, None, "n0")),
        ([False, True, True], (3, 2, "n1", "n2")),
        ([True, True], (2, 2, "n0", "n1")),
        ([False, True, None, True, None], (3, 2, "n1", "n3")),
    ],
)
def test_nights_in_a_row(told: list[bool | None], expected: tuple) -> None:
    found = streak([(f"n{n}", like) for n, like in enumerate(told)])
    assert (found.known, found.nights, found.first, found.last) == expected


def test_a_rise_counts_the_nights_on_which_the_same_label_rose_in_the_same_group() -> None:
    assert since_in_words(make_report()) == "Tonight for the first time in 15 nights."
    assert since_in_words(make_report(worse_before=1)) == "2 nights in a row, since 2026-05-14."
    assert since_in_words(make_report(worse_before=4)) == "5 nights in a row, since 2026-05-11."


def test_a_rise_that_comes_again_names_the_last_one() -> None:
    report = make_report(worse_before=3)
    rows = report.trends.to_pylist()
    for row in rows:
        if row["night"].startswith(("20260513", "20260514")):
            row["risen"] = False if row["risen"] is not None else None
    again = replace(report, trends=pa.Table.from_pylist(rows, TRENDS))
    assert since_in_words(again) == "Tonight; before that last on 2026-05-12."


def test_nights_that_did_not_compare_the_cell_are_left_out() -> None:
    report = make_report(worse_before=3)
    rows = [{**row, "risen": None} if row["night"].startswith("20260513") else row for row in report.trends.to_pylist()]
    assert since_in_words(replace(report, trends=pa.Table.from_pylist(rows, TRENDS))) == (
        "3 nights in a row, since 2026-05-12."
    )
    unknown = [{**row, "risen": None} for row in report.trends.to_pylist()]
    assert since_in_words(replace(report, trends=pa.Table.from_pylist(unknown, TRENDS))) == (
        "Not known: no night before was compared."
    )


def verdict(night: Night, code: int, **changes: object) -> Night:
    return replace(night, verdict=Verdict(code=code, headline="…"), **changes)


def test_a_rate_above_its_limit() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    policy = {**report.night.policy, "rates": [{"label": "texture", "above": 0.1, "group": "generator=veo"}]}
    rows = report.trends.to_pylist()
    for row in rows:
        if (row["label"], row["group"]) == ("texture", "generator=veo"):
            row["rate"] = 0.2 if row["night"] >= "20260513" else None if row["night"] >= "20260512" else 0.05
    cells = [
        {**cell, "rate": 0.2} if (cell["label"], cell["group"]) == ("texture", "generator=veo") else cell
        for cell in report.cells.to_pylist()
    ]
    high = replace(
        report,
        night=verdict(report.night, EXIT_FAIL, policy=policy),
        trends=pa.Table.from_pylist(rows, TRENDS),
        cells=pa.Table.from_pylist(cells, report.cells.schema),
    )
    assert since_in_words(high) == "3 nights in a row, since 2026-05-13."


def failing_files(report: Report, *outcomes: dict[str, int]) -> Report:
    """The report as of a night that failed as 12 of 120 files have no score; ``outcomes`` of the nights before."""
    policy = {**report.night.policy, "failed_above": 0.05}
    last = report.history[-len(outcomes) :]
    history = tuple(replace(night, outcomes=one, policy=policy) for night, one in zip(last, outcomes, strict=True))
    return replace(report, night=verdict(report.night, EXIT_FAIL, policy=policy), history=history)


def test_files_without_a_score() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    bad, good = {"scored": 80, "undecodable": 20}, {"scored": 99, "partial": 1}
    assert since_in_words(failing_files(report, good, bad, {}, bad)) == "3 nights in a row, since 2026-05-12."
    assert since_in_words(failing_files(report, bad, good)) == "Tonight; before that last on 2026-05-13."
    assert since_in_words(failing_files(report, good)) == "Tonight for the first time in 2 nights."


def test_a_scorer_that_moved() -> None:
    report = make_report(code=EXIT_SCORER_MOVED)
    assert since_in_words(report) == "Tonight for the first time in 15 nights."
    moved = tuple(verdict(night, EXIT_SCORER_MOVED) for night in report.history[-2:])
    assert since_in_words(replace(report, history=(*report.history[:-2], *moved))) == (
        "3 nights in a row, since 2026-05-13."
    )


def test_nights_that_pass() -> None:
    report = make_report(code=EXIT_PASS)
    assert since_in_words(report) == "15 nights in a row pass, since 2026-05-01."
    for code in (EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED):
        assert since_in_words(make_report(code=code, nights=0)) == "This is the first night."
    failed = (*report.history[:-1], verdict(report.history[-1], EXIT_FAIL))
    assert since_in_words(replace(report, history=failed)) == "Tonight; the night before did not pass."


def test_more_nights_that_pass_than_trends_hold() -> None:
    assert since_in_words(make_report(code=EXIT_PASS, nights=80)) == "81 nights in a row pass, since 2026-02-24."


def test_a_rise_on_all_nights_that_are_known_may_be_older() -> None:
    report = make_report(worse_before=14)
    assert since_in_words(report) == "At least 15 nights in a row; already on 2026-05-01."
    moved = replace(report, night=verdict(report.night, EXIT_SCORER_MOVED))
    history = tuple(verdict(night, EXIT_SCORER_MOVED) for night in report.history)
    assert since_in_words(replace(moved, history=history)) == "15 nights in a row, since 2026-05-01."
