"""The figures of predictions under one protocol, with intervals over videos and the majority's beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings, bootstrap, interval
from artifactscan.evaluation.label_metrics import (
    EXACT_MATCH,
    LABEL_METRICS,
    MACRO,
    OVERALL,
    Frames,
    figures,
    majority,
    has_both_classes,
)
from artifactscan.evaluation.predictions import Predictions, read_predictions
from artifactscan.evaluation.splits import PROTOCOLS, Protocol
from artifactscan.evaluation.tuning import Tuning
from artifactscan.labels import LABELS
from artifactscan.schemas import METRICS

ALL = "all"
"""Of the folds: their predictions in one table."""


@dataclass(frozen=True, kw_only=True)
class MetricEstimate:
    """One figure; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    majority: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What evaluate found."""

    protocol: Protocol
    metrics: pa.Table
    """The METRICS schema. Intervals stand beside fold ``all`` only: one fold has too few videos."""
    frames: int
    videos: int
    folds: int
    positives: Mapping[str, int]
    """Frames per label that show it."""
    tuning: Mapping[int, Tuning]
    """By fold: what it was evaluated with."""
    bootstrap: BootstrapSettings
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures right, a sentence each."""

    def estimate(self, metric: str, label: str = MACRO, fold: str = ALL) -> MetricEstimate:
        """One figure of the table; KeyError for one that is not in it."""
        for row in self.metrics.to_pylist():
            if (row["metric"], row["label"], row["fold"]) == (metric, label, fold):
                return MetricEstimate(**{name: row[name] for name in ("value", "low", "high", "majority")})
        raise KeyError((metric, label, fold))


def evaluate(
    predictions: pa.Table | pd.DataFrame,
    tuning: Tuning | Mapping[int, Tuning] | None = None,
    *,
    protocol: Protocol = "videos",
    bootstrap: BootstrapSettings | None = None,
) -> Evaluation:
    """Evaluates test predictions, a table in the PREDICTIONS schema; several folds are pooled, and given one by one.

    ``tuning`` is one for all, one per fold, or None: logits as they are and thresholds of one half. Intervals vary the
    videos tested, not those trained or tuned on. A label with one class only among the frames is undefined and left
    out of every macro; the notes say so.
    UsageError for a table that cannot be used, for test frames that a tuning was chosen on (under ``videos`` for their
    whole videos), for a fold without a tuning, and under ``videos`` for a video in the test of two folds.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol {protocol!r} is not known; give {' or '.join(PROTOCOLS)}")
    settings = bootstrap or BootstrapSettings()
    read = read_predictions(predictions)
    folds = np.unique(read.folds).tolist()
    tunings = _by_fold(Tuning() if tuning is None else tuning, folds)
    _check_sides(read, tunings, protocol)
    frames = _apply(read, tunings)
    rows, notes = _pooled_rows(frames, read.videos, settings)
    if len(folds) > 1:
        for fold in folds:
            rows += _rows(str(fold), frames.where(read.folds == fold))
    notes += [f"fold {fold}: {note}" for fold in folds for note in tunings[fold].notes]
    return Evaluation(
        protocol=protocol,
        metrics=pa.Table.from_pylist([{"protocol": protocol, **row} for row in rows], schema=METRICS),
        frames=len(read),
        videos=len(set(read.videos)),
        folds=len(folds),
        positives=dict(zip(LABELS, frames.y.sum(axis=0).tolist(), strict=True)),
        tuning=tunings,
        bootstrap=settings,
        notes=tuple(notes),
    )


def _by_fold(tuning: Tuning | Mapping[int, Tuning], folds: list[int]) -> dict[int, Tuning]:
    if isinstance(tuning, Tuning):
        return dict.fromkeys(folds, tuning)
    if missing := [fold for fold in folds if fold not in tuning]:
        raise UsageError(f"fold {missing[0]} has predictions but no tuning; tune it, or give one tuning for all folds")
    return {fold: tuning[fold] for fold in folds}


def _check_sides(read: Predictions, tunings: Mapping[int, Tuning], protocol: Protocol) -> None:
    for fold, tuning in tunings.items():
        tested = {frame for frame, of in zip(read.frames, read.folds.tolist(), strict=True) if of == fold}
        if both := tested & tuning.tuned_on:
            _, file, index = min(both)
            raise UsageError(
                f"fold {fold} tests {file} frame {index}, on which its calibration and thresholds were chosen; "
                "tune on other frames"
            )
        if protocol == "videos" and (both := {frame[0] for frame in tested} & {frame[0] for frame in tuning.tuned_on}):
            raise UsageError(
                f"fold {fold} tests video {min(both)}, on which its calibration and thresholds were chosen; "
                "tune on other videos, or use protocol frames"
            )
    if protocol == "videos":
        pairs = pd.DataFrame({"video": read.videos, "fold": read.folds}).drop_duplicates()
        if len(twice := pairs.loc[pairs["video"].duplicated(), "video"]):
            raise UsageError(
                f"video {twice.iloc[0]} is in the test of two folds; give it to one of them, or use protocol frames"
            )


def _apply(read: Predictions, tunings: Mapping[int, Tuning]) -> Frames:
    p, flags = np.empty(read.y.shape, np.float32), np.empty(read.y.shape, bool)
    for fold, tuning in tunings.items():
        rows = read.folds == fold
        of_fold = tuning.apply(read.where(rows))
        p[rows], flags[rows] = of_fold.p, of_fold.flags
    return Frames(y=read.y, p=p, flags=flags)


def _pooled_rows(frames: Frames, videos: np.ndarray, settings: BootstrapSettings) -> tuple[list[dict], list[str]]:
    """The rows of fold ``all`` with their intervals, and the notes on them."""
    rows, notes = _rows(ALL, frames), []
    for label, positives, defined in zip(LABELS, frames.y.sum(axis=0), has_both_classes(frames.y), strict=True):
        if not defined:
            notes.append(f"{_one_class(label, positives, len(frames.y))}, and {label} is left out of every macro")
    count = len(set(videos))
    if not settings.resamples:
        return rows, notes
    if count < 2:
        return rows, [*notes, f"no intervals: they need 2 videos or more, and there is {count}"]
    resampled = bootstrap(frames, videos, settings)
    limits = {
        **_limits(LABELS, resampled.by_label, settings),
        **_limits((MACRO,), resampled.macro(has_both_classes(frames.y))[..., np.newaxis], settings),
        **_limits((OVERALL,), resampled.exact_match[:, np.newaxis, np.newaxis], settings),
    }
    for row in rows:
        row["low"], row["high"] = limits[row["label"], row["metric"]]
        if row["value"] is not None and row["low"] is None:
            notes.append(
                f"{row['metric']} of {row['label']} has no interval: fewer than half of the resamples define it"
            )
    return rows, notes


def _limits(
    labels: tuple[str, ...], resampled: np.ndarray, settings: BootstrapSettings
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """By label and metric, of ``resampled``, float64 (resamples, metrics, labels)."""
    low, high = interval(resampled, settings.confidence)
    metrics = (EXACT_MATCH,) if labels == (OVERALL,) else LABEL_METRICS
    return {
        (label, metric): (_defined(low[i, j]), _defined(high[i, j]))
        for i, metric in enumerate(metrics)
        for j, label in enumerate(labels)
    }


def _rows(fold: str, frames: Frames) -> list[dict]:
    """The METRICS rows of some frames, without protocol and interval."""
    found, chance = figures(frames), figures(majority(frames.y))
    defined = has_both_classes(frames.y)
    positives = frames.y.sum(axis=0)
    reasons = {
        label: None if defined[i] else _one_class(label, positives[i], len(frames.y)) for i, label in enumerate(LABELS)
    }
    reasons[MACRO] = None if defined.any() else "every label has one class only"
    left_out = [label for i, label in enumerate(LABELS) if not defined[i]]
    if left_out and defined.any():
        reasons[MACRO] = f"without {', '.join(left_out)}, of one class only"
    values = np.column_stack([found.by_label, found.macro(defined)])
    baseline = np.column_stack([chance.by_label, chance.macro(defined)])
    rows = [
        {
            "fold": fold,
            "label": label,
            "metric": metric,
            "value": _defined(values[i, j]),
            "majority": _defined(baseline[i, j]),
            "reason": reasons[label],
        }
        for i, metric in enumerate(LABEL_METRICS)
        for j, label in enumerate((*LABELS, MACRO))
    ]
    exact = {"value": float(found.exact_match), "majority": float(chance.exact_match), "reason": None}
    return [*rows, {"fold": fold, "label": OVERALL, "metric": EXACT_MATCH, **exact}]


def _one_class(label: str, positives: int, frames: int) -> str:
    which = "all" if positives else "none of the"
    return f"{label} is undefined: {which} {frames} frames {'show' if positives else 'shows'} it"


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
