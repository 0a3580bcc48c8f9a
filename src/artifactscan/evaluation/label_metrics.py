"""The figures of one set of frames, by torchmetrics and scikit-learn."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
    binary_f1_score,
    binary_precision,
    binary_recall,
    multilabel_exact_match,
)

from artifactscan.labels import LABELS

LABEL_METRICS: tuple[str, ...] = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "average_precision",
    "auroc",
    "calibration_error",
)
"""Per label, and ``macro``: their mean over the labels. ``accuracy`` as a macro is the paper's figure;
``calibration_error`` is the expected one, over CALIBRATION_BINS bins of equal width; ``precision`` and ``f1`` of a
label that is never predicted are 0."""

EXACT_MATCH = "exact_match"
"""Share of frames with all labels right; of no label, so it stands under ``overall``."""

MACRO, OVERALL = "macro", "overall"

CALIBRATION_BINS = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """What figures are made from, each (frames, labels)."""

    y: np.ndarray
    """bool: the label is there."""
    p: np.ndarray
    """float32 in 0..1: calibrated probabilities."""
    flags: np.ndarray
    """bool: the probability reaches the label's threshold."""

    def where(self, keep: np.ndarray) -> "Frames":
        """The frames for which ``keep``, bool (frames,), is true."""
        return Frames(y=self.y[keep], p=self.p[keep], flags=self.flags[keep])


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricValues:
    """MetricValues of one set of frames, or of each of many resamples of it (leading axis)."""

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
    """bool (labels,): the label is there in some and not in all frames of ``y``, bool (frames, labels)."""
    return np.asarray(y.any(axis=0) & ~y.all(axis=0))


def figures(frames: Frames) -> MetricValues:
    """The figures of at least one frame."""
    y, p, flags = (torch.from_numpy(np.ascontiguousarray(values)) for values in (frames.y, frames.p, frames.flags))
    y, flags = y.int(), flags.int()
    by_label = np.full((len(LABEL_METRICS), len(LABELS)), np.nan)
    for label in np.flatnonzero(has_both_classes(frames.y)):
        truth, score, flag = (column[:, label].contiguous() for column in (y, p, flags))
        values = {
            "accuracy": binary_accuracy(flag, truth),
            "balanced_accuracy": balanced_accuracy_score(frames.y[:, label], frames.flags[:, label]),
            "precision": binary_precision(flag, truth),
            "recall": binary_recall(flag, truth),
            "f1": binary_f1_score(flag, truth),
            "average_precision": binary_average_precision(score, truth),
            "auroc": binary_auroc(score, truth),
            "calibration_error": binary_calibration_error(score, truth, n_bins=CALIBRATION_BINS, norm="l1"),
        }
        by_label[:, label] = [float(values[metric]) for metric in LABEL_METRICS]
    return MetricValues(
        by_label=by_label, exact_match=np.array(multilabel_exact_match(flags, y, num_labels=len(LABELS)).item())
    )


def majority(y: np.ndarray) -> Frames:
    """The frames as always answering each label's majority in ``y`` would have them; a tie counts as no.

    Its average precision is the share of positives and its AUROC one half: what chance scores.
    """
    flags = np.broadcast_to(y.mean(axis=0) > 0.5, y.shape)
    return Frames(y=y, p=flags.astype(np.float32), flags=flags)
