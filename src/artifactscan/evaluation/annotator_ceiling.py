"""The annotators' agreement as figures of a classifier: about the most that one trained on their labels can reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from artifactscan.evaluation.bootstrap import (
    BootstrapSettings,
    percentile_interval,
    resample_weights,
    weighted_metrics,
)
from artifactscan.evaluation.label_metrics import LABEL_METRICS, ScoredFrames
from artifactscan.evaluation.metric_table import MetricEstimate
from artifactscan.labels import LABELS, MACRO, MAX_SEVERITY, SEVERITY_POSITIVE

CEILING_METRICS: tuple[str, ...] = ("auroc", "average_precision", "average_precision_ratio")


@dataclass(frozen=True, kw_only=True)
class AnnotatorCeiling:
    """How well one annotator's grade ranks the frames that another labels, averaged over who predicts whom."""

    estimates: Mapping[tuple[str, str], MetricEstimate]
    """By metric and label: CEILING_METRICS, of each label and MACRO. There is no majority figure."""
    annotators: int
    """Who share graded frames with another."""
    frames: int
    """Graded by two or more."""
    clips: int
    bootstrap: BootstrapSettings

    def estimate(self, metric: str, label: str = MACRO) -> MetricEstimate:
        """One figure; KeyError where there is none of that name."""
        return self.estimates[metric, label]


def annotator_ceiling(grades: np.ndarray, clips: np.ndarray, settings: BootstrapSettings) -> AnnotatorCeiling | None:
    """The ceiling of several annotators' grades; None where no frame has two.

    ``grades``: float (annotators, frames, labels), NaN in frames that an annotator did not grade; ``clips``, (frames,),
    names each frame's clip. For each ordered pair, the first one's grade scores the frames and the second one's label,
    1 from SEVERITY_POSITIVE on, is the truth; pairs count by the frames that they share. Intervals resample clips, as
    those of an evaluation do. A figure is None where no pair defines it, its interval also without resamples or with
    one clip.
    """
    graded = np.asarray(np.isfinite(grades).all(axis=2))
    pairs = [(a, b) for a, b in permutations(range(len(grades)), 2) if (graded[a] & graded[b]).any()]
    if not pairs:
        return None
    used = graded.sum(axis=0) >= 2
    grades, graded, clips = grades[:, used], graded[:, used], clips[used]
    point = _mean_over_pairs(grades, graded, pairs, np.ones((1, len(clips))))
    defined = np.asarray(np.isfinite(point).all(axis=(0, 1)))
    value = _with_macro(point, defined)[0]
    low = high = np.full(value.shape, np.nan)
    if settings.resamples and len(set(clips)) > 1:
        weights = resample_weights(clips, settings)
        resampled = np.concatenate([_mean_over_pairs(grades, graded, pairs, chunk) for chunk in weights])
        low, high = percentile_interval(_with_macro(resampled, defined), settings.confidence)
    estimates = {
        (metric, label): MetricEstimate(
            value=_none_if_nan(value[m, n]), low=_none_if_nan(low[m, n]), high=_none_if_nan(high[m, n]), majority=None
        )
        for m, metric in enumerate(CEILING_METRICS)
        for n, label in enumerate((*LABELS, MACRO))
    }
    return AnnotatorCeiling(
        estimates=estimates,
        annotators=len({first for first, _ in pairs}),
        frames=len(clips),
        clips=len(set(clips)),
        bootstrap=settings,
    )


def _mean_over_pairs(
    grades: np.ndarray, graded: np.ndarray, pairs: list[tuple[int, int]], weights: np.ndarray
) -> np.ndarray:
    """float64 (resamples, metrics, labels) of CEILING_METRICS; ``weights``, (resamples, frames), count each frame.

    NaN where no pair has frames with the label and frames without it.
    """
    rows = [LABEL_METRICS.index(metric) for metric in CEILING_METRICS]
    total = np.zeros((len(weights), len(rows), len(LABELS)))
    frames = np.zeros_like(total)
    for first, second in pairs:
        both = graded[first] & graded[second]
        y = grades[second][both] >= SEVERITY_POSITIVE
        scored = ScoredFrames(y=y, p=(grades[first][both] / MAX_SEVERITY).astype(np.float32), flags=y)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample without a frame of this pair
            values = weighted_metrics(scored, weights[:, both]).by_label[:, rows]
        known = np.isfinite(values)
        total += np.where(known, values, 0) * both.sum()
        frames += known * both.sum()
    return np.divide(total, frames, out=np.full_like(total, np.nan), where=frames > 0)


def _with_macro(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """``values`` (…, labels) with the mean over the ``defined`` labels, bool (labels,), as one more column."""
    macro = values[..., defined].mean(axis=-1) if defined.any() else np.full(values.shape[:-1], np.nan)
    return np.concatenate([values, macro[..., np.newaxis]], axis=-1)


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
