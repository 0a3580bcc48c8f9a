"""Prevalence: the share of frames that truly show a label, from the flagged share and human labels on a sample."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artifactscan.audit.night_tables import ALL, PREVALENCE
from artifactscan.audit.statistics.group_members import members
from artifactscan.audit.statistics.prediction_powered import ENOUGH_CLIPS, LabelledClips, ScoredClips, estimate_share
from artifactscan.audit.statistics.resampling import RESAMPLES, interval, resampled_ratio, resampled_sums, unvaried
from artifactscan.labels import LABELS

ROGAN_GLADEN, PREDICTION_POWERED = "rogan-gladen", "prediction-powered"
"""Methods of a corrected share."""


def estimate_prevalence(
    labelled: pa.Table, arrivals: pa.Table, *, seed: int = 0, resamples: int = RESAMPLES
) -> pa.Table:
    """PREVALENCE: the share of tonight's frames that show each label, after Rogan and Gladen (1978).

    Where that is undefined, as the flags say nothing of the label, and ENOUGH_CLIPS videos are labelled, the estimate
    is that of the module prediction_powered, with the flags as scores, if need be from the labels alone.

    ``labelled`` has a row per labelled frame: ``video`` (string), ``y_<label>`` (int8, 1 where humans see it) and
    ``flagged_<label>`` (bool, its score is at or above the threshold); ``arrivals`` is ARRIVALS. The sample may be of
    other videos than tonight's, if the scorer errs on both alike. The estimate is clipped to 0 to 1. Its interval is
    from a bootstrap over the videos of both; a resample that leaves the estimate undefined counts as 0 for the lower
    and as 1 for the upper bound, and a sensitivity or specificity of exactly 1 or 0 gets a Clopper–Pearson bound.
    """
    rng = np.random.default_rng(seed)
    of = members(arrivals, (ALL,))
    frames = of.column("frames")
    videos, codes = np.unique(labelled["video"].to_numpy(), return_inverse=True)
    rows = []
    for label in LABELS:
        over = of.column(f"frames_over_{label}")
        truth, flagged = (np.asarray(labelled[f"{kind}_{label}"].to_numpy(), bool) for kind in ("y", "flagged"))
        sample = _Sample.of(codes, len(videos), truth, flagged)
        sensitivity, specificity = sample.shares()
        frame_rate = over.sum() / frames.sum() if len(frames) else np.nan
        reason = _undefined(sample, sensitivity, specificity, len(frames))
        row = {
            "label": label,
            "labelled_videos": len(videos),
            "labelled_frames": labelled.num_rows,
            "sensitivity": _or_none(sensitivity),
            "specificity": _or_none(specificity),
            "frame_rate": _or_none(frame_rate),
            "reason": reason,
        }
        if not reason:
            row |= _estimate(sample, frames, over, rng, resamples) | {"method": ROGAN_GLADEN}
        elif len(frames) and len(videos) >= ENOUGH_CLIPS:
            row |= _from_labels(sample, frames, over) | {"method": PREDICTION_POWERED}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=PREVALENCE)


def rogan_gladen(frame_rate: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """The true share from the flagged one, 0 to 1; NaN where sensitivity and specificity sum to at most 1."""
    skill = sensitivity + specificity - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(skill > 0, np.clip((frame_rate + specificity - 1) / skill, 0, 1), np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """Labelled frames of one label, counted by video."""

    hits: np.ndarray
    """int64 (videos,), as are all: frames that show the label and are flagged."""
    positives: np.ndarray
    """Frames that show the label."""
    passes: np.ndarray
    """Frames that do not show it and are not flagged."""
    negatives: np.ndarray
    """Frames that do not show it."""

    @classmethod
    def of(cls, codes: np.ndarray, videos: int, truth: np.ndarray, flagged: np.ndarray) -> "_Sample":
        counts: Mapping[str, np.ndarray] = {
            "hits": truth & flagged,
            "positives": truth,
            "passes": ~truth & ~flagged,
            "negatives": ~truth,
        }
        return cls(**{name: np.bincount(codes[which], minlength=videos) for name, which in counts.items()})

    def shares(self) -> tuple[float, float]:
        """Sensitivity and specificity, NaN without a frame to tell."""
        return _share(self.hits, self.positives), _share(self.passes, self.negatives)

    def resampled(self, rng: np.random.Generator, resamples: int) -> tuple[np.ndarray, np.ndarray]:
        """Sensitivity and specificity in each resample of the videos, (resamples,) each."""
        each = np.stack([self.hits, self.positives, self.passes, self.negatives], axis=1)
        values, counts = np.unique(each, axis=0, return_counts=True)
        sums = resampled_sums(values, counts, rng, resamples)
        shares = []
        for share, column, whole in zip(self.shares(), (0, 2), (self.positives, self.negatives), strict=True):
            if share in (0, 1):
                shares.append(unvaried(share == 1, int((whole > 0).sum()), rng, resamples))
            else:
                with np.errstate(invalid="ignore"):
                    shares.append(sums[:, column] / sums[:, column + 1])
        return shares[0], shares[1]


def _undefined(sample: _Sample, sensitivity: float, specificity: float, videos: int) -> str | None:
    """Why the estimate is not defined; None where it is."""
    if not sample.positives.any():
        return "no labelled frame shows it, so the sensitivity is not known"
    if not sample.negatives.any():
        return "every labelled frame shows it, so the specificity is not known"
    if sensitivity + specificity <= 1:
        return (
            f"sensitivity {sensitivity:.2f} and specificity {specificity:.2f} sum to 1 or less, so the flags say "
            "nothing of it"
        )
    return None if videos else "no video has a score tonight"


def _estimate(
    sample: _Sample, frames: np.ndarray, over: np.ndarray, rng: np.random.Generator, resamples: int
) -> dict[str, float]:
    corrected = float(rogan_gladen(np.asarray(over.sum() / frames.sum()), *map(np.asarray, sample.shares())))
    distinct, counts = np.unique(np.stack([over, frames], axis=1), axis=0, return_counts=True)
    rates = resampled_ratio(distinct[:, 0], distinct[:, 1], counts, rng, resamples)
    draws = rogan_gladen(rates, *sample.resampled(rng, resamples))
    return {
        "corrected": corrected,
        "corrected_low": interval(np.nan_to_num(draws, nan=0.0), corrected)[0],
        "corrected_high": interval(np.nan_to_num(draws, nan=1.0), corrected)[1],
    }


def _from_labels(sample: _Sample, frames: np.ndarray, over: np.ndarray) -> dict[str, float]:
    labelled = (sample.positives + sample.negatives).astype(np.float64)
    flagged = sample.hits + sample.negatives - sample.passes
    found = estimate_share(
        ScoredClips(size=frames.astype(np.float64), score=over / frames),
        LabelledClips(size=labelled, label=sample.positives / labelled, score=flagged / labelled),
    )
    return {"corrected": found.estimate, "corrected_low": found.low, "corrected_high": found.high}


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return part.sum() / whole.sum() if whole.any() else np.nan


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
