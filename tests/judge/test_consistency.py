"""A judge's agreement with itself on the frames that it was asked about twice."""

import pytest
from judge_answers import answer, answers_table
from sklearn.metrics import cohen_kappa_score

from artifactscan.judge.consistency import Consistency, measure_consistency
from artifactscan.judge.judgement_tables import frame_outcomes


def consistency_of(*pairs: tuple[str, str | None]) -> Consistency:
    rows = [answer(n, grades, ask=ask) for n, pair in enumerate(pairs) for ask, grades in enumerate(pair)]
    answers = answers_table(*rows, answer(99, "3333"), answer(100, "0000"), answer(100, "3333", ask=1))
    return measure_consistency(answers, frame_outcomes(answers, [("a.mp4", n) for n in range(len(pairs))]))


def test_kappa_is_scikit_learns_and_contradictions_are_counted() -> None:
    found = consistency_of(("0130", "0130"), ("2100", "3100"), ("0120", "0130"), ("3100", "1100"), ("1100", None))
    assert (found.frames, found.contradicted, found.contradicted_share) == (4, 1, 0.25)
    expected = cohen_kappa_score([0, 2, 0, 3], [0, 3, 0, 1], labels=range(4), weights="quadratic")
    assert found.kappa["boundary"] == pytest.approx(expected)
    assert found.kappa["texture"] is found.kappa["object"] is None, "always the same grade"
    assert found.kappa["motion"] is not None and found.kappa["motion"] > 0.9


def test_nobody_was_asked_twice() -> None:
    found = consistency_of(("0130", None))
    assert (found.frames, found.contradicted, found.contradicted_share) == (0, 0, 0.0)
    assert set(found.kappa.values()) == {None}
