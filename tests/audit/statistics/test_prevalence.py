"""Flag rates corrected by human labels."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, video

from artifactscan.audit.night_tables import ARRIVALS, PREVALENCE
from artifactscan.audit.statistics.prevalence import estimate_prevalence, rogan_gladen
from artifactscan.labels import LABELS


def labelled(*frames: tuple[str, int, bool]) -> pa.Table:
    """Video, human label and flag of each frame, the same for every label of LABELS."""
    columns: dict[str, Any] = {"video": pa.array([video for video, _, _ in frames], pa.string())}
    for label in LABELS:
        columns[f"y_{label}"] = pa.array([y for _, y, _ in frames], pa.int8())
        columns[f"flagged_{label}"] = pa.array([flag for _, _, flag in frames], pa.bool_())
    return pa.table(columns)


def motion(found: pa.Table) -> dict[str, Any]:
    [row] = [row for row in found.to_pylist() if row["label"] == "motion"]
    return row


def sample(videos: int, frames: int, *, sensitivity: float, specificity: float, share: float, seed: int) -> pa.Table:
    """Videos that differ in how much of them shows the label."""
    rng = np.random.default_rng(seed)
    truth = rng.random((videos, frames)) < rng.beta(share, 1 - share, (videos, 1))
    flagged = rng.random((videos, frames)) < np.where(truth, sensitivity, 1 - specificity)
    return labelled(*[(f"v{i}", int(truth[i, j]), bool(flagged[i, j])) for i in range(videos) for j in range(frames)])


NIGHT = arrived(*[video(motion=4)] * 30, *[video()] * 70)
# 8 of 10 frames that show it are flagged, and 2 of 20 that do not.
SAMPLE = labelled(
    *[(f"v{i}", 1, i != 0) for i in range(5) for _ in range(2)],
    *[(f"v{i}", 0, i == 5) for i in range(5, 15) for _ in range(2)],
)


def test_prevalence_by_hand() -> None:
    found = estimate_prevalence(SAMPLE, NIGHT)
    assert found.schema == PREVALENCE
    assert found["label"].to_pylist() == list(LABELS)
    row = motion(found)
    assert (row["labelled_videos"], row["labelled_frames"], row["reason"]) == (15, 30, None)
    assert (row["sensitivity"], row["specificity"], row["frame_rate"]) == pytest.approx((0.8, 0.9, 0.12))
    assert row["corrected"] == pytest.approx((0.12 - 0.1) / (0.8 - 0.1))
    assert 0 == row["corrected_low"] < row["corrected"] < row["corrected_high"] < 0.35


def test_rogan_gladen_inverts_the_scorer_s_errors() -> None:
    truth, sensitivity, specificity = np.array([0, 0.25, 1]), 0.7, 0.8
    seen = truth * sensitivity + (1 - truth) * (1 - specificity)
    assert rogan_gladen(seen, np.array(sensitivity), np.array(specificity)) == pytest.approx(truth)
    assert rogan_gladen(np.array([0.1, 0.9]), np.array(0.7), np.array(0.8)).tolist() == [0, 1]
    assert np.isnan(rogan_gladen(np.array(0.5), np.array(0.4), np.array(0.6)))


@pytest.mark.parametrize(
    ("table", "arrivals", "reason"),
    [
        (labelled(("v", 0, True)), NIGHT, "no labelled frame shows it, so the sensitivity is not known"),
        (labelled(), NIGHT, "no labelled frame shows it, so the sensitivity is not known"),
        (labelled(("v", 1, True)), NIGHT, "every labelled frame shows it, so the specificity is not known"),
        (
            labelled(("v", 1, True), ("v", 1, False), ("w", 0, True), ("w", 0, False)),
            NIGHT,
            "sensitivity 0.50 and specificity 0.50 sum to 1 or less, so the flags say nothing of it",
        ),
        (SAMPLE, ARRIVALS.empty_table(), "no video has a score tonight"),
        (SAMPLE, arrived(video(outcome="undecodable", frames=0)), "no video has a score tonight"),
    ],
)
def test_an_undefined_estimate_has_a_reason(table: pa.Table, arrivals: pa.Table, reason: str) -> None:
    row = motion(estimate_prevalence(table, arrivals))
    assert row["reason"] == reason
    assert [row[name] for name in ("corrected", "corrected_low", "corrected_high")] == [None] * 3
    assert (row["frame_rate"] is None) == (reason == "no video has a score tonight")
    assert (row["sensitivity"] is None) == ("the sensitivity" in reason)


def test_where_the_flags_say_nothing_the_labels_give_the_estimate() -> None:
    # Every frame is flagged, a quarter of the labelled ones show it.
    table = labelled(*[(f"v{i}", int(i < 20 and j < 2), True) for i in range(40) for j in range(4)])
    row = motion(estimate_prevalence(table, arrived(*[video(motion=10)] * 50)))
    assert row["reason"] == "sensitivity 1.00 and specificity 0.00 sum to 1 or less, so the flags say nothing of it"
    assert (row["method"], row["frame_rate"]) == ("prediction-powered", 1)
    assert row["corrected"] == pytest.approx(0.25)
    assert 0.1 < row["corrected_low"] < 0.25 < row["corrected_high"] < 0.45
    few = motion(estimate_prevalence(table.slice(0, 29 * 4), arrived(*[video(motion=10)] * 50)))
    assert (few["labelled_videos"], few["method"], few["corrected"]) == (29, None, None)
    assert motion(estimate_prevalence(SAMPLE, NIGHT))["method"] == "rogan-gladen"


def test_a_sample_without_errors_still_has_uncertainty() -> None:
    perfect = labelled(*[(f"v{i}", int(i < 10), i < 10) for i in range(20)])
    row = motion(estimate_prevalence(perfect, NIGHT))
    assert (row["sensitivity"], row["specificity"], row["corrected"]) == pytest.approx((1, 1, 0.12))
    # With 10 videos each an error of a quarter of the frames cannot be ruled out.
    assert row["corrected_low"] == 0
    many = labelled(*[(f"v{i}", int(i < 1000), i < 1000) for i in range(2000)])
    row = motion(estimate_prevalence(many, NIGHT))
    # What is left is the variation among the 100 videos of the night, 30 of which have 0.4 of their frames over.
    half = 1.96 * 0.4 * np.sqrt(0.3 * 0.7 / 100)
    assert (row["corrected_low"], row["corrected_high"]) == pytest.approx((0.12 - half, 0.12 + half), abs=0.008)


def test_a_weak_sample_gives_the_whole_range() -> None:
    row = motion(
        estimate_prevalence(labelled(("v", 1, True), ("v", 1, False), ("w", 0, False), ("w", 0, False)), NIGHT)
    )
    assert row["corrected"] == pytest.approx(0.24)
    assert (row["corrected_low"], row["corrected_high"]) == (0, 1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth, sensitivity, specificity = 0.2, 0.8, 0.9
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        table = sample(60, 10, sensitivity=sensitivity, specificity=specificity, share=0.35, seed=seed)
        shows = rng.binomial(10, rng.beta(truth, 1 - truth, 150))
        over = rng.binomial(shows, sensitivity) + rng.binomial(10 - shows, 1 - specificity)
        row = motion(estimate_prevalence(table, arrived(*[video(motion=int(one)) for one in over]), resamples=200))
        covered.append(row["corrected_low"] <= truth <= row["corrected_high"])
    assert np.mean(covered) == pytest.approx(0.94, abs=0.04)


def test_the_seed_decides() -> None:
    assert estimate_prevalence(SAMPLE, NIGHT, seed=1).equals(estimate_prevalence(SAMPLE, NIGHT, seed=1))
    assert not estimate_prevalence(SAMPLE, NIGHT, seed=1).equals(estimate_prevalence(SAMPLE, NIGHT, seed=2))
