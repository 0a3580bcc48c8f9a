"""What the head makes of the features of frames: the frames around them, the linear layer and the calibration."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from artifactscan.model.checkpoint import Card
from artifactscan.model.probe_spec import ProbeSpec


class FeatureHead:
    """Features of clips one after the other to calibrated probabilities.

    In fp32, whatever the backbone runs in: it costs nothing, and rounding logits to bf16 would move scores more than
    all the rest.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, card: Card):
        """``weight``: (labels, inputs); ``bias``: (labels,), of the head."""
        self.weight, self.bias = weight.astype(np.float32), bias.astype(np.float32)
        self._probe = card.probe or ProbeSpec()
        calibration = [card.calibration[label] for label in card.labels]
        self._scale = np.array([one.scale for one in calibration], np.float32)
        self._offset = np.array([one.offset for one in calibration], np.float32)

    def logits(self, features: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """float32 (n, labels) of the features, float32 (n, features), of clips of ``lengths`` frames each."""
        return window_logits(features, lengths, self._probe, self.weight, self.bias)

    def scores(self, features: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Probabilities, float32 (n, labels), of the same."""
        return expit(self.logits(features, lengths) * self._scale + self._offset)


def window_logits(
    features: np.ndarray, lengths: Sequence[int], probe: ProbeSpec, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Logits, (n, labels), of the features, (n, features), of clips one after the other, of ``lengths`` frames each."""
    logits = add_changes(features, lengths, probe.neighbours) @ weight.T + bias
    return smooth(logits, lengths, probe.smoothing)


def add_changes(features: np.ndarray, lengths: Sequence[int], neighbours: int) -> np.ndarray:
    """Each frame's features and how much they change around it: (n, features), or (n, 2 · features) with neighbours.

    ``features``: (n, features) of clips one after the other, ``lengths`` the frames of each. The change is the sum of
    the absolute differences between consecutive frames, from ``neighbours`` frames before to as many after; frames
    beyond the ends of a clip count as equal to its first or last one.
    """
    if not neighbours:
        return features
    change = np.zeros_like(features)
    at = _shifted_rows(lengths)
    for offset in range(-neighbours, neighbours):
        change += np.abs(features[at(offset + 1)] - features[at(offset)])
    return np.concatenate([features, change], axis=1)


def smooth(logits: np.ndarray, lengths: Sequence[int], share: float) -> np.ndarray:
    """(n, labels) of clips of ``lengths`` frames, with ``share`` of each frame's from the frames before and after it.

    The first frame of a clip counts as its own predecessor, and the last one as its own successor.
    """
    if not share:
        return logits
    at = _shifted_rows(lengths)
    return (1 - share) * logits + share / 2 * (logits[at(-1)] + logits[at(1)])


def _shifted_rows(lengths: Sequence[int]) -> Callable[[int], np.ndarray]:
    """A function from an offset to the row of the frame so many later in the same clip, or of the clip's end."""
    counts = np.asarray(lengths, np.int64)
    ends = np.repeat(np.cumsum(counts), counts)
    first, last = ends - np.repeat(counts, counts), ends - 1
    position = np.arange(len(first))
    return lambda offset: np.clip(position + offset, first, last)
