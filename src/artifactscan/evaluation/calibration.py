"""Calibration of one label by Platt scaling (Platt, *Probabilistic Outputs for Support Vector Machines*, 1999).

An offset is fitted as well as a scale: a loss that gives rare labels more weight shifts all logits, which temperature
scaling alone (Guo et al., arXiv 1706.04599) cannot undo.
"""

from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from artifactscan.model.checkpoint import Calibration

INVERSE_PENALTY = 10.0
"""scikit-learn's C for logits of mean 0 and unit standard deviation: bounds the scale on separable data, and changes
little otherwise."""
MIN_SLOPE = 0.1
"""Least slope per standard deviation of the logits. Where the label does not become more frequent with its logit,
probabilities come close to its prevalence, and few or unusual data cannot reverse the ranking."""
_MAX_SHIFT = 50.0
"""Logits at which a probability is 0 or 1 within a double's precision."""


def fit_calibration(logits: np.ndarray, y: np.ndarray, videos: np.ndarray) -> Calibration:
    """Fits one label on frames that are neither training nor test.

    ``logits`` float64 (frames,), ``y`` bool (frames,), ``videos`` (frames,) names each frame's video. The scale is
    always above 0. Frames of one class or of one video leave the logits as they are.
    """
    mean, spread = float(logits.mean()), float(logits.std())
    if y.all() or not y.any() or len(set(videos)) < 2 or not spread:
        return Calibration()
    inputs = (logits - mean) / spread
    # Platt's targets: near 1 and near 0, the nearer the more frames there are.
    positives = int(y.sum())
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    slope, intercept = _fit(inputs, target)
    if slope < MIN_SLOPE:
        slope, intercept = MIN_SLOPE, _intercept(MIN_SLOPE * inputs, target)
    return Calibration(scale=slope / spread, offset=intercept - slope * mean / spread)


def _fit(inputs: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Slope and intercept; each frame enters as both classes, so that separable data have a finite fit."""
    model = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky")
    weights = np.concatenate([target, 1 - target])
    model.fit(np.concatenate([inputs, inputs])[:, np.newaxis], np.repeat([True, False], len(target)), weights)
    return float(model.coef_[0, 0]), float(np.ravel(model.intercept_)[0])


def _intercept(logits: np.ndarray, target: np.ndarray) -> float:
    """The shift of the logits that makes their mean probability the mean target."""
    found = brentq(lambda shift: (expit(logits + shift) - target).mean(), -_MAX_SHIFT, _MAX_SHIFT)
    return float(cast(float, found))
