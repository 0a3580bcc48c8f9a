"""The metrics of one set of frames, computed by torchmetrics and scikit-learn."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.functional import classification as tm

from artifactscan.labels import LABELS

LABEL_METRICS: tuple[str, ...] = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "average_precision",
    "average_precision_ratio",
    "auroc",
    "calibration_error",
)
"""Per label, and ``macro``: their mean over the labels. ``accuracy`` as a macro is the paper's figure;
``calibration_error`` is the expected one, over CALIBRATION_BINS bins of equal width; ``precision`` and ``f1`` of a
label that is never predicted are 0. ``average_precision_ratio`` is the average precision divided by the share of frames
that show the label: 1 is chance."""

EXACT_MATCH = "exact_match"
"""Share of frames with all labels right; it belongs to no label and stands under ``overall``."""

OVERALL = "overall"

CALIBRATION_BINS = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredFrames:
    """Labels, probabilities and decisions, each (frames, labels)."""

    y: np.ndarray
    """bool: the frame shows the label."""
    p: np.ndarray
    """float32 in 0..1: calibrated probabilities."""
    flags: np.ndarray
    """bool: the probability reaches the label's threshold."""

    def where(self, keep: np.ndarray) -> "ScoredFrames":
        """The frames that ``keep`` selects: bool (frames,) or positions."""
        return ScoredFrames(y=self.y[keep], p=self.p[keep], flags=self.flags[keep])


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricValues:
    """Metrics of one set of frames, or of each of many resamples of it (leading axis)."""

    by_label: np.ndarray
    """float64 (…, metrics, labels) in the order of LABEL_METRICS and LABELS; NaN for a label with one class only."""
    exact_match: np.ndarray
    """float64 (…)."""

    def macro(self, labels: np.ndarray) -> np.ndarray:
        """float64 (…, metrics): means over ``labels``, bool (labels,); NaN where one of them is, or there are none."""
        if not labels.any():
            return np.full(self.by_label.shape[:-1], np.nan)
        return self.by_label[..., labels].mean(axis=-1)


def has_both_classes(y: np.ndarray) -> np.ndarray:
    """bool (labels,): some but not all frames of ``y``, bool (frames, labels), show the label."""
    return np.asarray(y.any(axis=0) & ~y.all(axis=0))


def compute_metrics(frames: ScoredFrames) -> MetricValues:
    """The metrics of at least one frame."""
    y, flags, p = torch.tensor(frames.y).int(), torch.tensor(frames.flags).int(), torch.tensor(frames.p)
    by_label = np.full((len(LABEL_METRICS), len(LABELS)), np.nan)
    for label in np.flatnonzero(has_both_classes(frames.y)):
        truth, flag, score = y[:, label].contiguous(), flags[:, label].contiguous(), p[:, label].contiguous()
        values = {
            "accuracy": tm.binary_accuracy(flag, truth),
            "balanced_accuracy": balanced_accuracy_score(frames.y[:, label], frames.flags[:, label]),
            "precision": tm.binary_precision(flag, truth),
            "recall": tm.binary_recall(flag, truth),
            "f1": tm.binary_f1_score(flag, truth),
            "average_precision": (precision := tm.binary_average_precision(score, truth)),
            "average_precision_ratio": precision / frames.y[:, label].mean(),
            "auroc": tm.binary_auroc(score, truth),
            "calibration_error": tm.binary_calibration_error(score, truth, n_bins=CALIBRATION_BINS, norm="l1"),
        }
        by_label[:, label] = [float(values[metric]) for metric in LABEL_METRICS]
    exact_match = tm.multilabel_exact_match(flags, y, num_labels=len(LABELS))
    return MetricValues(by_label=by_label, exact_match=np.array(exact_match.item()))


def majority_baseline(y: np.ndarray) -> ScoredFrames:
    """Always answers each label's majority in ``y``, bool (frames, labels); a tie counts as no.

    Its average precision is the share of positives and its AUROC one half: what chance scores.
    """
    flags = np.broadcast_to(y.mean(axis=0) > 0.5, y.shape)
    return ScoredFrames(y=y, p=flags.astype(np.float32), flags=flags)
