"""The threshold of one label."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from artifactscan.errors import UsageError
from artifactscan.evaluation.thresholds import Aim, choose_threshold, measure_operating_point, parse_aim
from artifactscan.model.operating_point import OperatingPoint

P = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9], np.float32)
Y = np.array([0, 1, 0, 1, 0, 1], bool)

tuning_data = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=12)


def test_the_best_f1_worked_out_by_hand() -> None:
    # At 0.2: precision 3/5, recall 1, F1 3/4; at 0.6: 2/3 and 2/3; at 0.9: 1 and 1/3.
    chosen = choose_threshold(P, Y, Aim(kind="f1"))
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
    chosen = choose_threshold(P, Y, Aim(kind="precision", share=precision))
    assert (chosen.threshold, chosen.recall, chosen.precision) == pytest.approx((threshold, recall, holds))
    assert chosen.reached


def test_a_precision_out_of_reach_gives_the_threshold_of_the_highest() -> None:
    chosen = choose_threshold(P, ~Y, Aim(kind="precision", share=0.9))  # at 0.1: 3/6, at 0.4: 2/4, at 0.8: 1/2
    assert not chosen.reached
    assert (chosen.threshold, chosen.precision, chosen.recall) == pytest.approx((0.05, 0.5, 1))


@settings(max_examples=30)
@given(data=tuning_data, goal=st.floats(0.05, 1))
def test_the_precision_is_reached_where_reached_says_so(data: list[tuple[float, bool]], goal: float) -> None:
    p, y = np.array([one for one, _ in data], np.float32), np.array([one for _, one in data])
    assume(y.any() and not y.all())
    chosen = choose_threshold(p, y, Aim(kind="precision", share=goal))
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
    chosen = choose_threshold(p, y, Aim(kind="f1"))
    assert f1_score(y, p >= chosen.threshold) == pytest.approx(chosen.f1)
    assert chosen.f1 == pytest.approx(max(f1_score(y, p >= score) for score in p))


def test_a_threshold_lies_between_scores() -> None:
    chosen = choose_threshold(P, Y, Aim(kind="precision", share=0.65))
    for moved in (P - 1e-4, P + 1e-4):
        assert ((moved >= chosen.threshold) == (chosen.threshold <= P)).all()


def test_between_neighbouring_float32_values_the_threshold_is_the_score() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    chosen = choose_threshold(np.array([low, high]), np.array([False, True]), Aim(kind="f1"))
    assert chosen.threshold == float(high)


@pytest.mark.parametrize("y", [np.zeros(6, bool), np.ones(6, bool)])
def test_one_class_gives_the_default(y: np.ndarray) -> None:
    chosen = choose_threshold(P, y, Aim(kind="f1"))
    assert chosen.threshold == 0.5
    assert not chosen.reached
    assert math.isnan(chosen.precision)


@pytest.mark.parametrize(
    ("share", "threshold", "precision"), [(1 / 3, 0.85, 1), (0.5, 0.5, 2 / 3), (2 / 3, 0.5, 2 / 3), (0.8, 0.15, 3 / 5)]
)
def test_the_highest_threshold_that_reaches_a_recall_worked_out_by_hand(
    share: float, threshold: float, precision: float
) -> None:
    chosen = choose_threshold(P, Y, Aim(kind="recall", share=share))
    assert (chosen.threshold, chosen.precision) == pytest.approx((threshold, precision))
    assert chosen.reached
    assert chosen.recall >= share


def test_the_prevalence_flags_as_many_frames_as_show_the_label() -> None:
    chosen = choose_threshold(P, Y, Aim())
    assert chosen.threshold == pytest.approx(0.5)  # three of six
    assert (chosen.precision, chosen.recall, chosen.reached) == (pytest.approx(2 / 3), pytest.approx(2 / 3), True)


def test_of_two_thresholds_as_near_to_the_prevalence_the_higher_is_chosen() -> None:
    p, y = np.array([0.1, 0.2, 0.3, 0.3, 0.9], np.float32), np.array([0, 0, 0, 1, 1], bool)
    assert choose_threshold(p, y, Aim()).threshold == pytest.approx(0.6)  # one frame or three, and two show it


@settings(max_examples=50)
@given(data=tuning_data)
def test_no_threshold_flags_a_number_nearer_to_the_prevalence(data: list[tuple[float, bool]]) -> None:
    p, y = np.array([one for one, _ in data], np.float32), np.array([one for _, one in data])
    assume(y.any() and not y.all())
    chosen = choose_threshold(p, y, Aim())
    flagged = int((p >= np.float32(chosen.threshold)).sum())
    nearest = min(abs(int((p >= score).sum()) - y.sum()) for score in p)
    assert abs(flagged - y.sum()) == min(nearest, y.sum()) or p.max() > 1 - 1e-6
    assert chosen.reached == (flagged <= 2 * y.sum() and flagged > 0)


def test_scores_that_are_all_the_same_flag_nothing() -> None:
    p, y = np.full(20, 0.25, np.float32), np.arange(20) < 5
    chosen = choose_threshold(p, y, Aim())
    assert (chosen.threshold, chosen.recall, chosen.reached) == (0.625, 0, False)


def test_scores_that_are_all_one_reach_no_prevalence() -> None:
    p, y = np.array([1.0] * 10 + [0.2] * 10, np.float32), np.arange(20) < 4
    chosen = choose_threshold(p, y, Aim())
    assert (chosen.threshold, chosen.recall, chosen.reached) == (pytest.approx(0.6), 1, False)  # 10 frames, 4 show it


def test_a_precision_that_a_single_clip_reaches_is_not_believed() -> None:
    """Five frames of one clip lead; the next clips are right half of the time."""
    p = np.concatenate([np.full(5, 0.9), np.full(20, 0.5), np.full(20, 0.1)]).astype(np.float32)
    y = np.concatenate([np.ones(5), np.arange(20) % 2, np.zeros(20)]).astype(bool)
    videos = np.array(["a"] * 5 + [f"b{i // 5}" for i in range(20)] + [f"c{i // 5}" for i in range(20)])
    aim = Aim(kind="precision", share=0.9)
    assert choose_threshold(p, y, aim).reached
    chosen = choose_threshold(p, y, aim, videos)
    assert not chosen.reached
    assert (chosen.threshold, chosen.precision) == pytest.approx((0.3, 15 / 25))
    only = choose_threshold(p, y & (videos == "a"), aim, videos)  # one clip shows it: no more can be asked
    assert (only.reached, only.threshold) == (True, pytest.approx(0.7))


def test_an_operating_point_worked_out_by_hand() -> None:
    flags = P >= 0.5
    assert measure_operating_point(Y, flags, "f1") == OperatingPoint(
        aim="f1", precision=2 / 3, recall=2 / 3, flagged_share=0.5, prevalence=0.5
    )
    none = measure_operating_point(~Y & Y, P > 1, Aim())
    assert none == OperatingPoint(aim="prevalence", precision=None, recall=None, flagged_share=0, prevalence=0)


def test_aims_survive_parsing_and_printing() -> None:
    assert parse_aim("prevalence") == Aim()
    assert parse_aim("precision=0.9") == Aim(kind="precision", share=0.9)
    for text in ("prevalence", "f1", "precision=0.9", "recall=0.8"):
        assert str(parse_aim(text)) == text


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ("recall", "precision", "precision=high", "precision=", "f1=0.5", "prevalence=0.1", "f2", ""),
            r"^aim .*is not known; give prevalence, f1, or for example precision=0.5 or recall=0.8$",
        ),
        (
            ("precision=0", "precision=1.5", "recall=-1", "precision=nan"),
            r"^aim \w+=.* is out of range; give a share above 0, at most 1$",
        ),
    ],
)
def test_aims_that_are_refused(texts: tuple[str, ...], message: str) -> None:
    for text in texts:
        with pytest.raises(UsageError, match=message):
            parse_aim(text)
