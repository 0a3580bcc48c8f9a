"""Resamples of videos, drawn through their distinct values."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from artifactscan.audit.statistics import resampling
from artifactscan.audit.statistics.resampling import interval, resampled_rate, resampled_ratio, resampled_sums, unvaried

MANY = 40_000


def clips(videos: int, *, share: float = 0.1, seed: int = 0) -> np.ndarray:
    """int (videos, 2): frames over and frames; most have none over, the others up to half."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(8, 400, videos)
    over = np.where(rng.random(videos) < share, 1 + np.floor(rng.random(videos) * frames / 2), 0)
    return np.stack([over.astype(int), frames], axis=1)


def counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(values, axis=0, return_counts=True)


def test_three_videos_by_enumeration() -> None:
    videos = [(0, 10), (0, 10), (3, 5)]
    expected: dict[Fraction, float] = {}
    for drawn in itertools.product(videos, repeat=3):
        ratio = Fraction(sum(over for over, _ in drawn), sum(frames for _, frames in drawn))
        expected[ratio] = expected.get(ratio, 0) + 1 / 27
    values, counts = counted(np.array(videos))
    draws = resampled_ratio(values[:, 0], values[:, 1], counts, np.random.default_rng(0), MANY)
    found, times = np.unique(draws, return_counts=True)
    assert found == pytest.approx([float(ratio) for ratio in sorted(expected)])
    assert times / MANY == pytest.approx([expected[ratio] for ratio in sorted(expected)], abs=0.01)


def test_many_videos_are_resampled_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    videos, rng = clips(400), np.random.default_rng(1)
    one_by_one = videos[rng.integers(0, len(videos), (4000, len(videos)))].sum(axis=1)
    values, counts = counted(videos)
    assert len(values) > 2 * resampling.MERGED_ABOVE
    merged = resampled_sums(values, counts, np.random.default_rng(2), 4000)
    monkeypatch.setattr(resampling, "MERGED_ABOVE", len(values))
    exact = resampled_sums(values, counts, np.random.default_rng(3), 4000)
    spread = one_by_one.std(axis=0)
    for sums in (merged, exact):
        assert sums.mean(axis=0) == pytest.approx(one_by_one.mean(axis=0), abs=0.08 * spread.max())
        assert sums.std(axis=0) == pytest.approx(spread, rel=0.06)
        assert np.corrcoef(sums.T)[0, 1] == pytest.approx(np.corrcoef(one_by_one.T)[0, 1], abs=0.05)
        for quantile in (0.025, 0.5, 0.975):
            difference = np.quantile(sums, quantile, axis=0) - np.quantile(one_by_one, quantile, axis=0)
            assert (np.abs(difference) < 0.15 * spread).all()


def test_a_rare_kind_is_drawn_exactly_where_others_are_approximated() -> None:
    videos = clips(3000, share=0)
    videos[0, 0] = 5
    values, counts = counted(videos)
    over = resampled_sums(values, counts, np.random.default_rng(0), MANY)[:, 0] / 5
    times, found = np.unique(np.round(over, 9), return_counts=True)
    assert times.tolist() == list(range(len(times)))
    assert found[:4] / MANY == pytest.approx(stats.binom.pmf(range(4), 3000, 1 / 3000), abs=0.01)


def test_a_rate() -> None:
    draws = resampled_rate(3, 12, np.random.default_rng(0), MANY)
    times, found = np.unique(np.round(draws * 12).astype(int), return_counts=True)
    assert found / MANY == pytest.approx(stats.binom.pmf(times, 12, 0.25), abs=0.01)


@pytest.mark.parametrize("flagged", [0, 30])
def test_a_rate_without_variation_has_a_clopper_pearson_interval(flagged: int) -> None:
    exact = stats.binomtest(flagged, 30).proportion_ci(method="exact")
    frames = np.array([10])
    for draws in (
        resampled_rate(flagged, 30, np.random.default_rng(0), MANY),
        resampled_ratio(frames * (flagged > 0), frames, np.array([30]), np.random.default_rng(0), MANY),
        unvaried(flagged > 0, 30, np.random.default_rng(0), MANY),
    ):
        assert interval(draws, flagged / 30) == pytest.approx((exact.low, exact.high), abs=0.004)


def test_an_interval_holds_its_estimate() -> None:
    draws = np.linspace(0.2, 0.4, 1001)
    assert interval(draws, 0.3) == pytest.approx((0.205, 0.395))
    assert interval(draws, 0.1) == pytest.approx((0.1, 0.395))
    assert interval(draws, 0.5) == pytest.approx((0.205, 0.5))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Frames taken for independent would cover it in less than two thirds of the cases."""
    everything = clips(1_000_000, share=0.3, seed=5)
    truth = everything[:, 0].sum() / everything[:, 1].sum()
    covered = []
    for seed in range(300):
        values, counts = counted(everything[200 * seed : 200 * (seed + 1)])
        draws = resampled_ratio(values[:, 0], values[:, 1], counts, np.random.default_rng(seed), 400)
        low, high = interval(draws, float(np.mean(draws)))
        covered.append(low <= truth <= high)
    assert np.mean(covered) == pytest.approx(0.94, abs=0.035)
