"""The frames of a video to explain have the scores that scoring the whole video gives them."""

from dataclasses import replace

import numpy as np
import pytest
from checkpoints import random_probe

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.explain.settings import ExplainSettings
from artifactscan.explain.video_frames import ScoredFrame, fetched_video, scored_frames
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import Calibration, Card, Checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings

FP32 = ClassifySettings(precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """Its scores differ much from frame to frame, and at the ends of a clip from those without frames around them."""
    fresh = random_probe("test_resnet.r160_in1k", InputSpec(height=48, width=80), neighbours=1, smoothing=0.6)
    calibration = dict.fromkeys(LABELS, Calibration(scale=20.0))
    return replace(fresh, card=replace(fresh.card, calibration=calibration))


def explained(clip: str, card: Card, classifier: Classifier, **changes) -> list[ScoredFrame]:
    settings = ExplainSettings(video=clip, output="", max_side=32, **changes)
    with fetched_video(clip, max_object_bytes=settings.max_object_bytes) as (fetched, uri, _):
        return scored_frames(fetched, uri, settings, card, classifier)


@pytest.mark.parametrize("sample_fps", [2.0, 5.0])
@pytest.mark.parametrize("named", [True, False])
def test_scores_are_those_of_the_whole_clip(clip: str, checkpoint: Checkpoint, sample_fps: float, named: bool) -> None:
    """For all sampled frames, the first and last ones too, which have fewer frames around them."""
    classifier = Classifier(checkpoint, FP32)
    decoding = ExplainSettings(video=clip, output="", sample_fps=sample_fps).decoding(checkpoint.card.input)
    with SandboxedDecoder(decoding) as decoder:
        [segment] = decoder.decode(clip)
    expected = classifier.scores(segment.frames())
    indices = segment.frame_index
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-3
    chosen = {"frames": tuple(map(str, indices))} if named else {"top": len(indices)}
    frames = explained(clip, checkpoint.card, classifier, sample_fps=sample_fps, **chosen)
    assert [one.seen.index for one in frames] == indices
    np.testing.assert_allclose(np.stack([one.scores for one in frames]), expected, atol=1e-4)


class _FirstOfClip(Classifier):
    """Gives 1 to the first frame of a clip and 0 to the others."""

    def __init__(self) -> None:
        pass

    def scores(self, frames) -> np.ndarray:
        clips = frames if isinstance(frames, list) else [frames]
        scores = np.zeros((sum(map(len, clips)), len(LABELS)), np.float32)
        scores[np.cumsum([0, *map(len, clips[:-1])])] = 1
        return scores


def test_the_first_frame_of_a_segment_is_not_scored_as_the_first_of_a_clip(clip: str, checkpoint: Checkpoint) -> None:
    """96 sampled frames are decoded in two segments."""
    card = replace(checkpoint.card, thresholds=dict.fromkeys(LABELS, 0.5))
    frames = explained(clip, card, _FirstOfClip(), sample_fps=24.0, top=2)
    assert [one.seen.index for one in frames] == [0, 1]
