"""The threshold of one label."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from artifactscan.errors import UsageError
from artifactscan.evaluation.thresholds import ThresholdGoal, choose_threshold, parse_goal

P = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9], np.float32)
Y = np.array([0, 1, 0, 1, 0, 1], bool)

tuning_data = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=12)


def test_the_best_f1_worked_out_by_hand() -> None:
    # At 0.2: precision 3/5, recall 1, F1 3/4; at 0.6: 2/3 and 2/3; at 0.9: 1 and 1/3.
    chosen = choose_threshold(P, Y, ThresholdGoal())
    assert chosen.threshold == pytest.approx(0.15)
    assert (chosen.precision, chosen.recall, chosen.f1) == pytest.approx((3 / 5, 1, 3 / 4))
    assert chosen.reached


@pytest.mark.parametrize(
    ("precision", "threshold", "recall", "holds"),
    [(0.5, 0.05, 1, 0.5), (0.6, 0.15, 1, 0.6), (0.65, 0.5, 2 / 3, 2 / 3), (0.9, 0.85, 1 / 3, 1), (1, 0.85, 1 / 3, 1)],
)
def test_the_lowest_threshold_that_reaches_a_precision_worked_out_by_hand(
    precision: float, threshold: float, recall: float, holds: float
) -> None:
    chosen = choose_threshold(P, Y, ThresholdGoal(precision=precision))
    assert (chosen.threshold, chosen.recall, chosen.precision) == pytest.approx((threshold, recall, holds))
    assert chosen.reached


def test_a_precision_out_of_reach_gives_the_threshold_of_the_highest() -> None:
    chosen = choose_threshold(P, ~Y, ThresholdGoal(precision=0.9))  # at 0.1: 3/6, at 0.4: 2/4, at 0.8: 1/2
    assert not chosen.reached
    assert (chosen.threshold, chosen.precision, chosen.recall) == pytest.approx((0.05, 0.5, 1))


@settings(max_examples=30)
@given(data=tuning_data, goal=st.floats(0.05, 1))
def test_the_goal_is_reached_where_reached_says_so(data: list[tuple[float, bool]], goal: float) -> None:
    p, y = np.array([one for one, _ in data], np.float32), np.array([one for _, one in data])
    assume(y.any() and not y.all())
    chosen = choose_threshold(p, y, ThresholdGoal(precision=goal))
    flags = p >= chosen.threshold
    assert precision_score(y, flags, zero_division=0) == pytest.approx(chosen.precision)
    assert recall_score(y, flags) == pytest.approx(chosen.recall)
    every = [precision_score(y, p >= score) for score in p]
    if chosen.reached:
        assert chosen.precision >= goal
        assert chosen.recall >= max(recall_score(y, p >= s) for s, held in zip(p, every, strict=True) if held >= goal)
    else:
        assert chosen.precision == pytest.approx(max(every))
        assert max(every) < goal


@settings(max_examples=30)
@given(data=tuning_data)
def test_no_threshold_has_a_better_f1(data: list[tuple[float, bool]]) -> None:
    p, y = np.array([one for one, _ in data], np.float32), np.array([one for _, one in data])
    assume(y.any() and not y.all())
    chosen = choose_threshold(p, y, ThresholdGoal())
    assert f1_score(y, p >= chosen.threshold) == pytest.approx(chosen.f1)
    assert chosen.f1 == pytest.approx(max(f1_score(y, p >= score) for score in p))


def test_a_threshold_lies_between_scores() -> None:
    chosen = choose_threshold(P, Y, ThresholdGoal(precision=0.65))
    for moved in (P - 1e-4, P + 1e-4):
        assert ((moved >= chosen.threshold) == (chosen.threshold <= P)).all()


def test_between_neighbouring_float32_values_the_threshold_is_the_score() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    chosen = choose_threshold(np.array([low, high]), np.array([False, True]), ThresholdGoal())
    assert chosen.threshold == float(high)


@pytest.mark.parametrize("y", [np.zeros(6, bool), np.ones(6, bool)])
def test_one_class_gives_the_default(y: np.ndarray) -> None:
    chosen = choose_threshold(P, y, ThresholdGoal())
    assert chosen.threshold == 0.5
    assert not chosen.reached
    assert math.isnan(chosen.precision)


def test_goals_survive_parsing_and_printing() -> None:
    assert parse_goal("f1") == ThresholdGoal()
    assert parse_goal("precision=0.9") == ThresholdGoal(precision=0.9)
    assert [str(parse_goal(text)) for text in ("f1", "precision=0.9")] == ["f1", "precision=0.9"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ("recall", "precision", "precision=high", "precision=", "f1=0.5", ""),
            r"is not known; give f1 or, for ex",
        ),
        (
            ("precision=0", "precision=1.5", "precision=-1", "precision=nan"),
            "is out of range; give a share above",
        ),
    ],
)
def test_goals_that_are_refused(texts: tuple[str, ...], message: str) -> None:
    for text in texts:
        with pytest.raises(UsageError, match=message):
            parse_goal(text)
