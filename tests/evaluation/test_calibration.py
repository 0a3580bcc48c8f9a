"""Calibration of one label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from artifactscan.evaluation.calibration import FittedCalibration, fit_calibration, nll
from artifactscan.evaluation.predictions import sigmoid


def drawn(
    scale: float, offset: float, *, videos: int = 60, frames_each: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits whose calibration is ``scale`` and ``offset``, labels drawn from it, and videos."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, videos * frames_each)
    y = rng.random(len(logits)) < sigmoid(logits * scale + offset)
    return logits, y, np.repeat(np.arange(videos), frames_each)


def unchanged(fitted: FittedCalibration) -> bool:
    calibration = fitted.calibration
    return (fitted.method, calibration.scale, calibration.offset) == ("identity", 1, 0)


def test_nll_by_hand() -> None:
    assert nll(np.array([0.0, np.log(3), -1e4]), np.array([True, False, False])) == pytest.approx(
        (np.log(2) + np.log(4) + 0) / 3
    )


def test_overconfident_logits_get_their_temperature() -> None:
    logits, y, videos = drawn(0.25, 0)
    fitted = fit_calibration(logits, y, videos)
    assert fitted.method == "temperature"
    assert fitted.calibration.scale == pytest.approx(0.25, abs=0.06)  # three standard errors
    free = LogisticRegression(C=1e9, fit_intercept=False).fit(logits[:, np.newaxis], y)
    assert fitted.calibration.scale == pytest.approx(free.coef_[0, 0], rel=0.01)  # the penalty is hardly felt
    assert fitted.calibration.offset == 0
    assert fitted.nll_after < fitted.nll_before - 0.1


def test_shifted_logits_get_platt_scaling() -> None:
    fitted = fit_calibration(*drawn(0.7, -2))
    assert fitted.method == "platt"
    assert fitted.calibration.scale == pytest.approx(0.7, abs=0.1)
    assert fitted.calibration.offset == pytest.approx(-2, abs=0.25)


def test_calibrated_logits_stay_about_as_they_are() -> None:
    fitted = fit_calibration(*drawn(1, 0))
    assert fitted.calibration.scale == pytest.approx(1, abs=0.15)
    assert fitted.calibration.offset == pytest.approx(0, abs=0.2)


@settings(max_examples=15)
@given(data=st.data())
def test_it_never_worsens_the_nll_of_its_own_data_and_never_turns_the_ranking(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    logits = np.array(data.draw(st.lists(st.floats(-1e4, 1e4, width=32), min_size=count, max_size=count)))
    y = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    videos = np.array(data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    fitted = fit_calibration(logits, y, videos)
    after = nll(logits * fitted.calibration.scale + fitted.calibration.offset, y)
    assert after == pytest.approx(fitted.nll_after)
    assert after <= nll(logits, y)
    assert fitted.calibration.scale > 0
    assert np.isfinite([fitted.calibration.scale, fitted.calibration.offset]).all()


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_separable_data_have_a_finite_fit_that_does_not_depend_on_the_unit_of_the_logits(size: float) -> None:
    logits = size * np.tile([-2.0, -1.0, 1.0, 2.0], 10)
    y = logits > 0
    fitted = fit_calibration(logits, y, np.repeat(np.arange(10), 4))
    probabilities = sigmoid(logits * fitted.calibration.scale + fitted.calibration.offset)
    assert probabilities[y].min() > 0.85
    if size < 100:  # what is overconfident and right loses nothing by staying so
        assert probabilities.max() < 1 - 1e-3


def test_a_single_positive_does_not_make_for_certainty() -> None:
    logits = np.linspace(-3, -1, 40)
    y = logits == logits.max()
    fitted = fit_calibration(logits, y, np.repeat(np.arange(10), 4))
    assert sigmoid(logits * fitted.calibration.scale + fitted.calibration.offset).max() < 0.9


@pytest.mark.parametrize("y", [np.zeros(8, bool), np.ones(8, bool)])
def test_one_class_leaves_the_logits_as_they_are(y: np.ndarray) -> None:
    assert unchanged(fit_calibration(np.linspace(-1, 1, 8), y, np.arange(8)))


def test_one_video_and_logits_of_zero_leave_the_logits_as_they_are() -> None:
    y = np.tile([True, False, False], 8)
    assert unchanged(fit_calibration(5.0 * y, y, np.zeros(24)))
    assert unchanged(fit_calibration(np.zeros(24), np.tile([True, False], 12), np.arange(24)))


def test_logits_that_fall_with_the_label_are_not_turned_round() -> None:
    logits, y, videos = drawn(-1, 0)
    assert unchanged(fit_calibration(logits, y, videos))
