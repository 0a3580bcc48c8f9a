"""The annotators' ceiling, against scikit-learn's figures of each direction and against the data's README."""

import csv
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SHARED
from sklearn.metrics import average_precision_score, roc_auc_score

from artifactscan.evaluation.annotator_ceiling import CEILING_METRICS, AnnotatorCeiling, annotator_ceiling
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.labels import LABELS, SEVERITY_COLUMNS

QUICK = BootstrapSettings(resamples=200)
NONE = BootstrapSettings(resamples=0)


def ceiling(grades: np.ndarray, clips: np.ndarray, bootstrap: BootstrapSettings = QUICK) -> AnnotatorCeiling:
    found = annotator_ceiling(grades, clips, bootstrap)
    assert found is not None
    return found


def two_annotators(clips: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grades (2, frames, labels) that agree in part, and the clips of the frames."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, (6 * clips, 4))
    noise = random.integers(-1, 2, (2, 6 * clips, 4))
    return np.clip(truth + noise, 0, 3).astype(float), np.repeat(np.arange(clips), 6)


def test_figures_are_the_mean_of_both_directions() -> None:
    grades, clips = two_annotators()
    found = ceiling(grades, clips, NONE)
    figures = []
    for n, label in enumerate(LABELS):
        each = []
        for a, b in permutations(range(2)):
            score, truth = grades[a, :, n], grades[b, :, n] >= 1.5
            precision = average_precision_score(truth, score)
            each.append((roc_auc_score(truth, score), precision, precision / truth.mean()))
        figures.append(np.mean(each, axis=0))
        assert [found.estimate(metric, label).value for metric in CEILING_METRICS] == pytest.approx(figures[-1])
    assert [found.estimate(metric).value for metric in CEILING_METRICS] == pytest.approx(np.mean(figures, axis=0))
    assert (found.annotators, found.frames, found.clips) == (2, 120, 20)
    assert found.estimate("auroc").low is None


def test_intervals_are_over_clips() -> None:
    grades, clips = two_annotators()
    figure = ceiling(grades, clips).estimate("auroc")
    assert figure.low is not None and figure.high is not None and figure.value is not None
    assert figure.low < figure.value < figure.high
    as_often = np.tile(grades, (1, 5, 1)), np.tile(clips, 5)  # the same clips with five times the frames
    assert ceiling(*as_often).estimate("auroc").low == pytest.approx(figure.low)
    one = ceiling(grades, np.zeros(len(clips))).estimate("auroc")
    assert (one.value, one.low) == (pytest.approx(figure.value), None)


def test_annotators_who_agree_are_a_ceiling_of_one() -> None:
    grades, clips = two_annotators()
    same = ceiling(np.stack([grades[0]] * 3), clips)
    assert [same.estimate(metric, "motion").value for metric in ("auroc", "average_precision")] == [1, 1]
    assert same.estimate("auroc").low == same.estimate("auroc").high == 1


def test_only_frames_that_both_of_a_pair_graded_count() -> None:
    grades, clips = two_annotators()
    holes = grades.copy()
    holes[1, 60:] = np.nan
    holes[0, 0] = np.nan
    found = ceiling(holes, clips, NONE)
    expected = ceiling(grades[:, 1:60], clips[1:60], NONE)
    for key, figure in expected.estimates.items():
        assert found.estimates[key].value == pytest.approx(figure.value)
    assert (found.frames, found.clips) == (59, 10)
    third = np.full_like(grades[:1], np.nan)
    third[0, 60:] = grades[1, 60:]  # one annotator for the first half, another for the second
    pooled = ceiling(
        np.concatenate([np.where(np.arange(120)[:, None] < 60, grades, np.nan)[1:], grades[:1], third]), clips, NONE
    )
    halves = [
        ceiling(grades[:, part], clips[part], NONE).estimate("auroc").value for part in (slice(60), slice(60, None))
    ]
    assert pooled.estimate("auroc").value == pytest.approx(np.mean(np.array(halves, float)))
    assert pooled.annotators == 3


def test_nobody_shares_a_frame() -> None:
    grades, clips = two_annotators()
    grades[0, ::2], grades[1, 1::2] = np.nan, np.nan
    assert annotator_ceiling(grades, clips, QUICK) is None


def test_a_label_of_one_class_is_undefined_and_left_out_of_the_macro() -> None:
    grades, clips = two_annotators()
    grades[:, :, 2] = 0
    found = ceiling(grades, clips)
    assert found.estimate("auroc", "motion").value is None
    rest = [found.estimate("auroc", label).value for label in LABELS if label != "motion"]
    assert found.estimate("auroc").value == pytest.approx(np.mean(np.array(rest, float)))
    assert found.estimate("auroc").low is not None


@settings(max_examples=30, deadline=None)
@given(
    grades=st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.integers(0, 2)), min_size=2, max_size=12
    )
)
def test_figures_are_shares_and_intervals_hold_them_in_order(grades: list) -> None:
    cells = np.array([row for row, _ in grades], float).reshape(-1, 2, 4).transpose(1, 0, 2)
    found = ceiling(cells, np.array([clip for _, clip in grades]), BootstrapSettings(resamples=20))
    swapped = ceiling(cells[::-1], np.array([clip for _, clip in grades]), BootstrapSettings(resamples=20))
    for key, figure in found.estimates.items():
        assert swapped.estimates[key].value == pytest.approx(figure.value), "who is first does not matter"
        if figure.value is not None and key[0] != "average_precision_ratio":
            assert 0 <= figure.value <= 1
        if figure.low is not None and figure.high is not None:
            assert figure.low <= figure.high


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "file", "auroc", "precision"),
    [
        ("gen85", "labels", [0.86, 0.90, 0.90, 0.89, 0.89], [0.56, 0.65, 0.65, 0.69, 0.64]),
        ("sora15", "severity", [0.89, 0.96, 0.88, 0.92, 0.91], [0.61, 0.83, 0.38, 0.69, 0.63]),
    ],
)
def test_the_ceiling_of_the_real_labels(name: str, file: str, auroc: list, precision: list) -> None:
    """gen85: as its README gives it."""
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip("the real clips are not beside the project")
    tables = []
    for one in ("first", "second"):
        with (folder / f"{file}_{one}.csv").open(newline="") as source:
            tables.append(sorted(csv.DictReader(source), key=lambda row: (row["file"], int(row["frame_index"]))))
    grades = np.array([[[float(row[column]) for column in SEVERITY_COLUMNS] for row in table] for table in tables])
    found = ceiling(grades, np.array([row["file"] for row in tables[0]]))
    for metric, expected in (("auroc", auroc), ("average_precision", precision)):
        figures = [found.estimate(metric, label) for label in (*LABELS, "macro")]
        assert [round(figure.value or 0, 2) for figure in figures] == expected
        assert all(figure.low < figure.value < figure.high for figure in figures)  # type: ignore[operator]
