"""Whether a judge may change a verdict: its average precision on human labels against the scorer's.

The rule: a judge counts for nothing until its macro average precision exceeds the scorer's on the same frames, with an
interval of the difference, from a paired bootstrap over clips, that lies above zero.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artifactscan.annotation.labels_table import labelled_by_judge
from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings, bootstrap
from artifactscan.evaluation.label_metrics import LABEL_METRICS, ScoredFrames, compute_metrics, has_both_classes
from artifactscan.labels import LABELS, MAX_SEVERITY, SCORE_COLUMNS, SEVERITY_COLUMNS
from artifactscan.messages.text import printable

_AVERAGE_PRECISION = LABEL_METRICS.index("average_precision")
MIN_CLIPS = 10
"""An interval from fewer clips is too narrow: from two, 8 of 60 judges that guess were said to beat the scorer."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Average precision of a judge and a scorer, and the interval of the difference; NaN where it is undefined."""

    judge: float
    scorer: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.judge - self.scorer


@dataclass(frozen=True, kw_only=True)
class JudgeComparison:
    """A judge and a scorer on the same labelled frames."""

    frames: int
    clips: int
    macro: PairedDifference
    """Mean over the labels that the frames have in both classes."""
    labels: dict[str, PairedDifference]
    """By label; those that the frames have in one class only are absent."""
    confidence: float

    @property
    def earned(self) -> bool:
        """Whether the judge may change a verdict."""
        return self.macro.low > 0


def compare_with_scorer(
    human: pa.Table, judged: pa.Table, scored: pa.Table, settings: BootstrapSettings | None = None
) -> JudgeComparison:
    """Compares a judge with a scorer on the frames that all three tables have.

    ``human``: LABELLED rows, one per frame; ``judged``: file, frame_index and severities, rows without grades are left
    out; ``scored``: file, frame_index and the SCORE_COLUMNS, likewise. The same resamples of clips serve both.
    UsageError where there is no such frame, fewer than MIN_CLIPS clips, no label in both classes, or a row of
    ``human`` by a judge.
    """
    check_by_people(human, "the labels to compare with")
    settings = settings or BootstrapSettings()
    y, grades, scores = (
        _by_frame(table, columns)
        for table, columns in ((human, LABELS), (judged, SEVERITY_COLUMNS), (scored, SCORE_COLUMNS))
    )
    frames = sorted(y.keys() & grades.keys() & scores.keys())
    clips = np.array([file for file, _ in frames], dtype=object)
    _check_frames(frames, len(set(clips)), y.keys() & grades.keys())
    truth = np.array([y[frame] for frame in frames]) == 1
    severities = np.array([grades[frame] for frame in frames], np.float32) / MAX_SEVERITY
    probabilities = np.array([scores[frame] for frame in frames], np.float32)
    both = has_both_classes(truth)
    if not both.any():
        raise UsageError("no label is both there and absent in the labelled frames; label more of them")
    (judge, judge_resampled), (scorer, scorer_resampled) = (
        _average_precisions(truth, values, clips, settings) for values in (severities, probabilities)
    )
    differences = judge_resampled - scorer_resampled
    labels = {
        label: _paired(judge[n], scorer[n], differences[:, n], settings.confidence)
        for n, label in enumerate(LABELS)
        if both[n]
    }
    macro = _paired(judge[both].mean(), scorer[both].mean(), differences[:, both].mean(axis=1), settings.confidence)
    return JudgeComparison(
        frames=len(frames), clips=len(set(clips)), macro=macro, labels=labels, confidence=settings.confidence
    )


def check_by_people(labels: pa.Table, source: str) -> None:
    """UsageError where a judge labelled a row of LABELLED ``labels``, alone or merged with people."""
    by_judge = labels.filter(labelled_by_judge(labels))
    if by_judge.num_rows:
        raise UsageError(
            f"{source} have {by_judge.num_rows:,} rows by {printable(by_judge['annotator'][0].as_py(), 80)}, which are "
            "not labels by people alone; remove them"
        )


def _by_frame(table: pa.Table, columns: tuple[str, ...]) -> dict[tuple[str, int], list[float]]:
    """file and frame_index → the values of ``columns``, of the rows that have all of them."""
    rows = table.select(["file", "frame_index", *columns]).to_pylist()
    return {
        (row["file"], row["frame_index"]): [row[column] for column in columns]
        for row in rows
        if all(row[column] is not None for column in columns)
    }


def _check_frames(frames: list[tuple[str, int]], clips: int, judged: set[tuple[str, int]]) -> None:
    if judged and not frames:
        raise UsageError(
            "the labelled frames that were judged have no scores to compare with; extract them with --checkpoint"
        )
    if not frames:
        raise UsageError("no labelled frame was judged; give labels of the frames in the index")
    if clips < MIN_CLIPS:
        raise UsageError(f"the labelled frames that were judged are of {clips} clips; an interval needs {MIN_CLIPS}")


def _average_precisions(
    y: np.ndarray, values: np.ndarray, clips: np.ndarray, settings: BootstrapSettings
) -> tuple[np.ndarray, np.ndarray]:
    """float64 (labels,) and, of each resample, (resamples, labels)."""
    frames = ScoredFrames(y=y, p=values, flags=values >= 0.5)
    resampled = bootstrap(frames, clips, settings).by_label
    return compute_metrics(frames).by_label[_AVERAGE_PRECISION], resampled[:, _AVERAGE_PRECISION]


def _paired(judge: float, scorer: float, differences: np.ndarray, confidence: float) -> PairedDifference:
    defined = differences[np.isfinite(differences)]
    low = high = float("nan")
    if len(defined) >= max(1, len(differences) / 2):
        tail = (1 - confidence) / 2
        low, high = map(float, np.quantile(defined, [tail, 1 - tail]))
    return PairedDifference(judge=float(judge), scorer=float(scorer), low=low, high=high)
