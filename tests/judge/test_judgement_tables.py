"""Answers become one outcome per frame, and labels of those that are believed."""

from typing import Any

import pytest
from judge_answers import answer, answers_table

from artifactscan.annotation.labels_table import read_labels, write_labels
from artifactscan.errors import LedgerError
from artifactscan.judge.judgement_tables import (
    ANSWERS,
    FRAME_OUTCOMES,
    frame_outcomes,
    labels_of,
    merge_answers,
    unreadable_answer,
)
from artifactscan.labels import SEVERITY_COLUMNS


def outcome_of(*rows: dict[str, Any]) -> dict[str, Any]:
    [row] = frame_outcomes(merge_answers([answers_table(*rows)]), [("a.mp4", 0)]).to_pylist()
    return row


def test_the_first_answer_counts_and_replaces_a_failure() -> None:
    merged = merge_answers(
        [answers_table(answer(0, None), answer(1, "1111")), answers_table(answer(0, "2000"), answer(1, "3333"))]
    )
    assert merged.schema.equals(ANSWERS)
    assert merged["severity_boundary"].to_pylist() == [2, 1]
    [row] = merge_answers([answers_table(answer(0, None, reason="first"), answer(0, None, reason="last"))]).to_pylist()
    assert row["reason"] == "last"
    assert merge_answers([]).num_rows == 0


def test_two_answers_are_averaged() -> None:
    row = outcome_of(answer(0, "2100"), answer(0, "3100", ask=1))
    assert (row["outcome"], row["reason"], row["answers"], row["note"]) == ("judged", None, 2, "n")
    assert [row[column] for column in SEVERITY_COLUMNS] == [2.5, 1.0, 0.0, 0.0]
    assert (row["requests"], row["prompt_tokens"], row["completion_tokens"]) == (2, 200, 20)


@pytest.mark.parametrize(("first", "second"), [("0000", "0020"), ("0010", "0030"), ("0000", "0030")])
def test_answers_that_contradict_each_other_are_not_believed(first: str, second: str) -> None:
    row = outcome_of(answer(0, first), answer(0, second, ask=1))
    assert row["outcome"] == "contradicted"
    assert row["reason"] == f"asked twice, the judge grades motion {first[2]} and {second[2]}"
    assert [row[column] for column in SEVERITY_COLUMNS] == [None] * 4


def test_one_of_two_answers_is_enough() -> None:
    row = outcome_of(answer(0, None), answer(0, "3000", ask=1))
    assert (row["outcome"], row["answers"], row["severity_boundary"]) == ("judged", 1, 3.0)


def test_a_refusal_is_the_outcome_where_nothing_is_judged() -> None:
    rows = answer(0, None, reason="timeout"), answer(0, None, ask=1, outcome="refused", reason="policy")
    assert (outcome_of(*rows)["outcome"], outcome_of(*rows)["reason"]) == ("refused", "policy")
    assert (outcome_of(rows[0])["outcome"], outcome_of(rows[0])["reason"]) == ("failed", "timeout")


def test_every_frame_has_an_outcome_or_the_ledger_does_not_close() -> None:
    answers = answers_table(answer(0, "0000"), answer(12, None))
    outcomes = frame_outcomes(answers, [("a.mp4", 12), ("a.mp4", 0)])
    assert outcomes.schema.equals(FRAME_OUTCOMES)
    assert list(zip(outcomes["frame_index"].to_pylist(), outcomes["outcome"].to_pylist(), strict=True)) == [
        (0, "judged"),
        (12, "failed"),
    ]
    assert frame_outcomes(answers, [("a.mp4", 0)]).num_rows == 1, "answers about other frames are left alone"
    with pytest.raises(LedgerError, match=r"frame 24 of a\.mp4 has no outcome"):
        frame_outcomes(answers, [("a.mp4", 24)])


def test_labels_are_those_of_the_judged_frames(tmp_path: Any) -> None:
    answers = answers_table(answer(0, "1203"), answer(1, None), answer(2, "1000"), answer(2, "2000", ask=1))
    labels = labels_of(frame_outcomes(answers, [("a.mp4", n) for n in range(3)]), "judge:m")
    write_labels(labels, str(tmp_path / "labels.csv"))
    assert read_labels(str(tmp_path / "labels.csv")).to_pylist() == [
        {
            **{"file": "a.mp4", "frame_index": 0, "boundary": 0, "texture": 1, "motion": 0, "object": 1},
            **dict(zip(SEVERITY_COLUMNS, (1.0, 2.0, 0.0, 3.0), strict=True)),
            **{"annotator": "judge:m", "note": "n"},
        }
        | {name: None for name in labels.column_names if name == "generator"},
        {
            **{"file": "a.mp4", "frame_index": 2, "boundary": 1, "texture": 0, "motion": 0, "object": 0},
            **dict(zip(SEVERITY_COLUMNS, (1.5, 0.0, 0.0, 0.0), strict=True)),
            **{"annotator": "judge:m", "note": "n"},
        }
        | {name: None for name in labels.column_names if name == "generator"},
    ]


def test_a_question_that_was_not_put_has_a_row_too() -> None:
    row = unreadable_answer({"file": "a.mp4", "frame_index": 0, "ask": 0, "image": "x.png"}, "its image is gone")
    assert outcome_of(row)["reason"] == "its image is gone"
    assert answers_table(row)["requests"].to_pylist() == [0]
