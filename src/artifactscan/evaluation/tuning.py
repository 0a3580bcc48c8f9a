"""Calibration and thresholds of all labels, from predictions of frames that the predicting model was not trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.evaluation.calibration import fit_calibration
from artifactscan.evaluation.label_metrics import ScoredFrames
from artifactscan.evaluation.predictions import Predictions, calibrated_probabilities, read_predictions
from artifactscan.evaluation.thresholds import Aim, ChosenThreshold, choose_threshold, measure_operating_point
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import DEFAULT_THRESHOLD, Calibration
from artifactscan.model.operating_point import OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How logits become probabilities, and probabilities decisions; the defaults are those of a new card."""

    calibration: Mapping[str, Calibration] = field(default_factory=lambda: dict.fromkeys(LABELS, Calibration()))
    thresholds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(LABELS, DEFAULT_THRESHOLD))
    """Both by label, as in checkpoint.Card."""
    aim: str = ""
    """The Aim as text; empty where thresholds were given."""
    operating_point: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """By label, on the frames it was chosen on; empty where thresholds were given."""
    notes: tuple[str, ...] = ()
    """Labels with too few data, or whose aim was out of reach, one sentence each."""
    tuned_on: frozenset[tuple[str, str, int]] = field(default=frozenset(), repr=False)
    """Video, file and frame_index of the frames it was chosen on, which must not be tested."""

    def apply(self, predictions: Predictions) -> ScoredFrames:
        """Probabilities and decisions, computed as in the scoring job."""
        p = calibrated_probabilities(predictions.logits, self.calibration)
        thresholds = np.array([self.thresholds[label] for label in LABELS], np.float32)
        return ScoredFrames(y=predictions.y, p=p, flags=p >= thresholds)


def tune(predictions: pa.Table | pd.DataFrame, aim: Aim | None = None) -> Tuning:
    """Fits calibration, then chooses thresholds on the calibrated probabilities.

    ``predictions`` has the PREDICTIONS schema, of frames that the model was neither trained nor tested on: the ``tune``
    part of a split, or all out-of-fold predictions for a checkpoint trained on everything. ``aim`` is the
    prevalence by default. UsageError for a table that cannot be used.
    """
    return _tune(read_predictions(predictions), aim or Aim())


def cross_tune(predictions: pa.Table | pd.DataFrame, aim: Aim | None = None) -> dict[int, Tuning]:
    """Cross-fitting: each fold is tuned on the out-of-fold predictions of all other folds.

    So no video is needed for tuning alone. No prediction is of a frame that its model was trained on, and no test
    frame chooses its own threshold, although the models of the other folds were trained on it. UsageError for fewer
    than two folds.
    """
    read = read_predictions(predictions)
    folds = np.unique(read.folds).tolist()
    if len(folds) < 2:
        raise UsageError(
            f"the predictions have only fold {folds[0]}, and tuning across folds needs 2 or more; "
            "predict more folds, or tune on frames kept for it"
        )
    return {fold: _tune(read.where(read.folds != fold), aim or Aim()) for fold in folds}


def _tune(predictions: Predictions, aim: Aim) -> Tuning:
    calibration = {
        label: fit_calibration(predictions.logits[:, column], predictions.y[:, column], predictions.videos)
        for column, label in enumerate(LABELS)
    }
    p = calibrated_probabilities(predictions.logits, calibration)
    chosen = {
        label: choose_threshold(p[:, i], predictions.y[:, i], aim, predictions.videos) for i, label in enumerate(LABELS)
    }
    tuning = Tuning(
        calibration=calibration,
        thresholds={label: one.threshold for label, one in chosen.items()},
        aim=str(aim),
        notes=tuple(
            _note(label, chosen[label], predictions.y[:, i], aim)
            for i, label in enumerate(LABELS)
            if not chosen[label].reached
        ),
        tuned_on=frozenset(predictions.frames),
    )
    return replace(tuning, operating_point=operating_points(tuning.apply(predictions), tuning.aim))


def operating_points(frames: ScoredFrames, aim: str) -> dict[str, OperatingPoint]:
    """Label → what its decisions in ``frames`` amount to."""
    return {label: measure_operating_point(frames.y[:, i], frames.flags[:, i], aim) for i, label in enumerate(LABELS)}


def _note(label: str, chosen: ChosenThreshold, y: np.ndarray, aim: Aim) -> str:
    if not y.any() or y.all():
        return (
            f"{label} has no {'negative' if y.any() else 'positive'} among the {len(y)} frames to tune on: "
            f"calibration is left as it is and the threshold at {chosen.threshold:g}"
        )
    if aim.kind == "prevalence":
        return (
            f"{label} has the same score on too many of the {len(y)} frames to tune on: no threshold flags about as "
            f"many as show it, {int(y.sum())}, and {chosen.threshold:.3f} flags none"
        )
    return (
        f"{label} reaches no {aim} on the frames to tune on: the threshold is {chosen.threshold:.3f}, "
        f"that of the highest precision there, {chosen.precision:.3f}"
    )
