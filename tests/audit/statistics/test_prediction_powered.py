"""Shares from labels on a sample and scores on all clips."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from artifactscan.audit.statistics.prediction_powered import (
    LabelledClips,
    ScoredClips,
    ShareEstimate,
    estimate_share,
)


def corpus(clips: int = 2000, *, seed: int = 3) -> tuple[ScoredClips, np.ndarray]:
    """Clips whose score is the probability of their label, and the labels."""
    rng = np.random.default_rng(seed)
    score = rng.random(clips)
    return ScoredClips(size=np.ones(clips), score=score), (rng.random(clips) < score).astype(float)


def first(clips: ScoredClips, label: np.ndarray, count: int, *, drawn: bool = True) -> LabelledClips:
    """The first clips as the sample."""
    return LabelledClips(
        size=clips.size[:count],
        label=label[:count],
        score=clips.score[:count],
        probability=np.full(count, count / len(label)) if drawn else None,
    )


def width(found: ShareEstimate, *, alone: bool = False) -> float:
    return found.labels_alone_high - found.labels_alone_low if alone else found.high - found.low


def test_the_estimate_by_hand() -> None:
    # Labels 0 and 1 stand 0.4 apart in score, all clips 0.1 above the sample: slope 2.5 less what the noise takes.
    clips = ScoredClips(size=np.ones(1000), score=np.full(1000, 0.6))
    score = np.array([0.3] * 10 + [0.7] * 10)
    label = np.array([0.0] * 10 + [1.0] * 10)
    label[0] = 1
    found = estimate_share(
        clips, LabelledClips(size=np.ones(20), label=label, score=score, probability=np.full(20, 0.02))
    )
    slope = 0.9 / 0.4
    assert found.labels_alone == pytest.approx(11 / 20)
    assert found.estimate == pytest.approx(11 / 20 + slope * 0.1)
    assert found.correlation == pytest.approx(np.corrcoef(label, score)[0, 1])


def test_a_good_score_narrows_the_interval_by_what_it_explains() -> None:
    clips, label = corpus(20_000)
    found = estimate_share(clips, first(clips, label, 400))
    assert found.correlation is not None
    assert found.correlation == pytest.approx(np.sqrt(1 / 3), abs=0.08)  # of a uniform score and its label
    assert width(found) / width(found, alone=True) == pytest.approx(np.sqrt(1 - found.correlation**2), abs=0.02)
    assert found.low < label.mean() < found.high


def test_a_score_that_says_nothing_or_the_opposite_is_not_used() -> None:
    clips, label = corpus()
    for score in (np.full(2000, 0.3), 1 - clips.score):
        found = estimate_share(replace(clips, score=score), first(replace(clips, score=score), label, 100))
        assert found.correlation is None
        alone = (found.labels_alone, found.labels_alone_low, found.labels_alone_high)
        assert (found.estimate, found.low, found.high) == alone


def test_the_scale_of_the_score_does_not_matter() -> None:
    clips, label = corpus()
    scaled = replace(clips, score=0.01 * clips.score + 7)
    one, other = (estimate_share(of, first(of, label, 60)) for of in (clips, scaled))
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))


def test_a_share_of_frames_counts_a_clip_by_its_frames_and_its_frames_as_one_draw() -> None:
    rng = np.random.default_rng(0)
    size = np.where(rng.random(500) < 0.5, 4.0, 40.0)
    label = np.where(size == 40, 0.0, 1.0)
    clips = ScoredClips(size=size, score=rng.random(500))
    found = estimate_share(clips, first(clips, label, 100))
    assert found.labels_alone == pytest.approx((size * label)[:100].sum() / size[:100].sum())
    # 22 frames in a clip on average, yet the interval is as wide as 100 clips make it.
    assert width(found, alone=True) > 2 * 1.96 * np.sqrt(found.labels_alone * (1 - found.labels_alone) / (100 * 22))


def test_clips_drawn_less_often_count_for_more() -> None:
    rng = np.random.default_rng(1)
    often = np.arange(4000) < 2000
    label = np.where(often, rng.random(4000) < 0.8, rng.random(4000) < 0.1).astype(float)
    probability = np.where(often, 0.2, 0.04)
    estimates, halves = [], []
    for _ in range(100):
        drawn = rng.random(4000) < probability
        clips = ScoredClips(size=np.ones(4000), score=rng.random(4000))
        sample = LabelledClips(
            size=np.ones(drawn.sum()),
            label=label[drawn],
            score=clips.score[drawn],
            probability=probability[drawn],
        )
        found = estimate_share(clips, sample)
        estimates.append(found.labels_alone)
        halves.append(width(found, alone=True) / 2)
    assert np.mean(estimates) == pytest.approx(label.mean(), abs=0.01)
    # The clips stay the same here, so what their choice adds is all there is; the interval is for others of the kind.
    assert 1.96 * np.std(estimates) <= np.mean(halves) * 1.1 < 1.96 * np.std(estimates) * 1.5


def test_the_more_of_the_clips_are_labelled_the_less_the_scores_do() -> None:
    clips, label = corpus(200)
    for count in (50, 100, 200):
        found = estimate_share(clips, first(clips, label, count))
        gain = 1 - width(found) / width(found, alone=True)
        explained = (found.correlation or 0.0) ** 2
        assert gain == pytest.approx(1 - np.sqrt(1 - explained * (1 - count / 200)), abs=0.03)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.1157), (1.0, 0.8843, 1.0)])
def test_labels_that_are_all_alike_still_leave_a_doubt(share: float, low: float, high: float) -> None:
    clips, _ = corpus()
    found = estimate_share(clips, first(clips, np.full(2000, share), 30))
    assert (found.estimate, found.correlation) == (share, None)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)  # Clopper and Pearson for 30 clips


def test_a_sample_of_its_own_agrees_with_the_authors_package() -> None:
    # ppi-python 0.2.3 on these arrays: ppi_mean_ci(label[:n], score[:n], score, lam=slope).
    clips, label = corpus(4000)
    found = estimate_share(clips, first(clips, label, 80, drawn=False))
    sample = slice(0, 80)
    slope = np.cov(label[sample], clips.score[sample])[0, 1] / np.var(clips.score[sample], ddof=1) / (1 + 80 / 4000)
    assert slope == pytest.approx(1.180007, abs=1e-6)
    assert found.estimate == pytest.approx(0.45655116, abs=1e-8)
    assert (found.low, found.high) == pytest.approx((0.37560, 0.53750), abs=0.004)  # theirs is normal, not of log-odds


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 6), st.floats(0, 1, width=32)), min_size=3, max_size=40),
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1, width=32)), max_size=60),
    st.booleans(),
)
def test_an_interval_holds_its_estimate_and_is_never_wider_than_the_labels_alone(
    labelled: list[tuple[int, int, float]], others: list[tuple[int, float]], drawn: bool
) -> None:
    size, shows, score = (np.array(column, float) for column in zip(*labelled, strict=True))
    more = np.array(others, float).reshape(-1, 2)
    clips = ScoredClips(size=np.concatenate([size, more[:, 0]]), score=np.concatenate([score, more[:, 1]]))
    probability = np.full(len(size), len(size) / len(clips.size)) if drawn else None
    found = estimate_share(clips, LabelledClips(size=size, label=shows / 6, score=score, probability=probability))
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.labels_alone_low <= found.labels_alone <= found.labels_alone_high
    assert width(found) <= width(found, alone=True) * (1 + 1e-9)
    assert found.correlation is None or 0 < found.correlation <= 1 + 1e-9


@pytest.mark.parametrize("unit", ["clips", "frames"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(unit: str) -> None:
    rng = np.random.default_rng(5)
    shown = rng.binomial(6, rng.beta(0.22, 0.78, 20_000)) / 6
    label = (shown > 0).astype(float) if unit == "clips" else shown
    size = np.ones(20_000) if unit == "clips" else rng.integers(8, 41, 20_000).astype(float)
    score = label + rng.normal(0, label.std(), 20_000)  # explains a half
    truth, held, narrower = np.average(label, weights=size), [], []
    for _ in range(300):
        drawn = rng.integers(0, 20_000, 1500)
        clips = ScoredClips(size=size[drawn], score=score[drawn])
        found = estimate_share(clips, first(clips, label[drawn], 60))
        held.append(found.low <= truth <= found.high)
        narrower.append(1 - width(found) / width(found, alone=True))
    error = stats.norm.ppf(0.999) * np.sqrt(0.95 * 0.05 / 300)
    assert np.mean(held) == pytest.approx(0.95, abs=error)
    assert np.mean(narrower) > 0.25
