"""The threshold of one label: the least probability at which a frame counts as showing it."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_curve

from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import DEFAULT_THRESHOLD


@dataclass(frozen=True, kw_only=True)
class ThresholdGoal:
    """What thresholds are chosen for."""

    precision: float | None = None
    """Least precision, at the best recall that has it; None: the best F1."""

    def __post_init__(self) -> None:
        if self.precision is not None and not 0 < self.precision <= 1:
            raise UsageError(
                f"threshold goal precision={self.precision} is out of range; give a share above 0, at most 1"
            )

    def __str__(self) -> str:
        return "f1" if self.precision is None else f"precision={self.precision:g}"


@dataclass(frozen=True, kw_only=True)
class ChosenThreshold:
    """A threshold and its metrics on the frames it was chosen on."""

    threshold: float
    precision: float
    """NaN, like recall and F1, where the frames have one class only."""
    recall: float
    f1: float
    reached: bool
    """False where no threshold reaches the goal; then it is the one with the highest precision, or the default."""


def parse_goal(text: str) -> ThresholdGoal:
    """``f1`` or ``precision=0.9``; UsageError for anything else."""
    if text == "f1":
        return ThresholdGoal()
    name, _, share = text.partition("=")
    try:
        if name != "precision":
            raise ValueError
        return ThresholdGoal(precision=float(share))
    except ValueError:
        raise UsageError(f"threshold goal {text!r} is not known; give f1 or, for example, precision=0.9") from None


def choose_threshold(p: np.ndarray, y: np.ndarray, goal: ThresholdGoal) -> ChosenThreshold:
    """Chooses on frames that are neither training nor test.

    ``p`` float32 (frames,) in 0..1, ``y`` bool (frames,). For F1: the best threshold, the highest of equals. For a
    precision: the lowest threshold that reaches it, or else the one with the highest precision, the lowest of equals.
    For frames of one class only: DEFAULT_THRESHOLD.
    """
    if not len(y) or y.all() or not y.any():
        nan = float("nan")
        return ChosenThreshold(threshold=DEFAULT_THRESHOLD, precision=nan, recall=nan, f1=nan, reached=False)
    precision, recall, scores = precision_recall_curve(y, p)
    precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    reached = True
    if goal.precision is None:
        at = len(f1) - 1 - int(np.argmax(f1[::-1]))
    elif reached := bool((precision >= goal.precision).any()):
        at = int(np.argmax(precision >= goal.precision))
    else:
        at = int(np.argmax(precision))
    return ChosenThreshold(
        threshold=_threshold_below(scores, at),
        precision=float(precision[at]),
        recall=float(recall[at]),
        f1=float(f1[at]),
        reached=reached,
    )


def _threshold_below(scores: np.ndarray, at: int) -> float:
    """The float32 halfway from ``scores[at]`` to the next lower score, or to 0.

    It decides these frames as ``scores[at]`` itself would, but does not depend on rounding errors of that score.
    """
    lower = scores[at - 1] if at else np.float32(0)
    middle = np.float32((float(scores[at]) + float(lower)) / 2)
    return float(middle if middle > lower else scores[at])
