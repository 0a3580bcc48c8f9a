"""How sure a verdict is, in words."""

from dataclasses import replace

import pyarrow as pa
import pytest
from reports import make_report

from artifactscan.audit.brief.certainty import certainty_in_words, q_in_words
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import CELLS
from artifactscan.audit.report_data import Report


@pytest.mark.parametrize(
    ("q", "words"),
    [
        (0.0, "fewer than 1 in 1,000 are"),
        (0.0009, "fewer than 1 in 1,000 are"),
        (0.001, "about 1 in 1,000 are"),
        (0.008, "about 8 in 1,000 are"),
        (0.012, "about 1 in 100 are"),
        (0.049, "about 5 in 100 are"),
    ],
)
def test_a_q_value_is_a_share_of_false_alarms(q: float, words: str) -> None:
    assert q_in_words(q) == words


def with_cells(report: Report, label: str, group: str, **columns: object) -> Report:
    rows = [
        {**cell, **columns} if (cell["label"], cell["group"]) == (label, group) else cell
        for cell in report.cells.to_pylist()
    ]
    return replace(report, cells=pa.Table.from_pylist(rows, CELLS))


def test_a_rise_has_its_interval_counts_and_q_value() -> None:
    report = make_report(videos=120)
    cell = report.broken.risen[0]
    assert certainty_in_words(report) == (
        f"+8.5 points (95 % interval +4.5 to +12.5), {cell['flagged']} of {cell['videos']} videos against "
        f"{cell['base_flagged']:,} of {cell['base_videos']:,}. Of rises as clear as this about 8 in 1,000 are false "
        "alarms (q value 0.008; 0.05 or less fails)."
    )


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (0.15, "all of it above the limit."),
        (0.09, "which reaches below the limit: chance may have made it."),
    ],
)
def test_a_rate_above_its_limit_says_whether_chance_may_have_made_it(low: float, said: str) -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    policy = {**report.night.policy, "rates": [{"label": "texture", "above": 0.1, "group": "generator=veo"}]}
    night = replace(report.night, policy=policy, verdict=replace(report.night.verdict, code=EXIT_FAIL))
    figures = {"videos": 40, "flagged": 8, "rate": 0.2, "rate_low": low, "rate_high": 0.3}
    high = with_cells(replace(report, night=night), "texture", "generator=veo", **figures)
    assert certainty_in_words(high) == f"8 of 40 videos (95 % interval {100 * low:.1f}–30.0 %), {said}"


def test_files_without_a_score_are_counted() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    policy = {**report.night.policy, "failed_above": 0.05}
    night = replace(report.night, policy=policy, verdict=replace(report.night.verdict, code=EXIT_FAIL))
    assert certainty_in_words(replace(report, night=night)).startswith("Counted, not estimated: ")


def test_a_shift_is_measured() -> None:
    assert certainty_in_words(make_report(code=EXIT_SCORER_MOVED)) == (
        "Measured on clips whose bytes never change; a shift of up to 0.02 would count as standing still."
    )


def test_a_night_that_passes_names_the_clearest_rise() -> None:
    report = make_report(code=EXIT_PASS, videos=120)
    figures = {"change": 0.031, "change_low": -0.01, "change_high": 0.07, "q_value": 0.21, "p_value": 0.02}
    told = with_cells(report, "object", "generator=sora", **figures)
    assert certainty_in_words(told) == (
        "The clearest rise is object in generator=sora, +3.1 points (−1.0 to +7.0), which chance explains "  # noqa: RUF001
        "(q value 0.210; 0.05 or less fails)."
    )
    below = with_cells(report, "object", "all", **{**figures, "change": 0.005, "q_value": 0.01})
    assert certainty_in_words(below).endswith(
        "in all videos, +0.5 points (−1.0 to +7.0), more than chance explains (q value 0.010), but less than "  # noqa: RUF001
        "the policy fails."
    )


def test_a_night_that_was_not_compared_says_so() -> None:
    assert certainty_in_words(make_report(code=EXIT_PASS, nights=0)) == (
        "Nothing was compared, so that a change would not have been seen."
    )
