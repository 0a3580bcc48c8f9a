"""Calibration of one label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from artifactscan.evaluation.calibration import MIN_SLOPE, fit_calibration
from artifactscan.model.checkpoint import Calibration


def drawn(
    scale: float, offset: float, *, videos: int = 60, frames_each: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits whose calibration is ``scale`` and ``offset``, labels drawn from it, and videos."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, videos * frames_each)
    y = rng.random(len(logits)) < expit(logits * scale + offset)
    return logits, y, np.repeat(np.arange(videos), frames_each)


def calibrated(logits: np.ndarray, calibration: Calibration) -> np.ndarray:
    return expit(logits * calibration.scale + calibration.offset)


@pytest.mark.parametrize(("scale", "offset"), [(0.25, 0), (0.7, -2), (1, 0), (1, 1.5)])
def test_the_true_scale_and_offset_are_found(scale: float, offset: float) -> None:
    logits, y, videos = drawn(scale, offset)
    found = fit_calibration(logits, y, videos)
    assert found.scale == pytest.approx(scale, abs=0.15)
    assert found.offset == pytest.approx(offset, abs=0.25)
    free = LogisticRegression(C=1e9).fit(logits[:, np.newaxis], y)
    assert found.scale == pytest.approx(free.coef_[0, 0], rel=0.02), "the penalty changes little"
    assert found.offset == pytest.approx(free.intercept_[0], abs=0.03)
    assert calibrated(logits, found).mean() == pytest.approx(y.mean(), abs=0.005)


@settings(max_examples=30)
@given(data=st.data())
def test_calibration_is_finite_and_never_reverses_the_ranking(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    logits = np.array(data.draw(st.lists(st.floats(-1e4, 1e4, width=32), min_size=count, max_size=count)))
    y = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    videos = np.array(data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    found = fit_calibration(logits, y, videos)
    assert found.scale > 0
    assert np.isfinite([found.scale, found.offset]).all()


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_separable_data_have_a_finite_fit_whatever_the_size_of_the_logits(size: float) -> None:
    logits = size * np.tile([-2.0, -1.0, 1.0, 2.0], 10)
    y = logits > 0
    p = calibrated(logits, fit_calibration(logits, y, np.repeat(np.arange(10), 4)))
    reference = calibrated(logits / size, fit_calibration(logits / size, y, np.repeat(np.arange(10), 4)))
    np.testing.assert_allclose(p, reference, atol=1e-4)
    assert p[y].min() > 0.85
    assert p.max() < 1 - 1e-3


def test_a_single_positive_gives_no_certainty() -> None:
    logits = np.linspace(-3, -1, 40)
    y = logits == logits.max()
    assert calibrated(logits, fit_calibration(logits, y, np.repeat(np.arange(10), 4))).max() < 0.9


@pytest.mark.parametrize(
    ("logits", "y", "videos"),
    [
        (np.linspace(-1, 1, 8), np.zeros(8, bool), np.arange(8)),
        (np.linspace(-1, 1, 8), np.ones(8, bool), np.arange(8)),
        (np.linspace(-1, 1, 8), np.arange(8) > 3, np.zeros(8)),
        (np.full(8, 2.0), np.arange(8) > 3, np.arange(8)),
    ],
    ids=["no positive", "no negative", "one video", "one logit"],
)
def test_without_enough_data_the_logits_stay(logits: np.ndarray, y: np.ndarray, videos: np.ndarray) -> None:
    assert fit_calibration(logits, y, videos) == Calibration()


@pytest.mark.parametrize("scale", [-1.0, 0.0])
def test_a_label_that_does_not_rise_with_its_logit_gets_its_prevalence(scale: float) -> None:
    logits, y, videos = drawn(scale, -1)
    found = fit_calibration(logits, y, videos)
    assert found.scale == pytest.approx(MIN_SLOPE / logits.std(), rel=0.5)
    p = calibrated(logits, found)
    assert p.mean() == pytest.approx(y.mean(), abs=0.005)
    assert p.std() < 0.03
