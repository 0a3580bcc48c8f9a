"""The metrics of predictions under one protocol, with intervals over videos and the majority baseline beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings, bootstrap, percentile_interval
from artifactscan.evaluation.label_metrics import (
    EXACT_MATCH,
    LABEL_METRICS,
    OVERALL,
    MetricValues,
    ScoredFrames,
    compute_metrics,
    has_both_classes,
    majority_baseline,
)
from artifactscan.evaluation.maker_figures import MakerFigures, figures_by_maker
from artifactscan.evaluation.predictions import Predictions, read_predictions
from artifactscan.evaluation.splits import PROTOCOLS, Protocol
from artifactscan.evaluation.tuning import Tuning, operating_points
from artifactscan.labels import LABELS, MACRO
from artifactscan.model.operating_point import OperatingPoint
from artifactscan.schemas import METRICS

ALL = "all"
"""The fold of metrics over the predictions of all folds together."""

_ROWS = (*((label, metric) for metric in LABEL_METRICS for label in (*LABELS, MACRO)), (OVERALL, EXACT_MATCH))
"""Label and metric of each row of a fold."""


@dataclass(frozen=True, kw_only=True)
class MetricEstimate:
    """One metric of one label with its interval and the majority baseline; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    majority: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of test predictions, and how they were obtained."""

    protocol: Protocol
    metrics: pa.Table
    """The METRICS schema. Only fold ``all`` has intervals: one fold has too few videos."""
    frames: int
    videos: int
    folds: int
    positives: Mapping[str, int]
    """Label → number of frames that show it."""
    tuning: Mapping[int, Tuning]
    """Fold → what its predictions were evaluated with."""
    operating_point: Mapping[str, OperatingPoint]
    """Label → what the decisions amount to, over all folds."""
    bootstrap: BootstrapSettings
    by_maker: Mapping[str, MakerFigures] = field(default_factory=dict)
    """What made the clips → its figures; empty where that is not known. Frames whose maker is not known are in none."""
    ceiling: Mapping[tuple[str, str], MetricEstimate] = field(default_factory=dict)
    """Metric and label → what one annotator's grade scores on another's label; empty without several graded tables."""
    notes: tuple[str, ...] = ()
    """What limits the metrics, one sentence each."""
    trained_on: int = 0
    """Of the ``videos``, those that the evaluated checkpoint was trained on."""

    def protocol_means(self) -> str:
        """The protocol in words; what it promises does not hold where the checkpoint was trained on test clips."""
        if not self.trained_on:
            return PROTOCOLS[self.protocol]
        some = "all" if self.trained_on == self.videos else f"{self.trained_on:,}"
        return f"the checkpoint was trained on {some} of these {self.videos:,} clips"

    def estimate(self, metric: str, label: str = MACRO, fold: str = ALL) -> MetricEstimate:
        """One row of the table; KeyError where there is none."""
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
    makers: Mapping[str, str] | None = None,
) -> Evaluation:
    """Evaluates test predictions, a table in the PREDICTIONS schema: all folds together, then each fold alone.

    ``tuning``: one for all folds, one per fold, or None for raw logits and thresholds of one half. Intervals vary the
    videos tested, not those trained or tuned on. A label of one class only is undefined and left out of every macro,
    and the notes say so. ``makers``: file → what made the clip, for figures by maker.
    UsageError for a table that cannot be used, for test frames that a tuning was chosen on (also for other frames of
    their videos, unless the protocol is ``frames``), for a fold without a tuning, and for a video in the test of two
    folds, again unless it is ``frames``.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol {protocol!r} is not known; give {' or '.join(PROTOCOLS)}")
    settings = bootstrap or BootstrapSettings()
    read = read_predictions(predictions)
    folds = np.unique(read.folds).tolist()
    tunings = _by_fold(Tuning() if tuning is None else tuning, folds)
    _check_no_leak(read, tunings, protocol)
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
        operating_point=operating_points(frames, ", ".join(sorted({one.aim for one in tunings.values()})) or "given"),
        bootstrap=settings,
        by_maker=_by_maker(read, frames, makers or {}),
        notes=tuple(notes),
    )


def _by_maker(read: Predictions, frames: ScoredFrames, makers: Mapping[str, str]) -> dict[str, MakerFigures]:
    names = np.array([makers.get(file, "") for _, file, _ in read.frames], dtype=object)
    known = names != ""
    return figures_by_maker(frames.where(known), read.videos[known], names[known].tolist())


def _by_fold(tuning: Tuning | Mapping[int, Tuning], folds: list[int]) -> dict[int, Tuning]:
    if isinstance(tuning, Tuning):
        return dict.fromkeys(folds, tuning)
    if missing := [fold for fold in folds if fold not in tuning]:
        raise UsageError(f"fold {missing[0]} has predictions but no tuning; tune it, or give one tuning for all folds")
    return {fold: tuning[fold] for fold in folds}


def _check_no_leak(read: Predictions, tunings: Mapping[int, Tuning], protocol: Protocol) -> None:
    for fold, tuning in tunings.items():
        tested = {frame for frame, of in zip(read.frames, read.folds.tolist(), strict=True) if of == fold}
        if both := tested & tuning.tuned_on:
            _, file, index = min(both)
            raise UsageError(
                f"fold {fold} tests {file} frame {index}, on which its calibration and thresholds were chosen; "
                "tune on other frames"
            )
        if protocol != "frames" and (both := {frame[0] for frame in tested} & {frame[0] for frame in tuning.tuned_on}):
            raise UsageError(
                f"fold {fold} tests video {min(both)}, on which its calibration and thresholds were chosen; "
                "tune on other videos, or use protocol frames"
            )
    if protocol != "frames":
        pairs = pd.DataFrame({"video": read.videos, "fold": read.folds}).drop_duplicates()
        if len(twice := pairs.loc[pairs["video"].duplicated(), "video"]):
            raise UsageError(
                f"video {twice.iloc[0]} is in the test of two folds; give it to one of them, or use protocol frames"
            )


def _apply(read: Predictions, tunings: Mapping[int, Tuning]) -> ScoredFrames:
    p, flags = np.empty(read.y.shape, np.float32), np.empty(read.y.shape, bool)
    for fold, tuning in tunings.items():
        rows = read.folds == fold
        of_fold = tuning.apply(read.where(rows))
        p[rows], flags[rows] = of_fold.p, of_fold.flags
    return ScoredFrames(y=read.y, p=p, flags=flags)


def _pooled_rows(frames: ScoredFrames, videos: np.ndarray, settings: BootstrapSettings) -> tuple[list[dict], list[str]]:
    """The rows of fold ``all`` with their intervals, and the notes on them."""
    notes = [
        f"{reason}, and {label} is left out of every macro"
        for label, reason in _reasons(frames.y).items()
        if reason and label != MACRO
    ]
    count = len(set(videos))
    if not settings.resamples or count < 2:
        if settings.resamples:
            notes.append(f"no intervals: they need 2 videos or more, and there is {count}")
        return _rows(ALL, frames), notes
    resampled = _in_row_order(bootstrap(frames, videos, settings), has_both_classes(frames.y))
    rows = _rows(ALL, frames, percentile_interval(resampled, settings.confidence))
    notes += [
        f"{row['metric']} of {row['label']} has no interval: fewer than half of the resamples define it"
        for row in rows
        if row["value"] is not None and row["low"] is None
    ]
    return rows, notes


def _rows(fold: str, frames: ScoredFrames, interval: tuple[np.ndarray, np.ndarray] | None = None) -> list[dict]:
    """The METRICS rows of some frames, without the protocol; ``interval``: low and high, each (rows,)."""
    defined = has_both_classes(frames.y)
    undefined = np.full(len(_ROWS), np.nan)
    columns = {
        "value": _in_row_order(compute_metrics(frames), defined),
        "majority": _in_row_order(compute_metrics(majority_baseline(frames.y)), defined),
        **dict(zip(("low", "high"), interval or (undefined, undefined), strict=True)),
    }
    reasons = _reasons(frames.y)
    return [
        {
            **{name: None if np.isnan(values[i]) else float(values[i]) for name, values in columns.items()},
            **{"fold": fold, "label": label, "metric": metric, "reason": reasons.get(label)},
        }
        for i, (label, metric) in enumerate(_ROWS)
    ]


def _in_row_order(values: MetricValues, defined: np.ndarray) -> np.ndarray:
    """float64 (…, rows) in the order of _ROWS; the macros are over the labels of ``defined``, bool (labels,)."""
    with_macro = np.concatenate([values.by_label, values.macro(defined)[..., np.newaxis]], axis=-1)
    flat = with_macro.reshape(*with_macro.shape[:-2], -1)
    return np.concatenate([flat, values.exact_match[..., np.newaxis]], axis=-1)


def _reasons(y: np.ndarray) -> dict[str, str]:
    """Label → why its metrics are undefined; MACRO → which labels it leaves out."""
    reasons = {}
    for label, positives, defined in zip(LABELS, y.sum(axis=0), has_both_classes(y), strict=True):
        if not defined:
            which, verb = ("all", "show") if positives else ("none of the", "shows")
            reasons[label] = f"{label} is undefined: {which} {len(y)} frames {verb} it"
    if len(reasons) == len(LABELS):
        return {**reasons, MACRO: "every label has one class only"}
    return {**reasons, MACRO: f"without {', '.join(reasons)}, of one class only"} if reasons else reasons
