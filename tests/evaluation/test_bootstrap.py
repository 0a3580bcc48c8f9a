"""Intervals over videos."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predicted import predictions
from sklearn import metrics as sk

from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings, bootstrap, percentile_interval, weighted_metrics
from artifactscan.evaluation.label_metrics import LABEL_METRICS, ScoredFrames, compute_metrics
from artifactscan.evaluation.predictions import read_predictions
from artifactscan.evaluation.tuning import Tuning
from artifactscan.labels import LABELS

AT = {metric: i for i, metric in enumerate(LABEL_METRICS)}


def frames_of(videos: int = 12, frames_each: int = 10, **values: float) -> tuple[ScoredFrames, np.ndarray]:
    read = read_predictions(predictions(videos, frames_each, **values))
    return Tuning().apply(read), read.videos


@settings(max_examples=40)
@given(data=st.data())
def test_with_weights_of_1_metrics_equal_those_of_torchmetrics(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    p = data.draw(
        st.lists(
            st.sampled_from([0.0, 0.1, 1 / 15, 0.2, 0.5, 0.50001, 0.99, 1.0]), min_size=4 * count, max_size=4 * count
        )
    )
    y = data.draw(st.lists(st.booleans(), min_size=4 * count, max_size=4 * count))
    scores = np.array(p, np.float32).reshape(-1, 4)
    frames = ScoredFrames(y=np.array(y).reshape(-1, 4), p=scores, flags=scores >= 0.5)
    found, expected = weighted_metrics(frames, np.ones((1, count))), compute_metrics(frames)
    np.testing.assert_allclose(found.by_label[0], expected.by_label, atol=2e-6)
    assert found.exact_match[0] == pytest.approx(expected.exact_match)


def test_weighted_metrics_equal_scikit_learns_with_the_same_sample_weights() -> None:
    frames, _ = frames_of()
    weights = np.random.default_rng(0).integers(0, 4, (5, len(frames.y))).astype(float)
    found = weighted_metrics(frames, weights)
    for resample, weight in enumerate(weights):
        for i in range(len(LABELS)):
            y, p, flags = frames.y[:, i], frames.p[:, i], frames.flags[:, i]
            expected = {
                "accuracy": sk.accuracy_score(y, flags, sample_weight=weight),
                "balanced_accuracy": sk.balanced_accuracy_score(y, flags, sample_weight=weight),
                "precision": sk.precision_score(y, flags, sample_weight=weight),
                "recall": sk.recall_score(y, flags, sample_weight=weight),
                "f1": sk.f1_score(y, flags, sample_weight=weight),
                "average_precision": sk.average_precision_score(y, p, sample_weight=weight),
                "auroc": sk.roc_auc_score(y, p, sample_weight=weight),
            }
            values = {metric: found.by_label[resample, AT[metric], i] for metric in expected}
            assert values == pytest.approx(expected, abs=1e-9)
        assert found.exact_match[resample] == pytest.approx(
            sk.accuracy_score(frames.y, frames.flags, sample_weight=weight)
        )


def test_weights_stand_for_repeated_frames() -> None:
    frames, _ = frames_of()
    counts = np.random.default_rng(0).integers(0, 4, len(frames.y))
    found = weighted_metrics(frames, counts[np.newaxis].astype(float))
    repeated = compute_metrics(frames.where(np.repeat(np.arange(len(counts)), counts)))
    np.testing.assert_allclose(found.by_label[0], repeated.by_label, atol=1e-6)


def test_whole_videos_are_drawn() -> None:
    """With one right and one wrong video, accuracy is 0, one half or 1 in a quarter, half and quarter of resamples."""
    y = np.tile([[True], [False]], (10, 4))
    videos = np.repeat(["right", "wrong"], 10).astype(object)
    flags = np.where((videos == "right")[:, np.newaxis], y, ~y)
    found = bootstrap(
        ScoredFrames(y=y, p=flags.astype(np.float32), flags=flags), videos, BootstrapSettings(resamples=4000)
    )
    values, counts = np.unique(found.by_label[:, AT["accuracy"], 0], return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_seed_decides_the_resamples() -> None:
    frames, videos = frames_of()

    def resampled(seed: int) -> np.ndarray:
        return bootstrap(frames, videos, BootstrapSettings(resamples=20, seed=seed)).by_label

    np.testing.assert_array_equal(resampled(1), resampled(1))
    assert not np.array_equal(resampled(1), resampled(2))


def test_chunks_of_resamples_give_the_same_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, videos = frames_of()
    at_once = bootstrap(frames, videos, BootstrapSettings(resamples=25))
    monkeypatch.setattr("artifactscan.evaluation.bootstrap._WEIGHTS_PER_CHUNK", 7 * len(videos))
    in_parts = bootstrap(frames, videos, BootstrapSettings(resamples=25))
    np.testing.assert_allclose(in_parts.by_label, at_once.by_label, atol=1e-12)
    np.testing.assert_allclose(in_parts.exact_match, at_once.exact_match, atol=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The truth is the mean over many sets of as many videos; resampling single frames covers it far less often."""
    metrics = [AT[metric] for metric in ("accuracy", "average_precision", "calibration_error")]
    settings = BootstrapSettings(resamples=80)
    estimates, by_videos, by_frames = [], [], []
    for seed in range(40):
        frames, videos = frames_of(30, 10, seed=seed, sharpness=1.5)
        estimates.append(compute_metrics(frames).by_label[metrics])
        by_videos.append(percentile_interval(bootstrap(frames, videos, settings).by_label[:, metrics], 0.95))
        by_frames.append(
            percentile_interval(bootstrap(frames, np.arange(len(videos)), settings).by_label[:, metrics], 0.95)
        )
    truth = np.mean(estimates, axis=0)

    def covered(bounds: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Share of sets per metric, over the four labels, which are simulated alike."""
        return np.mean([(low <= truth) & (truth <= high) for low, high in bounds], axis=(0, 2))

    assert covered(by_videos) == pytest.approx([0.93] * 3, abs=0.05)
    assert (covered(by_frames) < covered(by_videos) - 0.08).all()


def test_the_interval_contains_the_calibration_error() -> None:
    frames, videos = frames_of(50, 17, sharpness=0.5)
    found = bootstrap(frames, videos, BootstrapSettings(resamples=300)).by_label[:, AT["calibration_error"]]
    low, high = percentile_interval(found, 0.95)
    value = compute_metrics(frames).by_label[AT["calibration_error"]]
    assert ((low < value) & (value < high)).all()
    assert (low >= 0).all()


def test_intervals_use_only_the_resamples_that_define_the_metric() -> None:
    values = np.array([[np.nan, np.nan, 0.3]] * 2 + [[0.0, np.nan, 0.3], [1.0, 0.5, 0.3]])
    low, high = percentile_interval(values, 0.5)
    assert low == pytest.approx([0.25, np.nan, 0.3], nan_ok=True)
    assert high == pytest.approx([0.75, np.nan, 0.3], nan_ok=True)


def test_a_thousand_resamples_of_843_frames_take_seconds() -> None:
    frames, videos = frames_of(50, 17)
    begun = time.process_time()
    bootstrap(frames, videos, BootstrapSettings())
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    ("values", "message"), [({"resamples": -1}, "resamples is -1"), ({"confidence": 95}, "confidence is 95")]
)
def test_settings_out_of_range_are_refused(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BootstrapSettings(**values)
