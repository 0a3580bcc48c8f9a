"""The threshold of one label: the least probability at which a frame counts as showing it."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_curve

from artifactscan.errors import UsageError
from artifactscan.model.checkpoint import DEFAULT_THRESHOLD
from artifactscan.model.operating_point import OperatingPoint

MIN_CLIPS_OVER = 3
"""For F1 and precision a threshold is a candidate only where this many clips reach it, or as many as show the label:
the precision over a threshold that two clips reach is chance."""
_KINDS = ("prevalence", "f1", "precision", "recall")
_WITH_SHARE = ("precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What thresholds are chosen for."""

    kind: str = "prevalence"
    """``prevalence``: as many frames flagged as show the label; ``f1``: the best F1; ``precision``: at least ``share``,
    at the best recall that has it; ``recall``: at least ``share``, at the best precision that has it."""
    share: float | None = None
    """Of ``precision`` and ``recall``; else None."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or (self.kind in _WITH_SHARE) != (self.share is not None):
            raise UsageError(
                f"aim {self!s} is not known; give prevalence, f1, or for example precision=0.5 or recall=0.8"
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise UsageError(f"aim {self!s} is out of range; give a share above 0, at most 1")

    def __str__(self) -> str:
        return self.kind if self.share is None else f"{self.kind}={self.share:g}"


@dataclass(frozen=True, kw_only=True)
class ChosenThreshold:
    """A threshold and its metrics on the frames it was chosen on."""

    threshold: float
    precision: float
    """NaN, like recall and F1, where the frames have one class only; NaN too where nothing is flagged."""
    recall: float
    f1: float
    reached: bool
    """False where no threshold reaches the aim."""


def parse_aim(text: str) -> Aim:
    """``prevalence``, ``f1``, ``precision=0.5`` or ``recall=0.8``; UsageError for anything else."""
    kind, equals, share = text.partition("=")
    try:
        return Aim(kind=kind, share=float(share) if equals else None)
    except ValueError:
        raise UsageError(
            f"aim {text} is not known; give prevalence, f1, or for example precision=0.5 or recall=0.8"
        ) from None


def measure_operating_point(y: np.ndarray, flags: np.ndarray, aim: Aim | str) -> OperatingPoint:
    """The operating point of one label: ``y`` and ``flags`` bool (frames,), at least one frame."""
    hits, flagged, positives = int((y & flags).sum()), int(flags.sum()), int(y.sum())
    return OperatingPoint(
        aim=str(aim),
        precision=hits / flagged if flagged else None,
        recall=hits / positives if positives else None,
        flagged_share=flagged / len(y),
        prevalence=positives / len(y),
    )


def choose_threshold(p: np.ndarray, y: np.ndarray, aim: Aim, videos: np.ndarray | None = None) -> ChosenThreshold:
    """Chooses on frames that are neither training nor test.

    ``p`` float32 (frames,) in 0..1, ``y`` bool (frames,), ``videos`` (frames,) names each frame's clip; None: any
    score may become the threshold. For the prevalence: the score that flags a number of frames nearest to that of the
    positives, the highest of equals; where flagging none is nearer still, as too many frames have the same score, not
    reached, with a threshold over all scores, or over all others where the highest score is 1. For a recall: the
    highest score that reaches it. For F1, among the scores that MIN_CLIPS_OVER clips reach: the best, the highest of
    equals. For a precision, among the same: the lowest that reaches it, or else the one with the highest precision, the
    lowest of equals, not reached. For frames of one class only: DEFAULT_THRESHOLD, not reached.
    """
    if not len(y) or y.all() or not y.any():
        nan = float("nan")
        return ChosenThreshold(threshold=DEFAULT_THRESHOLD, precision=nan, recall=nan, f1=nan, reached=False)
    precision, recall, scores = precision_recall_curve(y, p)
    precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
    if videos is not None and aim.kind in ("f1", "precision"):
        candidates = scores <= _highest_candidate(p, y, videos)
        precision, recall, scores = precision[candidates], recall[candidates], scores[candidates]
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    reached = True
    if aim.kind == "prevalence":
        flagged, positives = len(p) - np.searchsorted(np.sort(p), scores), int(y.sum())
        at = _last_largest(-np.abs(flagged - positives))
        if flagged[at] > 2 * positives:
            if over := _threshold_over(p):
                return ChosenThreshold(threshold=over, precision=float("nan"), recall=0.0, f1=0.0, reached=False)
            reached = False
    elif aim.kind == "recall":
        at = _last_largest(recall >= aim.share)
    elif aim.kind == "f1":
        at = _last_largest(f1)
    else:
        reached = bool((precision >= aim.share).any())
        at = int(np.argmax(precision >= aim.share if reached else precision))
    return ChosenThreshold(
        threshold=_threshold_below(scores, at),
        precision=float(precision[at]),
        recall=float(recall[at]),
        f1=float(f1[at]),
        reached=reached,
    )


def _highest_candidate(p: np.ndarray, y: np.ndarray, videos: np.ndarray) -> float:
    """The score that the highest-scored frames of MIN_CLIPS_OVER clips reach, or of as many clips as show the label."""
    _, clips = np.unique(videos.astype(str), return_inverse=True)
    peaks = np.zeros(clips.max() + 1, p.dtype)
    np.maximum.at(peaks, clips, p)
    needed = min(MIN_CLIPS_OVER, len(np.unique(clips[y])))
    return float(np.sort(peaks)[-needed])


def _last_largest(values: np.ndarray) -> int:
    return len(values) - 1 - int(np.argmax(values[::-1]))


def _threshold_over(p: np.ndarray) -> float | None:
    """The float32 halfway from the highest score to 1; None where there is none between."""
    top = float(p.max())
    middle = float(np.float32(top + (1 - top) / 2))
    return middle if middle > top else None


def _threshold_below(scores: np.ndarray, at: int) -> float:
    """The float32 halfway from ``scores[at]`` to the next lower score, or to 0.

    It decides these frames as ``scores[at]`` itself would, but does not depend on rounding errors of that score.
    """
    lower = scores[at - 1] if at else np.float32(0)
    middle = np.float32((float(scores[at]) + float(lower)) / 2)
    return float(middle if middle > lower else scores[at])
