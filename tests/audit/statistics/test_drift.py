"""How far scores moved, shown beside the rates."""

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, video
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from artifactscan.audit.night_tables import ARRIVALS, CELLS
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.drift import add_drift, population_stability_index
from artifactscan.audit.statistics.flag_rates import measure_rates
from artifactscan.labels import LABELS

scores = st.lists(st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40)


def night(peaks: np.ndarray, groups: tuple[str, ...] = ()) -> pa.Table:
    return arrived(*[video(groups=groups, peak=float(peak)) for peak in peaks])


def test_the_index_by_hand() -> None:
    before = np.arange(1, 101) / 100  # ten scores up to each decile
    now = np.concatenate([np.full(30, 0.05), np.full(10, 0.95), np.linspace(0.11, 0.89, 60)])
    ends = np.arange(1, 10) / 10
    shares = np.bincount(np.searchsorted(ends, now), minlength=10) / 100
    assert shares[[0, 9]].tolist() == [0.3, 0.1]
    assert population_stability_index(now, before) == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum())


def test_an_empty_bin_counts_as_half_a_video() -> None:
    before = np.arange(1, 101) / 100
    now = before[before > 0.1]
    expected = (0.5 / 90 - 0.1) * np.log(0.5 / 90 / 0.1) + 9 * (1 / 9 - 0.1) * np.log(1 / 0.9)
    assert population_stability_index(now, before) == pytest.approx(expected)


def test_a_score_that_most_videos_have_is_a_bin_of_its_own() -> None:
    """Bins that end at deciles alone would put all of it in one."""
    before = np.concatenate([np.full(90, 1.0), np.full(10, 0.2)])
    now = np.concatenate([np.full(40, 1.0), np.full(60, 0.9)])
    assert population_stability_index(before, before) == 0
    assert population_stability_index(now, before) == pytest.approx(
        (0.4 - 0.9) * np.log(0.4 / 0.9) + (0.005 - 0.1) * np.log(0.005 / 0.1) + (0.6 - 0.005) * np.log(0.6 / 0.005)
    )


@given(scores, scores)
def test_the_index_is_a_distance(now: list[float], before: list[float]) -> None:
    assert population_stability_index(np.array(before), np.array(before)) == 0
    assert 0 <= population_stability_index(np.array(now), np.array(before)) < 100


def test_the_index_without_drift_has_its_expected_size() -> None:
    rng = np.random.default_rng(0)
    found = [population_stability_index(rng.random(200), rng.random(2000)) for _ in range(400)]
    assert np.mean(found) == pytest.approx(9 * (1 / 200 + 1 / 2000), rel=0.1)


def test_cells_are_filled_in() -> None:
    rng = np.random.default_rng(0)
    peaks = {group: rng.beta(1, 8, (3, 60)) for group in ("a=1", "a=2")}
    moved = 0.3 + 0.7 * peaks["a=1"][0]
    tonight = pa.concat_tables([night(moved, ("a=1",)), night(peaks["a=2"][0], ("a=2",))])
    baseline = {
        f"n{i}": pa.concat_tables([night(peaks[group][i], (group,)) for group in ("a=1", "a=2")]) for i in (1, 2)
    }
    cells = add_drift(measure_rates(tonight, baseline, Policy(), resamples=20), tonight, baseline)
    assert cells.schema == CELLS
    rows = {(row["label"], row["group"]): row for row in cells.to_pylist()}
    before = np.float32(peaks["a=1"][1:].ravel())
    expected = stats.ks_2samp(np.float32(moved), before, method="asymp")
    for label in LABELS:
        row = rows[label, "a=1"]
        assert row["ks"] == pytest.approx(expected.statistic)
        assert row["psi"] == pytest.approx(population_stability_index(np.float32(moved), before))
        assert row["psi"] > 1
        assert row["ks_q_value"] < 1e-6
        assert rows[label, "a=2"]["ks_q_value"] > 0.05
        assert rows[label, "all"]["ks"] == pytest.approx(
            stats.ks_2samp(
                np.float32(np.concatenate([moved, peaks["a=2"][0]])),
                np.float32(np.concatenate([peaks[group][1:].ravel() for group in peaks])),
            ).statistic
        )
    p_values = [
        stats.ks_2samp(
            np.float32(now), np.float32(np.concatenate([peaks[group][1:].ravel() for group in groups])), method="asymp"
        ).pvalue
        for groups, now in (
            (("a=1", "a=2"), np.concatenate([moved, peaks["a=2"][0]])),
            (("a=1",), moved),
            (("a=2",), peaks["a=2"][0]),
        )
    ]
    assert cells["ks_q_value"].to_pylist() == pytest.approx(stats.false_discovery_control(p_values * 4))


def test_untested_cells_have_no_drift() -> None:
    tonight = pa.concat_tables([night(np.full(40, 0.2), ("a=1",)), night(np.full(5, 0.2), ("a=2",))])
    baseline = {"n1": night(np.full(40, 0.2), ("a=1",))}
    cells = add_drift(measure_rates(tonight, baseline, Policy(), resamples=20), tonight, baseline)
    rows = {row["group"]: row for row in cells.to_pylist()}
    assert (rows["a=1"]["psi"], rows["a=1"]["ks"], rows["a=1"]["ks_q_value"]) == (0, 0, 1)
    assert [rows["a=2"][name] for name in ("psi", "ks", "ks_q_value")] == [None] * 3
    for arrivals, earlier in ((tonight, {}), (ARRIVALS.empty_table(), baseline)):
        cells = measure_rates(arrivals, earlier, Policy(), resamples=20)
        assert add_drift(cells, arrivals, earlier).equals(cells)


def test_one_video_against_one_cannot_be_compared() -> None:
    tonight = pa.concat_tables([night(np.array([0.2]), ("a=1",)), night(np.array([0.2, 0.3]), ("a=2",))])
    cells = measure_rates(tonight, {"n1": tonight}, Policy(min_videos=1), resamples=20)
    rows = {row["group"]: row for row in add_drift(cells, tonight, {"n1": tonight}).to_pylist()}
    assert [rows["a=1"][name] for name in ("psi", "ks", "ks_q_value")] == [None] * 3
    assert [rows["a=2"][name] for name in ("psi", "ks", "ks_q_value")] == [0, 0, 1]
    lone = night(np.array([0.2]))
    cells = measure_rates(lone, {"n1": lone}, Policy(min_videos=1), resamples=20)
    assert add_drift(cells, lone, {"n1": lone}).equals(cells)
