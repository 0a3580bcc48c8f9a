"""What the head makes of features: changes within the clip, smoothing, and calibrated scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.decode.input_spec import InputSpec
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration, Card
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.model.probe_windows import FeatureHead, add_changes, smooth


def test_windows_add_the_change_within_the_clip() -> None:
    features = np.array([[0.0], [1.0], [-3.0], [5.0], [4.0]])
    assert add_changes(features, [3, 2], 1).tolist() == [[0, 1], [1, 5], [-3, 4], [5, 1], [4, 1]]
    assert add_changes(features, [3, 2], 2)[:, 1].tolist() == [5, 5, 5, 1, 1]
    assert add_changes(features, [1, 4], 2)[0].tolist() == [0, 0]
    assert add_changes(features, [3, 2], 0) is features


@given(st.lists(st.integers(0, 6), max_size=5), st.integers(1, 3))
def test_a_window_does_not_depend_on_other_clips(lengths: list[int], neighbours: int) -> None:
    features = np.random.default_rng(0).normal(size=(sum(lengths), 2))
    together = add_changes(features, lengths, neighbours)
    clips = np.split(features, np.cumsum(lengths)) if lengths else []
    alone = [add_changes(clip, [len(clip)], neighbours) for clip in clips if len(clip)]
    assert np.array_equal(together, np.concatenate(alone) if alone else together[:0])


def test_smoothing_takes_half_of_its_share_from_each_side() -> None:
    logits = np.array([[0.0], [1.0], [4.0], [8.0]])
    assert np.allclose(smooth(logits, [3, 1], 0.5), [[0.25], [1.5], [3.25], [8.0]])
    assert smooth(logits, [3, 1], 0.0) is logits


def test_scores_are_calibrated_logits_of_the_frame_and_its_change() -> None:
    calibration = {**dict.fromkeys(LABELS, Calibration()), LABELS[1]: Calibration(scale=2.0, offset=-1.0)}
    probe = ProbeSpec(neighbours=1)
    card = Card(backbone="any", input=InputSpec(height=8, width=8), probe=probe, calibration=calibration)
    weight = np.zeros((4, 2))
    weight[0, 0], weight[1, 1] = 1.0, 0.5
    head = FeatureHead(weight, np.array([0.0, 0.0, 1.0, 0.0]), card)
    features = np.array([[0.0], [2.0]], np.float32)  # each frame sees a change of 2
    assert head.logits(features, [2]).tolist() == [[0, 1, 1, 0], [2, 1, 1, 0]]
    scores = head.scores(features, [2])
    assert scores.dtype == np.float32
    assert np.allclose(scores, 1 / (1 + np.exp(-np.array([[0, 1, 1, 0], [2, 1, 1, 0.0]]))))
