"""Intervals from a bootstrap over whole videos, as frames of one video are not independent.

Library calls for each metric of a thousand resamples take minutes. A resample only says how often each frame counts, so
all resamples are weighted sums over the same frames, computed at once. Tests compare them with scikit-learn's metrics
under the same sample weights, and with torchmetrics' where every weight is 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from artifactscan.errors import UsageError
from artifactscan.evaluation.label_metrics import CALIBRATION_BINS, LABEL_METRICS, MetricValues, ScoredFrames
from artifactscan.labels import LABELS

_WEIGHTS_PER_CHUNK = 2_000_000
"""Frames times resamples in memory at once, in about ten arrays of 8 bytes each."""


@dataclass(frozen=True, kw_only=True)
class BootstrapSettings:
    """How intervals are made."""

    resamples: int = 1000
    """0: no intervals. Fewer than a hundred leave the ends of an interval to chance."""
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0:
            raise UsageError(f"resamples is {self.resamples}; give 0 or more")
        if not 0 < self.confidence < 1:
            raise UsageError(f"confidence is {self.confidence}; give a share above 0 and below 1, such as 0.95")


def bootstrap(frames: ScoredFrames, videos: np.ndarray, settings: BootstrapSettings) -> MetricValues:
    """The metrics of each resample (leading axis): all frames of as many videos as there are, drawn with replacement.

    ``videos``, (frames,), names each frame's video. NaN for a label that a resample has in one class only.

    The noise of drawing adds to the calibration error of a resample, so that its percentiles would lie above the
    measured value. The mean of that excess is subtracted.
    """
    parts = [weighted_metrics(frames, weights) for weights in resample_weights(videos, settings)]
    by_label = np.concatenate([part.by_label for part in parts])
    error = LABEL_METRICS.index("calibration_error")
    for label in range(len(LABELS)):
        resampled = by_label[:, error, label]
        measured = _calibration_error(frames.y[:, label], frames.p[:, label], np.ones((1, len(frames.y))))
        if np.isfinite(resampled).any():
            resampled -= np.nanmean(resampled) - measured
    return MetricValues(by_label=by_label, exact_match=np.concatenate([part.exact_match for part in parts]))


def percentile_interval(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high percentiles over the resamples, the first axis of ``values`` (resamples, …), at least 0.

    Only resamples where the metric is defined count; NaN where these are fewer than half.
    """
    low, high = np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    defined = np.isfinite(values).sum(axis=0) >= max(1, len(values) / 2)
    if defined.any():
        tail = (1 - confidence) / 2
        bounds = np.nanquantile(values[:, defined], [tail, 1 - tail], axis=0)
        low[defined], high[defined] = np.clip(bounds, 0, None)
    return low, high


def resample_weights(videos: np.ndarray, settings: BootstrapSettings) -> Iterator[np.ndarray]:
    """Chunks of float64 (resamples, frames): how often each frame is in each resample."""
    names, codes = np.unique(videos.astype(str), return_inverse=True)
    shares = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(settings.seed).multinomial(len(names), shares, size=settings.resamples)
    step = max(1, _WEIGHTS_PER_CHUNK // len(videos))
    for start in range(0, settings.resamples, step):
        yield drawn[start : start + step, codes].astype(np.float64)


def weighted_metrics(frames: ScoredFrames, weights: np.ndarray) -> MetricValues:
    """The metrics with each frame counted ``weights`` times, float64 (resamples, frames)."""
    by_label = np.stack(
        [
            _label_metrics(frames.y[:, label], frames.p[:, label], frames.flags[:, label], weights)
            for label in range(len(LABELS))
        ],
        axis=-1,
    )
    right = (frames.y == frames.flags).all(axis=1)
    return MetricValues(by_label=by_label, exact_match=weights @ right / weights.sum(axis=1))


def _label_metrics(y: np.ndarray, p: np.ndarray, flags: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 (resamples, metrics) of one label."""
    hits, alarms = weights @ (y & flags), weights @ (~y & flags)
    positives, negatives = weights @ y, weights @ ~y
    with np.errstate(invalid="ignore", divide="ignore"):  # one class only: NaN below
        recall, specificity = hits / positives, 1 - alarms / negatives
        average_precision, auroc = _ranking(y, p, weights)
        values = {
            "accuracy": (hits + negatives - alarms) / (positives + negatives),
            "balanced_accuracy": (recall + specificity) / 2,
            "precision": _ratio(hits, hits + alarms),
            "recall": recall,
            "f1": _ratio(2 * hits, hits + alarms + positives),
            "average_precision": average_precision,
            "average_precision_ratio": average_precision * (positives + negatives) / positives,
            "auroc": auroc,
            "calibration_error": _calibration_error(y, p, weights),
        }
    metrics = np.stack([values[metric] for metric in LABEL_METRICS], axis=1)
    metrics[(positives == 0) | (negatives == 0)] = np.nan
    return metrics


def _ranking(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and AUROC: sums over the distinct probabilities as thresholds, in falling order."""
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.diff(p[order], append=np.float32(-1)))  # the last of each run of equal probabilities
    sorted_weights, sorted_y = weights[:, order], y[order]
    hits = np.cumsum(sorted_weights * sorted_y, axis=1)[:, ends]
    alarms = np.cumsum(sorted_weights * ~sorted_y, axis=1)[:, ends]
    new_hits, new_alarms = np.diff(hits, axis=1, prepend=0), np.diff(alarms, axis=1, prepend=0)
    positives, negatives = hits[:, -1], alarms[:, -1]
    average_precision = (new_hits * _ratio(hits, hits + alarms)).sum(axis=1) / positives
    auroc = (new_alarms * (hits - new_hits / 2)).sum(axis=1) / (positives * negatives)
    return average_precision, auroc


def _calibration_error(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Exactly torchmetrics' bins: half-open, and one more for a probability of 1.
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=torch.float32)
    bins = torch.bucketize(torch.from_numpy(np.ascontiguousarray(p)), edges, right=True).numpy() - 1
    gaps = np.zeros((len(p), CALIBRATION_BINS + 1))
    gaps[np.arange(len(p)), bins] = p - y
    return np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, 0 where ``whole`` is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
