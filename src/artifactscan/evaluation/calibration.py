"""Calibration of one label: from logits to probabilities that mean what they say.

Temperature scaling: Guo et al., *On Calibration of Modern Neural Networks*, arXiv 1706.04599. Platt scaling: Platt,
*Probabilistic Outputs for Support Vector Machines*, 1999.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from artifactscan.checkpoint import Calibration

Method = Literal["identity", "temperature", "platt"]

METHODS: tuple[Method, ...] = ("identity", "temperature", "platt")
"""Simplest first: ``identity`` leaves the logits, ``temperature`` scales them, ``platt`` shifts them too."""

INVERSE_PENALTY = 10.0
"""scikit-learn's C for logits of unit root mean square: bounds the scale where separable data would have it grow for
ever, and is hardly felt otherwise."""
SELECTION_FOLDS = 5
MIN_GAIN_NATS = 0.002
"""Per frame: what a method must gain over a simpler one."""


@dataclass(frozen=True, kw_only=True)
class FittedCalibration:
    """The calibration of one label and how it came about."""

    calibration: Calibration
    method: Method
    nll_before: float
    """Nats per frame of the tuning data, with the logits as they are."""
    nll_after: float
    """With the calibration; never more than before."""


def fit_calibration(logits: np.ndarray, y: np.ndarray, videos: np.ndarray) -> FittedCalibration:
    """Fits one label on frames that are neither training nor test.

    ``logits`` float64 (frames,), ``y`` bool (frames,), ``videos`` (frames,) names each frame's video. The method is the
    one of lowest negative log likelihood on videos left out of its fit, a simpler one if it is within MIN_GAIN_NATS;
    with one video or one class there is nothing to choose by, and the logits stay. Never turns a ranking round.
    """
    chosen: Method = "identity"
    if y.any() and not y.all() and len(set(videos)) > 1:
        lowest = math.inf
        for method in METHODS:
            if (left_out := _left_out_nll(method, logits, y, videos)) < lowest - MIN_GAIN_NATS:
                chosen, lowest = method, left_out
    fitted = _fit(chosen, logits, y)
    before, after = nll(logits, y), nll(logits * fitted.scale + fitted.offset, y)
    if after > before:  # the penalty can cost more than the fit gains where nothing was to be gained
        chosen, fitted, after = "identity", Calibration(), before
    return FittedCalibration(calibration=fitted, method=chosen, nll_before=before, nll_after=after)


def nll(logits: np.ndarray, y: np.ndarray) -> float:
    """Negative log likelihood in nats per frame of logits, float64 (frames,), for ``y``, bool (frames,)."""
    return float(np.logaddexp(0, np.where(y, -logits, logits)).mean())


def _left_out_nll(method: Method, logits: np.ndarray, y: np.ndarray, videos: np.ndarray) -> float:
    folding = GroupKFold(min(SELECTION_FOLDS, len(set(videos))))
    total = 0.0
    for rest, part in folding.split(logits, groups=videos):
        fitted = _fit(method, logits[rest], y[rest])
        total += nll(logits[part] * fitted.scale + fitted.offset, y[part]) * len(part)
    return total / len(y)


def _fit(method: Method, logits: np.ndarray, y: np.ndarray) -> Calibration:
    size = float(np.sqrt(np.mean(logits**2)))
    if method == "identity" or not size:
        return Calibration()
    # Platt's targets: nearly 1 and nearly 0, by as much as the counts leave in doubt. Each frame enters as both
    # classes, so that data of one class, or separable data, have a finite fit.
    positives = int(y.sum())
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    model = LogisticRegression(C=INVERSE_PENALTY, fit_intercept=method == "platt", solver="newton-cholesky")
    inputs = np.concatenate([logits, logits])[:, np.newaxis] / size
    model.fit(inputs, np.repeat([True, False], len(y)), sample_weight=np.concatenate([target, 1 - target]))
    scale = float(model.coef_[0, 0]) / size
    # Data in which the label falls with its logit are few or odd: their ranking is not worth turning every other round.
    if scale <= 0:
        return Calibration()
    return Calibration(scale=scale, offset=float(np.ravel(model.intercept_)[0]))
