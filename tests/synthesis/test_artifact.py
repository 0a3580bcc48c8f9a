"""What may be injected, and how a changed clip is labelled."""

import numpy as np
import pytest

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.synthesis.artifact import (
    BOXES,
    CLIP_VARIANTS,
    SCENE_VARIANTS,
    Artifact,
    add_artifact,
    clean_clip,
)

GRAY = np.full((8, 40, 60, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label": "blur"}, "artifact label 'blur' is not one of boundary, texture, motion, object"),
        ({"variant": "frozen"}, "boundary variant 'frozen' is not one of doubled, melted"),
        ({"strength": 1.2}, "artifact strength 1.2 is not between 0 and 1"),
        ({"strength": float("nan")}, "artifact strength nan is not between 0 and 1"),
        ({"end": 4}, "artifact frames 1 to 4 must start at 0 or later and last 4 or more"),
        ({"start": -1}, "artifact frames -1 to 7 must start at 0 or later and last 4 or more"),
    ],
)
def test_an_impossible_artifact_is_refused(given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        Artifact(**{"label": "boundary", "variant": "doubled", "start": 1, "end": 7, **given})


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (GRAY[0], r"a clip must be uint8 of shape \(frames, height, width, 3\), not uint8 \(40, 60, 3\)"),
        (GRAY[:0], r"a clip must be uint8 .* not uint8 \(0, 40, 60, 3\)"),
        (GRAY[:, :9], "a clip of 60x9 pixels is too small to show an artifact; give 16 each way or more"),
        (GRAY / 255, r"a clip must be uint8 .* not float64 \(8, 40, 60, 3\)"),
    ],
)
def test_an_array_that_is_no_clip_is_refused(frames: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        clean_clip(frames)


def test_a_clean_clip_has_no_label_and_no_box() -> None:
    clip = clean_clip(GRAY)
    assert clip.labels.shape == (8, len(LABELS)) and clip.labels.dtype == np.uint8 and not clip.labels.any()
    assert clip.boxes.schema == BOXES and clip.boxes.num_rows == 0
    assert clip.artifacts == ()


def test_labels_and_boxes_are_measured_from_what_changed() -> None:
    artifact = Artifact(label="texture", variant="tiled", start=2, end=6, strength=0.5)
    changed = GRAY[2:6].copy()
    changed[1, 5:9, 20:30] += 60
    changed[2, 5:9, 20:30] += 3
    clip = add_artifact(clean_clip(GRAY), artifact, changed)
    assert clip.labels.tolist() == [[0, int(index == 3), 0, 0] for index in range(8)], "too faint in frame 4"
    (box,) = clip.boxes.to_pylist()
    assert tuple(box) == tuple(BOXES.names)
    assert tuple(box.values()) == (3, "texture", 20, 5, 10, 4, "tiled", 0.5)
    assert clip.artifacts == (artifact,)
    assert (GRAY == 90).all(), "the clean twin is left alone"


def test_every_label_can_be_injected_everywhere() -> None:
    assert tuple(CLIP_VARIANTS) == tuple(SCENE_VARIANTS) == LABELS
    assert all(len(variants) >= 2 for variants in (*CLIP_VARIANTS.values(), *SCENE_VARIANTS.values()))
