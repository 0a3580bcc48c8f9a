"""The figures of an evaluation by what made the clips: a generator, or a camera, whose clips have no defects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artifactscan.evaluation.label_metrics import LABEL_METRICS, ScoredFrames, compute_metrics, has_both_classes
from artifactscan.labels import LABELS, MACRO

MAKER_METRICS = ("auroc", "average_precision", "average_precision_ratio", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class MakerFigures:
    """One maker's frames."""

    frames: int
    videos: int
    prevalence: dict[str, float]
    """Label → share of the frames that show it."""
    flagged_share: dict[str, float]
    """Label → share of the frames that are flagged."""
    figures: dict[str, dict[str, float | None]]
    """Label, or ``macro`` over the labels of two classes → MAKER_METRICS; None where a label has one class only."""


def figures_by_maker(frames: ScoredFrames, videos: np.ndarray, makers: Sequence[str]) -> dict[str, MakerFigures]:
    """Maker → its figures, in alphabetical order; ``makers`` and ``videos`` name those of each frame."""
    names = np.asarray(makers, dtype=object)
    return {maker: _figures(frames.where(names == maker), videos[names == maker]) for maker in sorted(set(makers))}


def _figures(frames: ScoredFrames, videos: np.ndarray) -> MakerFigures:
    values, defined = compute_metrics(frames), has_both_classes(frames.y)
    columns = {**dict(zip(LABELS, values.by_label.T, strict=True)), MACRO: values.macro(defined)}
    at = {metric: LABEL_METRICS.index(metric) for metric in MAKER_METRICS}
    return MakerFigures(
        frames=len(videos),
        videos=len(set(videos)),
        prevalence=dict(zip(LABELS, frames.y.mean(axis=0).tolist(), strict=True)),
        flagged_share=dict(zip(LABELS, frames.flags.mean(axis=0).tolist(), strict=True)),
        figures={
            label: {metric: None if np.isnan(column[n]) else float(column[n]) for metric, n in at.items()}
            for label, column in columns.items()
        },
    )
