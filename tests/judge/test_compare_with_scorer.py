"""A judge changes a verdict only where it beats the scorer on human labels, with an interval above zero."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.judge.compare_with_scorer import JudgeComparison, compare_with_scorer
from artifactscan.labels import LABELS, SCORE_COLUMNS, SEVERITY_COLUMNS

CLIPS, FRAMES = 40, 6
QUICK = BootstrapSettings(resamples=300)


def rows(values: np.ndarray, columns: tuple[str, ...]) -> pa.Table:
    """A table of ``values``, (clips × frames, labels)."""
    keys = [(f"clip{n // FRAMES}.mp4", n % FRAMES) for n in range(len(values))]
    cells = {"file": [file for file, _ in keys], "frame_index": [frame for _, frame in keys]}
    cells |= {"annotator": pa.array(["anna"] * len(keys))}
    return pa.table(cells | {column: list(values[:, n]) for n, column in enumerate(columns)})


def truth(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((CLIPS * FRAMES, len(LABELS))) < 0.3


def grades(y: np.ndarray, flips: float, seed: int = 1) -> np.ndarray:
    """Grades that tell the label, except for a share of ``flips`` drawn at random."""
    noise = np.random.default_rng(seed)
    values = np.where(y, noise.integers(2, 4, y.shape), noise.integers(0, 2, y.shape))
    return np.where(noise.random(y.shape) < flips, noise.integers(0, 4, y.shape), values).astype(float)


def scores(y: np.ndarray, signal: float, seed: int = 2) -> np.ndarray:
    return 1 / (1 + np.exp(-(signal * y + np.random.default_rng(seed).normal(size=y.shape))))


def compare(y: np.ndarray, judged: np.ndarray, scored: np.ndarray) -> JudgeComparison:
    tables = rows(y.astype(int), LABELS), rows(judged, SEVERITY_COLUMNS), rows(scored, SCORE_COLUMNS)
    return compare_with_scorer(*tables, QUICK)


def test_a_judge_that_sees_the_defects_earns_its_say() -> None:
    y = truth()
    judged, scored = grades(y, 0.2), scores(y, 0.5)
    found = compare(y, judged, scored)
    assert found.earned
    assert (found.frames, found.clips, list(found.labels)) == (CLIPS * FRAMES, CLIPS, list(LABELS))
    for n, label in enumerate(LABELS):
        pair = found.labels[label]
        assert pair.judge == pytest.approx(average_precision_score(y[:, n], judged[:, n]), abs=1e-6)
        assert pair.scorer == pytest.approx(average_precision_score(y[:, n], scored[:, n]), abs=1e-6)
        assert pair.low < pair.difference < pair.high
    assert found.macro.judge == pytest.approx(np.mean([pair.judge for pair in found.labels.values()]))


@pytest.mark.parametrize(("flips", "signal"), [(0.97, 1.0), (0.6, 1.4)])
def test_one_that_does_not_earns_none(flips: float, signal: float) -> None:
    y = truth()
    assert not compare(y, grades(y, flips), scores(y, signal)).earned


def test_the_same_values_differ_by_nothing() -> None:
    y = truth()
    judged = grades(y, 0.5)
    macro = compare(y, judged, judged / 3).macro
    assert (macro.difference, macro.low, macro.high) == (0.0, 0.0, 0.0), "paired: the same resamples serve both"


def test_whole_clips_are_resampled() -> None:
    """With every frame of a clip alike there is a sixth of the evidence, and the interval is wider."""
    y = np.repeat(truth()[:CLIPS], FRAMES, axis=0)
    noise = grades(y[::FRAMES], 0.5), scores(y[::FRAMES], 0.5)
    alike = compare(y, *(np.repeat(values, FRAMES, axis=0) for values in noise)).macro
    y = truth()
    apart = compare(y, grades(y, 0.5), scores(y, 0.5)).macro
    assert alike.high - alike.low > 1.5 * (apart.high - apart.low)


def test_frames_without_a_grade_or_a_score_are_left_out() -> None:
    y = truth()
    judged, scored = rows(grades(y, 0.2), SEVERITY_COLUMNS), rows(scores(y, 0.5), SCORE_COLUMNS)
    for n, (table, column) in enumerate(((judged, SEVERITY_COLUMNS[2]), (scored, SCORE_COLUMNS[0]))):
        values: list[float | None] = table[column].to_pylist()
        values[n] = None
        at = table.column_names.index(column)
        judged, scored = (t.set_column(at, column, pa.array(values)) if t is table else t for t in (judged, scored))
    found = compare_with_scorer(rows(y.astype(int), LABELS), judged, scored, QUICK)
    assert found.frames == CLIPS * FRAMES - 2


def test_a_label_in_one_class_only_is_left_out() -> None:
    y = truth()
    y[:, 3] = False
    found = compare(y, grades(y, 0.2), scores(y, 0.5))
    assert list(found.labels) == ["boundary", "texture", "motion"]
    assert found.earned


def test_what_cannot_be_compared_is_one_sentence() -> None:
    y = truth()
    human, judged, scored = (
        rows(y.astype(int), LABELS),
        rows(grades(y, 0), SEVERITY_COLUMNS),
        rows(scores(y, 1), SCORE_COLUMNS),
    )
    with pytest.raises(UsageError, match="no labelled frame was judged; give labels"):
        compare_with_scorer(human, judged.slice(0, 0), scored)
    with pytest.raises(UsageError, match="have no scores to compare with; extract them with --checkpoint"):
        compare_with_scorer(human, judged, scored.slice(0, 0))
    with pytest.raises(UsageError, match="are of 9 clips; an interval needs 10"):
        compare_with_scorer(human.slice(0, 9 * FRAMES), judged, scored)
    with pytest.raises(UsageError, match="no label is both there and absent"):
        compare_with_scorer(rows(np.zeros_like(y, int), LABELS), judged, scored)


@pytest.mark.parametrize("annotator", ["judge:m", "anna; judge:m", "judge:m; anna"])
def test_labels_by_a_judge_are_refused(annotator: str) -> None:
    y = truth()
    human, judged = rows(y.astype(int), LABELS), rows(grades(y, 0.2), SEVERITY_COLUMNS)
    at = human.column_names.index("annotator")
    by_judge = human.set_column(at, "annotator", pa.array([*["anna"] * (y.shape[0] - 2), annotator, annotator]))
    with pytest.raises(UsageError, match=f"have 2 rows by {annotator}, which are not labels by people alone; remove"):
        compare_with_scorer(by_judge, judged, rows(scores(y, 0.5), SCORE_COLUMNS), QUICK)
