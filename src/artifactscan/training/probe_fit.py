"""Fits the head of a probe: ridge regression on soft targets, for all penalties at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from artifactscan.evaluation.label_metrics import has_both_classes
from artifactscan.evaluation.splits import video_folds
from artifactscan.model.probe import pool_tiles, scale_lengths
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.model.probe_windows import add_changes, smooth
from artifactscan.training.embeddings import LabelledWindows

PENALTIES: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
"""Relative to the mean squared length of a frame's standardised features, times the number of frames."""
INNER_FOLDS = 5
_SMALLEST_STD = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeWeights:
    """The tensors of a fitted probe besides its backbone, float32."""

    head_weight: np.ndarray
    """(labels, features)."""
    head_bias: np.ndarray
    """(labels,)."""
    projection_weight: np.ndarray | None = None
    """(components, width); None without a projection."""
    projection_bias: np.ndarray | None = None
    """(components,)."""
    penalty: float = 0.0
    """The one that was chosen."""

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "ProbeWeights":
        """From a ProbeModel's state."""
        return cls(
            head_weight=tensors["head.weight"],
            head_bias=tensors["head.bias"],
            projection_weight=tensors.get("projection.weight"),
            projection_bias=tensors.get("projection.bias"),
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """By their names in a ProbeModel."""
        found = {
            "head.weight": self.head_weight,
            "head.bias": self.head_bias,
            "projection.weight": self.projection_weight,
            "projection.bias": self.projection_bias,
        }
        return {name: torch.from_numpy(value) for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedProbe:
    """A fitted probe, and what it would say of frames it had not seen."""

    weights: ProbeWeights
    held_out_logits: np.ndarray
    """float32 (frames, labels): of each frame, by a fit to the frames of other groups; NaN with one group only."""


def fit_probe(
    windows: LabelledWindows,
    targets: np.ndarray,
    y: np.ndarray,
    groups: Sequence[str],
    spec: ProbeSpec,
    *,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> FittedProbe:
    """Fits projection and head to labelled frames; the same arguments give the same weights.

    ``targets``: float32 (frames, labels) in 0 to 1. ``y``: 0/1 (frames, labels). ``groups``: the video of each frame;
    of several penalties the one is taken that has the highest AUROC on held-out groups, in the mean over the labels.
    """
    weight, bias = _fit_projection(windows.read, spec)
    inputs = _HeadInputs(windows, spec, weight, bias)
    whole = inputs if weight is None else None  # a projection is fitted anew to each fold
    held_out = _held_out_logits(
        windows, whole, targets, np.asarray(y), np.asarray(groups, object), spec, penalties, seed
    )
    best = _best_penalty(held_out, np.asarray(y, bool))
    [(head_weight, head_bias)] = _ridge(inputs.middle(), targets, [penalties[best]])
    unscaled = held_out[best] if np.isfinite(held_out[best]).all() else inputs.logits(head_weight, head_bias)
    # Logits shrink with the penalty, so those of fits with different ones could not be pooled as they are.
    scale = np.maximum(unscaled.std(axis=0), _SMALLEST_STD).astype(np.float32)
    return FittedProbe(
        weights=ProbeWeights(
            head_weight=head_weight / scale[:, None],
            head_bias=head_bias / scale,
            projection_weight=weight,
            projection_bias=bias,
            penalty=penalties[best],
        ),
        held_out_logits=(held_out[best] / scale).astype(np.float32),
    )


def probe_logits(windows: LabelledWindows, weights: ProbeWeights, spec: ProbeSpec) -> np.ndarray:
    """float32 (frames, labels), as the scoring job computes them."""
    inputs = _HeadInputs(windows, spec, weights.projection_weight, weights.projection_bias)
    return inputs.logits(weights.head_weight, weights.head_bias)


class _HeadInputs:
    """What the head takes, of every frame of some windows: each window is a short clip, cut at the ends of its own."""

    def __init__(self, windows: LabelledWindows, spec: ProbeSpec, weight: np.ndarray | None, bias: np.ndarray | None):
        inside = windows.inside
        self._spec, self._lengths = spec, inside.sum(axis=1)
        starts = np.cumsum(self._lengths) - self._lengths
        self._middles = starts + inside[:, : inside.shape[1] // 2].sum(axis=1)
        read = scale_lengths(torch.from_numpy(windows.read[inside]).float().flatten(0, 1), spec)
        if weight is not None and bias is not None:
            read = torch.nn.functional.linear(read, torch.from_numpy(weight), torch.from_numpy(bias))
        features = pool_tiles(read, windows.read.shape[2]).numpy()
        self._x = add_changes(features, self._lengths, spec.neighbours)

    def middle(self) -> np.ndarray:
        """float32 (windows, features): of the labelled frames."""
        return self._x[self._middles]

    def logits(self, weight: np.ndarray, bias: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """float32 (windows, labels): of the labelled frames, or of those with numbers ``rows``."""
        logits = smooth(self._x @ weight.T + bias, self._lengths, self._spec.smoothing)[self._middles]
        return logits if rows is None else logits[rows]


def _fit_projection(read: np.ndarray, spec: ProbeSpec) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The principal components of the standardised features, scaled to unit variance; (None, None) without."""
    if not spec.components:
        return None, None
    rows = scale_lengths(torch.from_numpy(read.reshape(-1, read.shape[-1])), spec).numpy().astype(np.float64)
    mean, std = rows.mean(axis=0), np.maximum(rows.std(axis=0), _SMALLEST_STD)
    _, values, directions = np.linalg.svd((rows - mean) / std, full_matrices=False)
    # Centred rows span one direction less than they are many; directions without variance stay out.
    components = min(spec.components, int(np.sum(values > _SMALLEST_STD * values[0])))
    scale = values[:components] / np.sqrt(len(rows))
    weight = np.zeros((spec.components, rows.shape[1]))
    weight[:components] = directions[:components] / scale[:, None] / std
    return weight.astype(np.float32), (-weight @ mean).astype(np.float32)


def _held_out_logits(
    windows: LabelledWindows,
    whole: _HeadInputs | None,
    targets: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    spec: ProbeSpec,
    penalties: Sequence[float],
    seed: int,
) -> np.ndarray:
    """(penalties, frames, labels); NaN where there is one group only.

    ``whole``: the head's inputs of all windows; None where they depend on a projection that each fold fits.
    """
    logits = np.full((len(penalties), *targets.shape), np.nan)
    folds = min(INNER_FOLDS, len(set(groups)))
    if folds < 2:
        return logits
    for train, test in video_folds(groups, y, folds, seed):
        if whole is None:
            projection = _fit_projection(windows.read[train], spec)
            inputs, held_out = (_HeadInputs(windows.rows(rows), spec, *projection) for rows in (train, test))
            x, rows = inputs.middle(), None
        else:
            held_out, x, rows = whole, whole.middle()[train], test
        for number, (weight, bias) in enumerate(_ridge(x, targets[train], penalties)):
            logits[number, test] = held_out.logits(weight, bias, rows)
    return logits


def _best_penalty(scores: np.ndarray, y: np.ndarray) -> int:
    """Position of the penalty with the highest mean AUROC; the middle one where none is defined."""
    from sklearn.metrics import roc_auc_score

    labels = np.flatnonzero(has_both_classes(y))
    if not len(labels) or not np.isfinite(scores).all():
        return len(scores) // 2
    return int(np.argmax([np.mean([roc_auc_score(y[:, one], of[:, one]) for one in labels]) for of in scores]))


def _ridge(x: np.ndarray, targets: np.ndarray, penalties: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight (labels, features) and bias (labels,), float32, for each penalty, from one eigendecomposition.

    In the dual form, as frames are fewer than features. Without intercept, so that scores of folds whose training sides
    have different shares of positives can be pooled; calibration adds it.
    """
    mean, std = x.mean(axis=0, dtype=np.float64), np.maximum(x.std(axis=0, dtype=np.float64), _SMALLEST_STD)
    z = (x - mean) / std
    values, vectors = np.linalg.eigh(z @ z.T)
    rotated = vectors.T @ (targets - targets.mean(axis=0))
    unit = max(float(values.sum()), _SMALLEST_STD)  # the trace: frames times the mean squared length
    found = []
    for penalty in penalties:
        dual = vectors @ (rotated / (np.maximum(values, 0) + penalty * unit)[:, None])
        weight = (z.T @ dual).T / std
        found.append((np.ascontiguousarray(weight, np.float32), (-weight @ mean).astype(np.float32)))
    return found
