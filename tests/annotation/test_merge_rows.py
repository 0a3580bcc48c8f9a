"""Graded rows of one frame are averaged; labels are voted on; contradictions are named."""

from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import graded_row, label_row, labels_table

from artifactscan.annotation.labels_table import merge_labels
from artifactscan.annotation.merge_rows import LabelRow, Rule, labels_of_severities, merge_rows
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS

ANNA, BEN, CLEO = (
    graded_row("a.mp4", 0, grades, name) for grades, name in (("3120", "anna"), ("1020", "ben"), ("0020", "cleo"))
)
GRADES = st.tuples(*[st.integers(0, 3)] * 4)


def merge(*rows: dict, rule: Rule = "error") -> list[dict]:
    return merge_labels([labels_table(row) for row in rows], rule=rule).to_pylist()


def refusal(*rows: dict, rule: Rule = "error") -> str:
    with pytest.raises(UsageError) as raised:
        merge(*rows, rule=rule)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_label_is_shown_from_a_severity_of_one_and_a_half() -> None:
    assert labels_of_severities([0, 1.4999, 1.5, 3]) == (0, 0, 1, 1)


def test_different_grades_of_several_annotators_are_no_contradiction() -> None:
    assert merge(ANNA, BEN) == [graded_row("a.mp4", 0, [2, 0.5, 2, 0], "anna; ben")]
    assert merge(ANNA, BEN, CLEO) == [graded_row("a.mp4", 0, [4 / 3, 1 / 3, 2, 0], "anna; ben; cleo")]
    assert merge(ANNA, BEN, rule="keep") == [ANNA, BEN]


@pytest.mark.parametrize(("rule", "shown"), [("any", "1010"), ("all", "0010"), ("majority", "0010")])
def test_a_rule_counts_each_annotators_own_label(rule: Rule, shown: str) -> None:
    [row] = merge(ANNA, BEN, CLEO, rule=rule)
    assert "".join(str(row[label]) for label in LABELS) == shown
    assert row["severity_boundary"] == pytest.approx(4 / 3)


def test_a_tie_of_graded_rows_is_decided_by_their_mean() -> None:
    rows = graded_row("a.mp4", 0, "3200", "anna"), graded_row("a.mp4", 0, "0100", "ben")
    assert merge(*rows, rule="majority") == [graded_row("a.mp4", 0, [1.5, 1.5, 0, 0], "anna; ben")]
    ungraded = label_row("a.mp4", 0, "0000", "cleo")
    assert "boundary of frame 0 of 'a.mp4' has as many votes for 0 as for 1" in refusal(
        rows[0], ungraded, rule="majority"
    )


@pytest.mark.parametrize("rule", ["error", "any", "all", "majority", "keep"])
def test_one_annotator_grades_a_frame_once(rule: Rule) -> None:
    again = graded_row("a.mp4", 0, "3110", "anna")
    assert refusal(ANNA, BEN, again, rule=rule) == (
        "labels given: rows 1 and 3, both by 'anna', grade frame 0 of 'a.mp4' differently (motion 2 and 1); "
        "keep the one that holds"
    )
    assert merge(ANNA, ANNA, rule=rule) == [ANNA], "the same grades twice are one vote"


@pytest.mark.parametrize("rule", ["error", "any", "all", "majority", "keep"])
def test_one_annotator_has_one_vote(rule: Rule) -> None:
    """Two rows of one annotator outvoted another's one, as ballots were told apart by labels too."""
    rows = [label_row("a.mp4", 0, labels, name) for labels, name in (("1100", "anna"), ("0000", "ben"))]
    again = label_row("a.mp4", 0, "1000", "anna")
    said = "label frame 0 of 'a.mp4' differently (texture 1 and 0), both by 'anna'; keep the one that holds"
    order = [rows[0], again, rows[1]] if rule == "error" else [*rows, again]
    assert refusal(*order, rule=rule).endswith(said)
    third = label_row("a.mp4", 0, "0100", "cleo")
    if rule != "error":
        assert merge(*rows, rows[0], third, rule=rule) == merge(*rows, third, rule=rule)


@pytest.mark.parametrize("rule", ["any", "all", "majority"])
def test_a_graded_and_an_ungraded_row_of_one_annotator_are_one_vote(rule: Rule) -> None:
    ungraded = label_row("a.mp4", 0, "1010", "anna")
    assert merge(ANNA, ungraded, BEN, rule=rule) == merge(ANNA, BEN, rule=rule)
    assert "differently (motion 1 and 0), both by 'anna'" in refusal(
        ANNA, label_row("a.mp4", 0, "1000", "anna"), BEN, rule=rule
    )


@pytest.mark.parametrize("rule", ["error", "any", "all", "majority"])
def test_an_annotator_of_a_merged_row_counts_in_no_other_row(rule: Rule) -> None:
    both = graded_row("a.mp4", 0, [2, 0.5, 2, 0], "anna; ben")
    assert refusal(both, CLEO, BEN, rule=rule) == (
        "labels given: rows 1 and 3 both count 'ben' in frame 0 of 'a.mp4', by 'anna; ben' and 'ben'; "
        "merge each annotator's own labels once"
    )
    assert merge(both, both, rule=rule) == [both]


def test_rows_without_an_annotator_are_each_one_annotators() -> None:
    rows = [graded_row("a.mp4", 0, grades) for grades in ("3000", "3000", "0000")]
    assert merge(*rows) == [graded_row("a.mp4", 0, [2, 0, 0, 0])]
    assert merge(*rows, rule="keep") == rows


def test_an_ungraded_row_must_agree_with_the_mean() -> None:
    assert merge(ANNA, BEN, label_row("a.mp4", 0, "1010")) == [graded_row("a.mp4", 0, [2, 0.5, 2, 0], "anna; ben")]
    assert refusal(ANNA, BEN, label_row("a.mp4", 0, "1000", "old")) == (
        "labels given: rows 1 and 3 label frame 0 of 'a.mp4' differently (motion 1 and 0); "
        "give a rule to merge them: --label-rule any, all or majority"
    )


def test_a_graded_row_takes_the_place_of_the_same_annotators_ungraded_one() -> None:
    assert merge(label_row("a.mp4", 0, "1010", "anna"), ANNA, rule="keep") == [ANNA]


def test_a_row_alone_keeps_its_label() -> None:
    voted = graded_row("a.mp4", 0, "2000", "anna; ben") | {"boundary": 0}  # merged by the rule all
    assert merge(voted) == merge(voted, voted) == [voted]


@settings(max_examples=60)
@given(
    grades=st.dictionaries(
        st.tuples(st.sampled_from(["a.mp4", "b.mp4"]), st.integers(0, 2), st.sampled_from("xyz")), GRADES, min_size=1
    ),
    seed=st.randoms(use_true_random=False),
)
def test_means_do_not_depend_on_the_order_of_rows(grades: dict, seed) -> None:
    rows = [
        LabelRow(number, file, frame, labels_of_severities(given), given, annotator, None)
        for number, ((file, frame, annotator), given) in enumerate(grades.items(), 1)
    ]
    shuffled = seed.sample(rows, len(rows))
    for merged in (merge_rows(rows, "error", "given"), merge_rows(shuffled, "error", "given")):
        assert [row.frame for row in merged] == sorted({row.frame for row in rows})
        for row in merged:
            own = [one.severities for one in rows if one.frame == row.frame and one.severities]
            assert row.severities == pytest.approx(tuple(fmean(column) for column in zip(*own, strict=True)))
            assert row.labels == tuple(int(2 * sum(column) >= 3 * len(own)) for column in zip(*own, strict=True))


def test_a_table_keeps_ungraded_frames_beside_graded_ones() -> None:
    rows = [ANNA, label_row("b.mp4", 0, "0100")]
    assert merge(*rows) == rows
    assert [rows[1][column] for column in SEVERITY_COLUMNS] == [None] * 4
