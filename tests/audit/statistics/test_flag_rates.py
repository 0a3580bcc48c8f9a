"""A night's rates per label and group against a baseline."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, many, video
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from artifactscan.audit.night_tables import ALL, ARRIVALS, CELLS
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.flag_rates import measure_rates
from artifactscan.audit.statistics.rise_p_values import dispersion
from artifactscan.labels import LABELS

ANY = Policy(min_videos=1)
TESTED = ("change", "change_low", "change_high", "frame_change", "dispersion", "p_value", "q_value")

videos = st.builds(
    lambda groups, outcome, frames, over: video(
        groups=groups,
        outcome=outcome,
        frames=frames,
        **{label: min(count, frames) for label, count in zip(LABELS, over, strict=True)},
    ),
    st.lists(st.sampled_from(["a=1", "a=2", "b=1"]), unique=True),
    st.sampled_from(["scored", "scored", "partial", "undecodable"]),
    st.integers(0, 4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)


def cell(cells: pa.Table, label: str = "motion", group: str = ALL) -> dict[str, Any]:
    [found] = [row for row in cells.to_pylist() if (row["label"], row["group"]) == (label, group)]
    return found


def nights(*flagged: int, videos: int = 100, groups: Sequence[str] = ()) -> dict[str, pa.Table]:
    return {f"night{i}": many(videos, count, groups=groups) for i, count in enumerate(flagged)}


@settings(max_examples=40)
@given(st.lists(videos, max_size=8), st.lists(st.lists(videos, max_size=5), max_size=3))
def test_counts_and_rates_are_those_of_counting(tonight: list[dict], baseline: list[list[dict]]) -> None:
    cells = measure_rates(
        arrived(*tonight), {str(i): arrived(*night) for i, night in enumerate(baseline)}, ANY, resamples=20
    )
    assert cells.schema == CELLS
    groups = [ALL, *sorted({group for row in tonight for group in row["groups"]})]
    assert [(row["label"], row["group"]) for row in cells.to_pylist()] == [(x, y) for x in LABELS for y in groups]
    for row in cells.to_pylist():
        sides = []
        for rows in (tonight, [row for night in baseline for row in night]):
            of = [one for one in rows if row["group"] == ALL or row["group"] in one["groups"]]
            of = [one for one in of if one["outcome"] != "undecodable" and one["frames"]]
            flagged = sum(one[f"events_{row['label']}"] > 0 for one in of)
            over = sum(one[f"frames_over_{row['label']}"] for one in of)
            frames = sum(one["frames"] for one in of)
            sides.append((len(of), flagged, frames, over))
        (count, flagged, frames, over), (base_count, base_flagged, base_frames, base_over) = sides
        assert (row["videos"], row["flagged"], row["frames"], row["frames_over"]) == (count, flagged, frames, over)
        assert (row["base_videos"], row["base_flagged"]) == (base_count, base_flagged)
        assert row["rate"] == (pytest.approx(flagged / count) if count else None)
        assert row["frame_rate"] == (pytest.approx(over / frames) if count else None)
        assert row["base_rate"] == (pytest.approx(base_flagged / base_count) if base_count else None)
        assert row["base_frame_rate"] == (pytest.approx(base_over / base_frames) if base_count else None)
        for name in ("rate", "frame_rate", "change", "frame_change"):
            if row[name] is not None:
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert (row["untested"] is None) == bool(count and base_count)
        assert all((row[name] is None) == (row["untested"] is not None) for name in TESTED if name != "dispersion")
        if row["untested"] is None:
            assert row["change"] == pytest.approx(row["rate"] - row["base_rate"])
            assert row["frame_change"] == pytest.approx(row["frame_rate"] - row["base_frame_rate"])
        assert all(row[name] is None for name in ("psi", "ks", "ks_q_value"))


def test_a_rise_by_hand() -> None:
    row = cell(measure_rates(many(100, 15), nights(5, 4, 6, 5), Policy()))
    exact = stats.fisher_exact([[15, 85], [20, 380]], alternative="greater").pvalue
    assert (row["rate"], row["base_rate"], row["change"], row["dispersion"]) == pytest.approx((0.15, 0.05, 0.10, 1))
    assert row["p_value"] == pytest.approx(exact)
    # The other three labels have no event in any night.
    assert row["q_value"] == pytest.approx(4 * exact)
    assert (row["rate_low"], row["rate_high"]) == pytest.approx(stats.binom.ppf([0.025, 0.975], 100, 0.15) / 100)
    # The normal approximation of the difference of two proportions.
    half = 1.96 * np.sqrt(0.15 * 0.85 / 100 + 0.05 * 0.95 / 400)
    assert (row["change_low"], row["change_high"]) == pytest.approx((0.1 - half, 0.1 + half), abs=0.012)
    # Each flagged video has 2 of 10 frames over.
    assert (row["frame_rate"], row["frame_change"]) == pytest.approx((0.03, 0.02))
    assert (row["frame_change_low"], row["frame_change_high"]) == pytest.approx(
        (0.2 * (0.1 - half), 0.2 * (0.1 + half)), abs=0.0025
    )


def test_q_values_are_over_all_tested_cells() -> None:
    groups = [f"a={i}" for i in range(4)]
    tonight = pa.concat_tables([many(60, 3 + 2 * i, groups=[group]) for i, group in enumerate(groups)])
    baseline = {
        night: pa.concat_tables([many(60 if i else 10, 3, groups=[group]) for i, group in enumerate(groups)])
        for night in ("n1", "n2")
    }
    cells = measure_rates(tonight, baseline, Policy())
    tested = [row for row in cells.to_pylist() if row["untested"] is None]
    assert len(tested) == 4 * 4
    expected = stats.false_discovery_control([row["p_value"] for row in tested])
    assert [row["q_value"] for row in tested] == pytest.approx(expected)


def test_dispersion_makes_the_test_stricter_and_the_interval_wider() -> None:
    steady = cell(measure_rates(many(100, 30), nights(18, 20, 22, 20), Policy()))
    row = cell(measure_rates(many(100, 30), nights(2, 40, 3, 35), Policy()))
    assert row["change"] == steady["change"]
    spread, degrees = dispersion(np.array([[2], [40], [3], [35]]), np.full((4, 1), 100))
    assert row["dispersion"] == pytest.approx(spread[0])
    assert degrees[0] == 3
    assert steady["p_value"] < 0.03
    assert row["p_value"] > 0.3
    assert row["change_high"] - row["change"] == pytest.approx(
        np.sqrt(spread[0]) * (steady["change_high"] - steady["change"]), rel=1e-9
    )


def test_worse_nights_in_a_row_tell_how_much_nights_differ() -> None:
    """Their level does not: it may be a rise that stays."""
    before = nights(20, 22, 18, 20)
    steady, restless = (list(nights(*flagged).values()) for flagged in ((60, 61, 59, 60), (30, 90, 35, 85)))
    alone = cell(measure_rates(many(100, 35), before, Policy()))
    for run, wider in ((steady, False), (restless, True)):
        named = [{f"worse{n}": arrivals for n, arrivals in enumerate(run)}]
        row = cell(measure_rates(many(100, 35), before, Policy(), worse_runs=named))
        assert (row["base_videos"], row["base_flagged"], row["change"]) == (400, 80, alone["change"])
        assert (row["dispersion"] > 5) == (row["p_value"] > 0.05) == wider
    assert alone["p_value"] < 0.01


def test_one_baseline_night_has_no_dispersion() -> None:
    row = cell(measure_rates(many(100, 15), nights(5), Policy()))
    assert row["dispersion"] is None
    assert row["p_value"] == pytest.approx(stats.fisher_exact([[15, 85], [5, 95]], alternative="greater").pvalue)


@pytest.mark.parametrize(
    ("tonight", "before", "reason"),
    [
        (29, 30, "fewer than 30 scored videos: 29 tonight"),
        (30, 29, "fewer than 30 scored videos: 29 in the baseline"),
        (0, 0, "fewer than 30 scored videos: 0 tonight and 0 in the baseline"),
        (30, 30, None),
    ],
)
def test_a_group_with_few_videos_is_not_compared_and_says_so(tonight: int, before: int, reason: str | None) -> None:
    failures = [video(groups=["a=1"], outcome="undecodable", frames=0) for _ in range(50)]
    rows = pa.concat_tables([many(tonight, 0, groups=["a=1"]), arrived(*failures)])
    row = cell(measure_rates(rows, nights(0, videos=before, groups=["a=1"]), Policy()), group="a=1")
    assert row["untested"] == reason
    assert (row["q_value"] is None) == (reason is not None)


def test_a_first_night() -> None:
    row = cell(measure_rates(many(100, 15), {}, Policy()))
    assert row["untested"] == "no baseline"
    assert (row["rate"], row["base_videos"], row["base_rate"], row["change"]) == (0.15, 0, None, None)
    assert 0.07 < row["rate_low"] < 0.15 < row["rate_high"] < 0.24


def test_a_night_with_nothing_new() -> None:
    cells = measure_rates(ARRIVALS.empty_table(), nights(5), Policy())
    assert cells["group"].to_pylist() == [ALL] * len(LABELS)
    assert cells["untested"].to_pylist() == ["fewer than 30 scored videos: 0 tonight"] * len(LABELS)
    assert cell(cells)["rate"] is None


def test_a_rate_of_zero_has_an_interval() -> None:
    row = cell(measure_rates(many(100, 0), nights(0, 0), Policy()))
    assert (row["rate_low"], row["frame_rate_low"]) == (0, 0)
    assert row["rate_high"] == pytest.approx(stats.binomtest(0, 100).proportion_ci(method="exact").high, abs=0.006)
    assert row["frame_rate_high"] == pytest.approx(row["rate_high"], abs=0.01)
    assert row["change_low"] < 0 < row["change_high"]


def test_the_same_counts_have_the_same_interval() -> None:
    """Two of two videos are the same evidence in every group and for every label."""
    rows = [video(groups=["a=1", "b=1"], motion=3, texture=2), video(groups=["a=1", "b=1"], motion=3, texture=2)]
    cells = measure_rates(arrived(*rows), nights(2, videos=2, groups=["a=1"]), Policy(min_videos=1)).to_pylist()
    for label in ("motion", "texture"):
        ends = {(row["rate_low"], row["rate_high"], row["frame_rate_low"]) for row in cells if row["label"] == label}
        assert len(ends) == 1
    [(low, high)] = {(row["rate_low"], row["rate_high"]) for row in cells if row["label"] in ("motion", "texture")}
    assert (low, high) == (pytest.approx(stats.binomtest(2, 2).proportion_ci().low, abs=0.002), 1.0)
    tested = next(row for row in cells if (row["label"], row["group"]) == ("motion", "a=1"))
    assert tested["change_low"] < 0 < tested["change_high"], "tonight and the baseline are drawn apart"


def test_the_seed_decides() -> None:
    def measured(seed: int) -> pa.Table:
        return measure_rates(many(100, 15), nights(5, 4), Policy(), seed=seed)

    assert measured(1).equals(measured(1))
    assert not measured(1).equals(measured(2))


def test_measuring_takes_linear_time() -> None:
    """200,000 arrivals in 50 groups, against two nights of as many; a loop over videos takes minutes."""
    rng = np.random.default_rng(0)
    one_each = pa.concat_tables([many(20, 2, groups=[f"a={i}"], frames=8 + i) for i in range(50)])
    night = one_each.take(pa.array(rng.integers(0, one_each.num_rows, 200_000)))
    begun = time.process_time()
    cells = measure_rates(night, {"n1": night, "n2": night}, Policy())
    assert time.process_time() - begun < 30
    assert cells.num_rows == 51 * len(LABELS)
