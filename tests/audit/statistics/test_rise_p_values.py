"""Whether a rate rose by more than chance, and by more than nights differ by themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from artifactscan.audit.statistics.rise_p_values import dispersion, rise_p_values

NIGHTS = 14


def p_value(flagged: int, videos: int, base_flagged: int, base_videos: int, spread: float = 1, degrees=np.inf) -> float:
    counts = (np.array([count]) for count in (flagged, videos, base_flagged, base_videos))
    return float(rise_p_values(*counts, dispersion=np.array([spread]), degrees=np.array([degrees]))[0])


def quiet(rng: np.random.Generator, cells: int, *, restless: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Flagged of 500 videos and those, (nights, cells), the last night being tonight; nothing rose."""
    odds = 0.05 / 0.95 * np.exp(rng.normal(0, restless, (NIGHTS + 1, cells)))
    return rng.binomial(500, odds / (1 + odds)), np.full((NIGHTS + 1, cells), 500)


def p_values_of(flagged: np.ndarray, videos: np.ndarray) -> np.ndarray:
    spread, degrees = dispersion(flagged[:-1], videos[:-1])
    base = flagged[:-1].sum(axis=0), videos[:-1].sum(axis=0)
    return rise_p_values(flagged[-1], videos[-1], *base, dispersion=spread, degrees=degrees)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_without_dispersion_it_is_fishers_exact_test(videos: int, base_videos: int, data: st.DataObject) -> None:
    flagged, base_flagged = data.draw(st.integers(0, videos)), data.draw(st.integers(0, base_videos))
    table = [[flagged, videos - flagged], [base_flagged, base_videos - base_flagged]]
    exact = stats.fisher_exact(table, alternative="greater").pvalue
    assert p_value(flagged, videos, base_flagged, base_videos) == pytest.approx(exact)
    assert p_value(flagged, videos, base_flagged, base_videos, np.nan) == pytest.approx(exact)


def test_p_values_of_millions_of_videos() -> None:
    assert p_value(52_000, 1_000_000, 700_000, 14_000_000) == pytest.approx(6e-17, rel=1)
    assert p_value(50_000, 1_000_000, 700_000, 14_000_000) == pytest.approx(0.5, abs=0.01)


def test_with_dispersion_it_is_the_test_of_proportions_with_a_larger_error() -> None:
    """Set against the textbook's z test, which is the same where rates are not near 0 or 1."""
    z = (0.55 - 0.5) / np.sqrt(3 * 0.503 * 0.497 * (1 / 1000 + 1 / 14000))
    assert p_value(550, 1000, 7000, 14000, 3) == pytest.approx(stats.norm.sf(z), rel=0.02)
    assert p_value(550, 1000, 7000, 14000, 3, 13) == pytest.approx(stats.t.sf(z, 13), rel=0.02)


@given(st.integers(0, 49), st.sampled_from([1.0, 2.5]))
def test_p_value_falls_with_the_flagged_videos(flagged: int, spread: float) -> None:
    assert p_value(flagged + 1, 50, 30, 700, spread) < p_value(flagged, 50, 30, 700, spread)


def test_dispersion_of_a_single_cell() -> None:
    flagged = np.array([[5, 25], [5, 2], [6, 30], [5, 3]])
    videos = np.array([[100, 120], [100, 90], [110, 130], [100, 100]])
    spread, degrees = dispersion(flagged, videos)
    table = np.stack([flagged[:, 1], videos[:, 1] - flagged[:, 1]])
    alone = stats.chi2_contingency(table, correction=False)
    assert spread[1] == pytest.approx(alone.statistic / 3)
    assert degrees.tolist() == [np.inf, 3]


def test_common_dispersion_of_all_cells() -> None:
    """16 cells whose variance is one and a half times the binomial, which most of them alone do not show."""
    rng = np.random.default_rng(4)
    flagged, videos = quiet(rng, 16, restless=0.15)
    spread, degrees = dispersion(flagged[:-1], videos[:-1])
    chi_square = [
        stats.chi2_contingency(np.stack([one, 500 - one]), correction=False).statistic for one in flagged[:-1].T
    ]
    alone = stats.chi2.sf(chi_square, 13) < 0.01
    assert alone.sum() < 5
    assert spread[~alone] == pytest.approx(np.median(chi_square) / stats.chi2.median(13))
    assert 1.2 < spread[~alone][0] < 2
    assert np.isinf(degrees[~alone]).all()


def test_one_dispersed_cell_does_not_affect_the_others() -> None:
    rng = np.random.default_rng(1)
    flagged, videos = quiet(rng, 16)
    flagged[:, 3] = rng.permutation([5, 45] * 7 + [25])
    spread, degrees = dispersion(flagged[:-1], videos[:-1])
    assert spread[3] > 5
    assert degrees[3] == 13
    assert (np.delete(spread, 3) < 1.25).all()
    chi_square = [stats.chi2_contingency(np.stack([one, 500 - one])).statistic for one in flagged[:-1].T]
    assert np.mean(chi_square) / 13 > 1.5


def test_a_step_between_runs_is_no_dispersion() -> None:
    rng = np.random.default_rng(2)
    videos = np.full((12, 16), 500)
    flagged = rng.binomial(500, np.repeat([0.05, 0.10], 6)[:, None] * np.ones(16))
    assert dispersion(flagged, videos)[0].min() > 2
    spread, degrees = dispersion(flagged, videos, runs=np.repeat([0, 1], 6))
    assert spread.max() < 1.3
    assert np.isinf(degrees).all()
    flagged[:, 0] = [5, 45] * 6
    spread, degrees = dispersion(flagged, videos, runs=np.repeat([0, 1], 6))
    halves = [
        stats.chi2_contingency(np.stack([part, 500 - part])).statistic for part in (flagged[:6, 0], flagged[6:, 0])
    ]
    assert (spread[0], degrees[0]) == (pytest.approx(sum(halves) / 10), 10)
    assert np.isnan(dispersion(flagged[:2], videos[:2], runs=np.array([0, 1]))[0]).all()


def test_nested_cells_are_found_dispersed_no_more_often_than_others() -> None:
    """Of 1,000 quiet corpora, where every cell is there three times, as a group with one version is."""
    rng, found = np.random.default_rng(3), {"kinds": 0, "none": 0}
    for _ in range(1000):
        flagged, videos = (np.tile(counts[:-1, :4], 3) for counts in quiet(rng, 4))
        kinds = np.repeat([0, 1, 2], 4)
        alone = stats.chi2.sf([stats.chi2_contingency([one, 500 - one])[0] for one in flagged[:, :4].T], 13) < 0.01
        if not alone.any():
            found["kinds"] += dispersion(flagged, videos, kinds=kinds)[0].max() > 1
            found["none"] += dispersion(flagged, videos)[0].max() > 1
    assert found["kinds"] < 60
    assert found["none"] > 100


def test_a_large_group_is_as_dispersed_as_the_groups_of_its_kind() -> None:
    """Where rates of the whole corpus move, the cells of all videos are more dispersed than those of a part."""
    rng = np.random.default_rng(5)
    odds = 0.05 / 0.95 * np.exp(rng.normal(0, 0.42, (14, 4, 1)))
    thirds = rng.binomial(167, np.broadcast_to(odds / (1 + odds), (14, 4, 3))).reshape(14, 12)
    flagged = np.concatenate([thirds.reshape(14, 4, 3).sum(axis=2), thirds], axis=1)
    videos = np.broadcast_to(np.repeat([501, 167], [4, 12]), flagged.shape)
    together = dispersion(flagged, videos)[0]
    by_kind = dispersion(flagged, videos, kinds=np.repeat([0, 1], [4, 12]))[0]
    assert (by_kind >= together).all()
    assert by_kind[:4].min() > together[:4].min()


def test_cells_without_information_have_dispersion_1() -> None:
    never, always, single = [0, 0, 0], [9, 8, 7], [4, 0, 0]
    spread, degrees = dispersion(np.array([never, always, single]).T, np.array([[9, 8, 7], always, [9, 0, 0]]).T)
    assert spread.tolist() == [1, 1, 1]
    assert np.isinf(degrees).all()
    spread, _ = dispersion(np.array([[4, 2]]), np.array([[9, 9]]))
    assert np.isnan(spread).all()


def test_false_alarm_rate_with_and_without_dispersion() -> None:
    """Share of 12 cells with a p value of 1 % or less; Fisher's test alone cries wolf where nights differ."""
    rng = np.random.default_rng(0)
    alarms: dict[float, list[float]] = {}
    for restless in (0.0, 0.2, 0.4):
        ours, fishers = [], []
        for _ in range(300):
            flagged, videos = quiet(rng, 12, restless=restless)
            ours.append(np.mean(p_values_of(flagged, videos) <= 0.01))
            base = flagged[:-1].sum(axis=0), videos[:-1].sum(axis=0)
            exact = rise_p_values(flagged[-1], videos[-1], *base, dispersion=np.ones(12), degrees=np.ones(12))
            fishers.append(np.mean(exact <= 0.01))
        alarms[restless] = [float(np.mean(ours)), float(np.mean(fishers))]
    assert alarms[0.0] == pytest.approx([0.007, 0.007], abs=0.004)
    assert [alarms[restless][0] for restless in (0.2, 0.4)] == pytest.approx([0.008, 0.008], abs=0.006)
    assert alarms[0.2][1] > 0.03
    assert alarms[0.4][1] > 0.1
