"""Calibration of one label: from logits to probabilities that mean what they say.

Platt scaling: Platt, *Probabilistic Outputs for Support Vector Machines*, 1999. It always shifts as well as scales: a
loss that weighs rare labels up moves all logits, and temperature scaling alone (Guo et al., arXiv 1706.04599) cannot
take that back.
"""

from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from artifactscan.model.checkpoint import Calibration

INVERSE_PENALTY = 10.0
"""scikit-learn's C for logits of mean 0 and unit standard deviation: bounds the scale where separable data would have
it grow for ever, and is hardly felt otherwise."""
MIN_SLOPE = 0.1
"""Least slope per standard deviation of the logits. Where a label does not rise with its logit, the probabilities come
close to its prevalence, which is all that is known; the ranking stays as it is rather than being turned round by data
that are few or odd."""
_FARTHEST = 50.0
"""Logits beyond which a probability is 0 or 1 to a double's precision, or nearly."""


def fit_calibration(logits: np.ndarray, y: np.ndarray, videos: np.ndarray) -> Calibration:
    """Fits one label on frames that are neither training nor test.

    ``logits`` float64 (frames,), ``y`` bool (frames,), ``videos`` (frames,) names each frame's video. Where these are
    of one class or of one video there is nothing to go by, and the logits stay. Never turns a ranking round.
    """
    mean, spread = float(logits.mean()), float(logits.std())
    if y.all() or not y.any() or len(set(videos)) < 2 or not spread:
        return Calibration()
    inputs = (logits - mean) / spread
    # Platt's targets: nearly 1 and nearly 0, by as much as the counts leave in doubt.
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
    """What to add to logits for their mean probability to be the mean target."""
    found = brentq(lambda shift: (expit(logits + shift) - target).mean(), -_FARTHEST, _FARTHEST)
    return float(cast(float, found))
